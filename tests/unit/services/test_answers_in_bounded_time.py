from __future__ import annotations

import asyncio

import pytest

from tailrace.errors import DatabaseTimeoutError
from tailrace_services.voice_dashboard.api.dashboard import NoAnswerError
from tailrace_services.voice_dashboard.optimised import answers as module
from tailrace_services.voice_dashboard.optimised.answers import Answers, Kind

KIND = Kind("overview", timeout=0.2)


def itself(value: bytes) -> bytes:
    return value


async def test_the_time_limit_does_not_run_in_the_queue() -> None:
    """Thirty who come at once wait, one after another, for much longer than one calculation may take, and all are
    answered in the order they came."""
    patient = Kind("overview", timeout=1.0)
    slots = asyncio.Semaphore(1)
    answers = Answers()
    begun: list[int] = []

    async def ask(number: int) -> bytes:
        async def calculate() -> bytes:
            begun.append(number)
            await asyncio.sleep(patient.timeout / 20)
            return b"%d" % number

        return await answers.calculate(patient, calculate, str(number), itself, slots=slots)

    assert await asyncio.gather(*map(ask, range(30))) == [b"%d" % number for number in range(30)]
    assert begun == list(range(30))


async def test_a_calculation_that_is_begun_is_limited_and_gives_its_slot_back() -> None:
    """Who takes too long is cut off with the last known answer; the next one is not made to wait for it."""
    slots = asyncio.Semaphore(1)
    answers = Answers()

    async def quick() -> bytes:
        return b"known"

    async def slow() -> bytes:
        await asyncio.Event().wait()
        return b"never"

    assert await answers.calculate(KIND, quick, "key", itself, slots=slots) == b"known"
    with pytest.raises(NoAnswerError) as failed:
        await answers.calculate(KIND, slow, "key", itself, slots=slots)
    assert isinstance(failed.value.reason, DatabaseTimeoutError)
    assert failed.value.last_known == b"known"
    assert await answers.calculate(KIND, quick, "key", itself, slots=slots) == b"known"


async def test_the_queue_itself_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is never begun is told so, and takes no slot."""
    monkeypatch.setattr(module, "LONGEST_QUEUE", 0.05)
    slots = asyncio.Semaphore(1)
    await slots.acquire()

    async def never() -> bytes:
        raise AssertionError("it must not be begun")

    with pytest.raises(NoAnswerError, match="not begun"):
        await Answers().calculate(KIND, never, "key", itself, slots=slots)
    slots.release()
    assert not slots.locked()
