"""A Python for shell scripts whose processes are forked by the server of tests/children.py: a script starts at once.

`start` makes a program that is called as `python` is, with a script or `-c`, and arguments. It hands these, its folder,
environment and open files to a thread of the tests, which has a process forked that runs them, and ends as that does.
Whoever kills the program, kills that process. The project's scripts are run as files, each in a fresh process.
"""

import ast
import contextlib
import os
import runpy
import socket
import sys
import threading
from multiprocessing.connection import Connection, wait
from pathlib import Path

from tests.children import PROCESSES

CLIENT = """#!{python} -IS
import os, signal, socket, sys
server = socket.socket(socket.AF_UNIX)
server.connect({address!r})
socket.send_fds(server, [repr((os.getcwd(), sys.argv[1:], dict(os.environ))).encode() + b"\\0"], [0, 1, 2])
status = int(server.makefile().read() or 1)
if status < 0:
    signal.signal(-status, signal.SIG_DFL)
    os.kill(os.getpid(), -status)
sys.exit(status)
"""


@contextlib.contextmanager
def start(folder):
    """The program, made in a folder."""
    address, program = folder / "socket", folder / "python"
    program.write_text(CLIENT.format(python=sys.executable, address=str(address)))
    program.chmod(0o755)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(address))
        listener.listen()
        threading.Thread(target=_serve, args=(listener,), daemon=True).start()
        yield program


def _serve(listener):
    with contextlib.suppress(OSError):  # it is closed
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=_answer, args=(connection,), daemon=True).start()


def _answer(connection):
    with connection:
        message, files, _, _ = socket.recv_fds(connection, 1 << 20, 3)
        while not message.endswith(b"\0"):
            if not (piece := connection.recv(1 << 20)):
                return  # the program is gone
            message += piece
        files = [Connection(file) for file in files]  # in which form a descriptor can be given to another process
        process = PROCESSES.Process(target=_be_python, args=(*ast.literal_eval(message[:-1].decode()), files))
        process.start()
        for file in files:
            file.close()
        if process.sentinel not in wait([process.sentinel, connection]):
            process.kill()  # the program is gone
        process.join()
        with contextlib.suppress(OSError):
            connection.sendall(str(process.exitcode).encode())


def _be_python(folder, arguments, environment, files):
    for number, file in enumerate(files):
        os.dup2(file.fileno(), number)
        file.close()
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    if arguments[0] == "-c":
        sys.argv = ["-c", *arguments[2:]]
        sys.path.insert(0, "")
        exec(arguments[1], {"__name__": "__main__"})  # noqa: S102
    else:
        sys.argv = arguments
        sys.path.insert(0, str(Path(arguments[0]).parent.resolve()))
        runpy.run_path(arguments[0], run_name="__main__")
