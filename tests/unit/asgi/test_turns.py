from __future__ import annotations

import asyncio
from itertools import pairwise

from tailrace.asgi.turns import Turns


async def test_what_has_begun_goes_on_before_all_have_begun() -> None:
    """A crowd that comes at once begins in parts: between two of them the event loop serves everything else."""
    turns = Turns(most=3)
    begun: list[int] = []
    seen_by_another: list[int] = []

    async def request(number: int) -> None:
        if not turns.take():
            await turns.wait()
        begun.append(number)

    async def another() -> None:
        while len(begun) < 10:
            seen_by_another.append(len(begun))
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as group:
        group.create_task(another())
        for number in range(10):
            group.create_task(request(number))
    assert begun == list(range(10))
    steps = [after - before for before, after in pairwise(seen_by_another)]
    assert max(steps) == 3
    assert len(turns) == 0


async def test_who_comes_one_by_one_never_waits() -> None:
    """Requests that come turn after turn, fewer in each than may begin, all begin at once, however many there are."""
    turns = Turns(most=4)
    for number in range(50):
        for _ in range(1 + number % 2):
            assert turns.take()
        await asyncio.sleep(0)


async def test_nobody_overtakes_who_waits() -> None:
    """Who comes while others wait is served after them, although a new turn has begun."""
    turns = Turns(most=1)
    order: list[str] = []

    async def request(name: str) -> None:
        if not turns.take():
            await turns.wait()
        order.append(name)

    tasks = [asyncio.create_task(request(name)) for name in ("first", "second", "third")]
    await tasks[0]
    tasks.append(asyncio.create_task(request("late")))
    await asyncio.gather(*tasks)
    assert order == ["first", "second", "third", "late"]


async def test_who_leaves_takes_no_turn() -> None:
    """A request that is cancelled while it waits leaves its place to the next one, and is not counted for ever."""
    turns = Turns(most=1)
    assert turns.take()
    left, stays = (asyncio.create_task(turns.wait()) for _ in range(2))
    await asyncio.sleep(0)
    left.cancel()
    async with asyncio.timeout(5):
        await stays
        if not turns.take():
            await turns.wait()
    assert len(turns) == 0
