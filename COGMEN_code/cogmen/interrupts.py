"""SIGINT and SIGTERM while something long runs: it stops at its next step instead of in the middle of one."""

import contextlib
import signal
import threading


class StopRequest:
    """Whether the user, or the machine, has asked the run to stop; `signal` names how."""

    signal = None

    def __bool__(self):
        return self.signal is not None


@contextlib.contextmanager
def stop_signals():
    """Gives a `StopRequest` that the first SIGINT or SIGTERM sets; a second one acts as usual, at once.

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
