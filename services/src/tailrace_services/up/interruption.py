"""Being asked to stop: once in order, twice at once. Touches: this process's signal handlers."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from tailrace.embedded import process

__all__ = ["Interruption", "interruptible"]

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interruption:
    """Whether the end has begun; from then on another signal kills what is still there."""

    def __init__(self) -> None:
        self.stopping = False

    def begin(self, remaining: Callable[[], Iterable[int]]) -> None:
        """Stopping has begun: from now on Ctrl-C kills the processes that ``remaining`` names."""
        self.stopping = True

        def kill(_number: int, _frame: object) -> None:
            process.send(remaining(), signal.SIGKILL)

        for number in SIGNALS:
            signal.signal(number, kill)


@contextmanager
def interruptible() -> Iterator[Interruption]:
    """Inside, Ctrl-C, SIGTERM and a closed terminal raise ``KeyboardInterrupt``, whatever this process inherited.

    A shell starts background jobs with Ctrl-C ignored. The other two arrive as Ctrl-C, because that is the one that
    asyncio turns into a cancellation.
    """
    before = {number: signal.getsignal(number) for number in SIGNALS}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda _number, _frame: os.kill(os.getpid(), signal.SIGINT))
    try:
        yield Interruption()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
