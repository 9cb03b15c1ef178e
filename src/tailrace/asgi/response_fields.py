"""The fields that every response carries: the request's id and how long it took. Pure but for random bytes."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from os import urandom

__all__ = ["MAX_REQUEST_ID", "RequestIds", "response_time"]

MAX_REQUEST_ID = 128
"""Characters of a client's request id; a longer one is not taken over."""

SAFE_ID_CHARACTERS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.:=+/@"

_LOW_DIGITS = [f"{number:03x}" for number in range(0x1000)]

_BELOW_A_MILLISECOND = [b"0.%03dms" % microseconds for microseconds in range(1000)]


class RequestIds:
    """Gives ids: the client's own when it is safe to repeat, else a UUID of this process's prefix and a number.

    Args:
        random: random bytes, for the prefix.

    **Source:** RFC 9562 section 5.8 (version 8: the bits are the application's own).
    """

    __slots__ = ("_drawn", "_next", "_prefix", "_random")

    def __init__(self, random: Callable[[int], bytes] = urandom) -> None:
        self._random = random
        self._drawn = self._prefix = ""
        self._next = count(1).__next__

    def of(self, given: bytes | None) -> str:
        """The id of a request that came with ``given`` as its ``X-Request-ID``."""
        if given and len(given) <= MAX_REQUEST_ID and not given.translate(None, SAFE_ID_CHARACTERS):
            return given.decode("ascii")
        number = self._next()
        low = number & 0xFFF
        if not (low and self._prefix):
            self._prefix = self._prefix_of(number >> 12)
        return self._prefix + _LOW_DIGITS[low]

    def _prefix_of(self, high: int) -> str:
        """All of an id but its last three digits, which is the same for 4,096 of them."""
        if not self._drawn:
            # Drawn at the first request, not when the layer is made, so that forked workers do not share one.
            drawn = self._random(9).hex()
            self._drawn = f"{drawn[:8]}-{drawn[8:12]}-8{drawn[12:15]}-b{drawn[15:18]}-"
        return f"{self._drawn}{high:09x}"


def response_time(seconds: float) -> bytes:
    """The value of ``X-Response-Time``.

    >>> response_time(0.0000124), response_time(1.5)
    (b'0.012ms', b'1500.000ms')
    """
    microseconds = int(seconds * 1e6 + 0.5)
    if microseconds < 1000:
        return _BELOW_A_MILLISECOND[microseconds]
    return b"%d.%03dms" % divmod(microseconds, 1000)
