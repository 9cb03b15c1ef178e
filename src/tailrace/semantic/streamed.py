"""Answers that are streamed while they are made, and streamed again from the cache. Touches: a task of its own.

What an answer was streamed as is what is kept of it: a hit is the same events in the same order, at once. While it is
made for the first time, its events go to whoever asked as they come; others who ask the same meanwhile get them
together, when all are there.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack

from tailrace.asgi.sse import ServerSentEvent, closed_with
from tailrace.cache import Uncacheable
from tailrace.semantic.cache import SemanticCache
from tailrace.semantic.outcomes import SemanticAnswer
from tailrace.semantic.scope import Scope

__all__ = ["AnswerStream", "Found", "events_of", "streamed_answer"]

AnswerStream = Callable[[], AsyncIterator[ServerSentEvent]]
"""Begins to make an answer."""

Found = Callable[[SemanticAnswer], ServerSentEvent]
"""The event that tells how an answer was found, before those of an answer that was kept."""


def _always(_event: ServerSentEvent) -> bool:
    return True


async def streamed_answer(
    cache: SemanticCache,
    text: str,
    produce: AnswerStream,
    *,
    scope: Scope,
    depends_on: Iterable[str] = (),
    found: Found | None = None,
    keeps: Callable[[ServerSentEvent], bool] = _always,
) -> AsyncGenerator[ServerSentEvent, None]:
    """The events of the answer to a question: kept ones, or as they are made.

    Args:
        cache: keeps them.
        text: the question.
        produce: makes the answer to just this question; ended with whoever listens, unless others wait for it too.
        scope: whose answer it is and what it is made from.
        depends_on: tags of what it is made from.
        found: makes an event of how a kept answer was found, sent before it.
        keeps: whether an answer that ends with this event may be kept.

    Raises:
        Whatever ``produce`` raises: then nothing is kept.
    """
    making = _Making(produce, keeps)
    asking = making.asking = asyncio.create_task(cache.ask(text, making.compute, scope=scope, depends_on=depends_on))
    try:
        async for event in making.events():
            yield event
        answer = await asking
        kept = None if making.begun else _kept(answer)
        if kept is not None:
            if found is not None:
                yield found(answer)
            for event in kept:
                yield event
        elif not making.begun:
            async with AsyncExitStack() as closing:
                async for event in closed_with(produce(), closing):
                    yield event
    finally:
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)


class _Making:
    """An answer while it is made for whoever asked first; what is made later, for others, nobody hears.

    Attributes:
        asking: the question under way.
        begun: it led to work.
    """

    def __init__(self, produce: AnswerStream, keeps: Callable[[ServerSentEvent], bool]) -> None:
        self._produce = produce
        self._keeps = keeps
        self._coming: asyncio.Queue[ServerSentEvent | BaseException | None] = asyncio.Queue()
        self.asking: asyncio.Task[SemanticAnswer]
        self.begun = False

    async def compute(self) -> bytes | Uncacheable:
        """Make the answer; its events in the form in which they are kept."""
        # An audit of a hit, or the refresh of an answer, begins when the question has been answered.
        heard = not self.begun and not self.asking.done()
        self.begun = self.begun or heard
        made, keep = [], True
        end: BaseException | None = None
        try:
            async with AsyncExitStack() as closing:
                async for event in closed_with(self._produce(), closing):
                    made.append([event.event, event.data])
                    keep = self._keeps(event)
                    if heard:  # what waits here is no larger than what is kept
                        self._coming.put_nowait(event)
        except BaseException as error:
            end = error
            raise
        finally:
            if heard:
                self._coming.put_nowait(end)
        value = json.dumps(made, separators=(",", ":")).encode()
        return value if keep else Uncacheable(value)

    async def events(self) -> AsyncIterator[ServerSentEvent]:
        """The events as they are made; none if the question is answered without work.

        Raises:
            Whatever the work raises.
        """
        coming = asyncio.create_task(self._coming.get())
        try:
            await asyncio.wait({coming, self.asking}, return_when=asyncio.FIRST_COMPLETED)
            while self.begun:
                event = await coming
                if event is None:
                    return
                if isinstance(event, BaseException):
                    raise event
                coming = asyncio.create_task(self._coming.get())
                yield event
        finally:
            coming.cancel()


def events_of(answer: SemanticAnswer) -> list[ServerSentEvent]:
    """The events that were kept.

    Raises:
        ValueError: what was kept is something else.
    """
    try:
        kept = json.loads(answer.answer.value)
    except RecursionError as error:
        raise ValueError("these are no events") from error
    if type(kept) is not list or not all(_is_event(each) for each in kept):
        raise ValueError("these are no events")
    return [ServerSentEvent(data, event) for event, data in kept]


def _is_event(each: object) -> bool:
    return type(each) is list and len(each) == 2 and all(isinstance(part, str | None) for part in each)


def _kept(answer: SemanticAnswer) -> list[ServerSentEvent] | None:
    """The events that were kept; None if they cannot be read, so that the answer has to be made anew."""
    try:
        return events_of(answer)
    except ValueError:
        return None
