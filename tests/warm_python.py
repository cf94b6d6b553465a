"""A Python in which the slow libraries are imported already: a script starts in a tenth of a second, not in five.

`start` makes a program that is called as `python` is, with a script, `-m` or `-c`, and arguments. It hands these, its
folder, environment and open files to a server, which forks a process that runs them, and ends as that process does.
Whoever kills the program, kills that process. The project's own modules are imported by each process.
"""

import ast
import atexit
import contextlib
import importlib
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import threading
import traceback
from pathlib import Path

LIBRARIES = (
    *("torch", "torch_geometric.nn", "torchmetrics", "pytorch_lightning.loggers", "transformers.models.roberta"),
    *("transformers.models.wav2vec2", "pandas", "sklearn.metrics", "scipy.stats", "librosa", "matplotlib.pyplot"),
)

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


def start(folder):
    """The program, in a folder, and the server's process, which ends when its input is closed."""
    address, client = folder / "socket", folder / "python"
    client.write_text(CLIENT.format(python=sys.executable, address=str(address)))
    client.chmod(0o755)
    with socket.socket(socket.AF_UNIX) as listener:  # the server takes it over, so that no client comes too early
        listener.bind(str(address))
        listener.listen()
        command = [sys.executable, "-m", "tests.warm_python", str(listener.fileno()), str(client)]
        server = subprocess.Popen(
            command, pass_fds=[listener.fileno()], stdin=subprocess.PIPE, cwd=Path(__file__).parent.parent
        )
    return client, server


def serve(listener):
    running = {}  # each process's connection; by the descriptors of both
    waiting = select.poll()
    waiting.register(listener, select.POLLIN)
    waiting.register(sys.stdin, 0)
    while True:
        for descriptor, _ in waiting.poll():
            if descriptor == sys.stdin.fileno():
                return  # whoever started it is gone
            if descriptor == listener.fileno():
                connection, _ = listener.accept()
                words, files = _receive(connection)
                if (pid := os.fork()) == 0:
                    _be_child(*words, files)
                for file in files:
                    os.close(file)
                ended = os.pidfd_open(pid)
                running[ended] = running[connection.fileno()] = pid, ended, connection
                waiting.register(ended, select.POLLIN)
                waiting.register(connection, select.POLLIN)
            elif descriptor in running:
                pid, ended, connection = running[descriptor]
                if descriptor != ended:
                    os.kill(pid, signal.SIGKILL)  # the client is gone
                _, status = os.waitpid(pid, 0)
                for one in (ended, connection.fileno()):
                    waiting.unregister(one)
                    del running[one]
                os.close(ended)
                with contextlib.suppress(OSError):  # the client is gone
                    connection.sendall(str(os.waitstatus_to_exitcode(status)).encode())
                connection.close()


def _receive(connection):
    message, files, _, _ = socket.recv_fds(connection, 1 << 20, 3)
    while not message.endswith(b"\0"):
        message += connection.recv(1 << 20)
    return ast.literal_eval(message[:-1].decode()), files


def _be_child(folder, arguments, environment, files):
    """Does what a Python that is started with these arguments does, and exits."""
    for number, file in enumerate(files):
        os.dup2(file, number)
    os.closerange(3, 256)  # the server's sockets
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    code = 0
    try:
        _run(arguments)
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        code = 1
    finally:
        for thread in threading.enumerate():
            if thread is not threading.current_thread() and not thread.daemon:
                thread.join()
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _run(arguments):
    if arguments[0] == "-u":
        arguments = arguments[1:]
    if arguments[0] == "-m":
        sys.argv = arguments[1:]
        sys.path.insert(0, os.getcwd())
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
    elif arguments[0] == "-c":
        sys.argv = ["-c", *arguments[2:]]
        sys.path.insert(0, "")
        exec(arguments[1], {"__name__": "__main__"})  # noqa: S102
    else:
        sys.argv = arguments
        sys.path.insert(0, str(Path(arguments[0]).parent.resolve()))
        runpy.run_path(arguments[0], run_name="__main__")


if __name__ == "__main__":
    listening = socket.socket(fileno=int(sys.argv[1]))
    for library in LIBRARIES:
        importlib.import_module(library)
    assert threading.active_count() == 1
    sys.executable = sys.argv[2]  # a script that starts others, as Lightning does, starts them the same way
    serve(listening)
