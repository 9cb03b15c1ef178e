"""Which kept connection a request goes over."""

from __future__ import annotations

import asyncio
import math
import ssl

from tailrace.upstream.pool import Pool


class Kept:
    """A connection that was used some seconds ago."""

    def __init__(self, idle: float, *, keep_for: float = math.inf, closed: bool = False) -> None:
        self.closed = closed
        self.idle_since = asyncio.get_running_loop().time() - idle
        self.keep_for = keep_for

    def close(self) -> None:
        self.closed = True


async def refuse(host: str, port: int, tls: ssl.SSLContext | None) -> Kept:
    raise AssertionError


def pool(*kept: Kept) -> Pool[Kept]:
    made = Pool("origin", "http://127.0.0.1:1", refuse, keep=10)
    for each in kept:
        made.give_back(each)
    return made


async def test_the_one_used_last_goes_first() -> None:
    """It is the likeliest to be alive."""
    one, two = Kept(5), Kept(1)
    made = pool(one, two)
    assert [made.take(), made.take(), made.take()] == [two, one, None]


async def test_what_the_server_has_closed_by_now_is_not_used() -> None:
    """As it said itself, or by the time that servers keep connections at most."""
    said, late, gone = Kept(5, keep_for=4), Kept(61), Kept(1)
    made = pool(late, said, gone)
    gone.close()
    assert made.take() is None
    assert said.closed
    assert len(made) == 0


async def test_what_cannot_be_sent_again_goes_over_no_doubtful_one() -> None:
    """It is left to those that can."""
    kept = Kept(2)
    made = pool(kept)
    assert made.take(1.0) is None
    assert not kept.closed
    assert made.take() is kept
