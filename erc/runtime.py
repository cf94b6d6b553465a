"""Where and how long a run computes: `--device`, `--compile`, and SIGINT and SIGTERM."""

import contextlib
import re
import signal
import threading

import torch

from erc.options import UserError


def find_device(name):
    """The torch device that `--device` names; `auto` is the GPU if there is one.

    Raises:
        UserError: the name is unknown, or the GPU that it names is not there.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if not re.fullmatch(r"cpu|cuda(:[0-9]+)?", name):
        raise UserError(f"--device {name}: expected auto, cpu, cuda or cuda:N")
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UserError(
            f"--device {name}: PyTorch sees {torch.cuda.device_count()} GPUs here; use --device cpu or auto"
        )
    return device


def check_compiler(error, what):
    """Raise a `UserError` if an error comes from `torch.compile` of `what`; else return."""
    if isinstance(error, torch._dynamo.exc.TorchDynamoException):
        reason = str(error).strip().splitlines()[0]
        raise UserError(f"--compile: {what} cannot be compiled here ({reason}); leave it out") from error


class StopRequest:
    """Whether the user, or the machine, has asked the run to stop; `signal` names how."""

    signal = None

    def __bool__(self):
        return self.signal is not None


@contextlib.contextmanager
def stop_signals():
    """Yield a `StopRequest` that the first SIGINT or SIGTERM sets; a second one acts as usual, at once.

    Outside the main thread, where handlers cannot be set, it is never set.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    previous = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def ask(number, _):
        request.signal = signal.Signals(number).name
        restore()

    def restore():
        for number, handler in previous.items():
            signal.signal(number, handler)

    for number in previous:
        signal.signal(number, ask)
    try:
        yield request
    finally:
        restore()
