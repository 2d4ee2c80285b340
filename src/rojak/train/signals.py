"""Ctrl-C and SIGTERM while training: finish the step, checkpoint, exit with a code that says which."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType


@dataclass
class StopRequest:
    """Whether and by which signal the process was asked to stop."""

    signum: int | None = None


def exit_code(signum: int) -> int:
    """Give 128 + the signal's number, as shells do: 130 for Ctrl-C, 143 for SIGTERM."""
    return 128 + signum


@contextmanager
def stop_on_signals() -> Iterator[StopRequest]:
    """Note the first SIGINT or SIGTERM instead of dying of it; a second one acts at once."""
    request = StopRequest()

    def note(signum: int, _: FrameType | None) -> None:
        if request.signum is not None:
            raise KeyboardInterrupt
        request.signum = signum

    previous = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    signal.pthread_sigmask(signal.SIG_UNBLOCK, previous)  # whoever started this process may have held them back
    try:
        yield request
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
