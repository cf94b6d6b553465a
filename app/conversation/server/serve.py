"""Starts the server and sees to it that nothing is left when it ends."""

import contextlib
import logging
import signal
import sys
import tempfile

from conversation.extras import needs
from erc.options import UserError

_PATIENCE = 3  # seconds for answers that are being given when the server ends


def serve(options):
    """Serve until SIGINT or SIGTERM.

    Args:
        options: `DemoOptions`.
    Raises:
        UserError: the address is in use or none of this machine's; a package is missing.
    """
    with needs("uvicorn"):
        import uvicorn
    with needs("fastapi"):
        from conversation.server.app import make_app
    from conversation.server.jobs import Jobs
    from conversation.server.runner import Runner

    with _listen(options) as listener, _private_folder() as folder:
        jobs = Jobs(folder, Runner(60 * options.max_work), options.max_queue, 60 * options.keep)
        app = make_app(jobs, options)
        host = f"[{options.host}]" if ":" in options.host else options.host
        print(f"http://{host}:{options.port}  (Ctrl-C ends it and deletes all conversations)", flush=True)
        config = uvicorn.Config(
            app,
            log_level=logging.WARNING,
            access_log=False,  # whose addresses and conversations are nobody's business
            server_header=False,
            proxy_headers=False,
            ws="none",
            limit_concurrency=200,
            timeout_graceful_shutdown=_PATIENCE,
        )
        uvicorn.Server(config).run(sockets=[listener])


@contextlib.contextmanager
def _private_folder():
    """A folder that is deleted in the end, also by SIGTERM before and after uvicorn handles it."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    if hasattr(signal, "SIGHUP"):  # a terminal that is closed
        signal.signal(signal.SIGHUP, lambda *_: signal.raise_signal(signal.SIGTERM))
    with tempfile.TemporaryDirectory(prefix="conversations-") as folder:
        yield folder


def _listen(options):
    """A socket at the address, so that a wrong one is an error before anything is loaded."""
    import socket

    try:
        family, kind, _, _, address = socket.getaddrinfo(
            options.host.strip("[]"), options.port, type=socket.SOCK_STREAM
        )[0]
        listener = socket.socket(family, kind)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        raise UserError(
            f"--host {options.host} --port {options.port}: {error.strerror}; does another program use it? "
            "Try another --port"
        ) from None
    return listener
