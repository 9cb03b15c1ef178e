"""An answer as events, and as a whole. Pure.

``start`` (what is asked), ``cache`` (how the answer was found), ``status`` (what is being done), ``chunk`` (a piece of
the answer), ``sources``, ``done``. A status of ``answering`` begins the answer: another one voids the chunks before it.
What the cache keeps is all from ``status`` on: whoever asks again gets the same pieces in the same order.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import Any

from tailrace.fastapi import ServerSentEvent
from tailrace.semantic import SemanticAnswer
from tailrace_services.trading_desk.answers.passage import AnswerBody, Outcome, Passage
from tailrace_services.trading_desk.answers.wording import Piece, Wording

__all__ = ["Find", "cache_event", "found_event", "is_whole", "made", "same_said", "start_event", "whole"]

Find = Callable[[], Awaitable[Sequence[Passage]]]
"""Finds the passages for a question."""


def start_event(asked: str, corpus: str) -> ServerSentEvent:
    """The first: whoever got events before and gets this one begins anew."""
    return ServerSentEvent.json({"question": asked, "corpus": corpus}, event="start")


def cache_event(outcome: Outcome, similarity: float | None = None, asked: str | None = None) -> ServerSentEvent:
    """How the answer was found."""
    said = {"outcome": outcome, "similarity": None if similarity is None else round(similarity, 4), "asked": asked}
    return ServerSentEvent.json(said, event="cache")


def found_event(found: SemanticAnswer) -> ServerSentEvent:
    """The same, of an answer that was kept or that somebody else waited for."""
    return cache_event(found.outcome, found.similarity, found.asked)


async def made(asked: str, find: Find, wording: Wording) -> AsyncIterator[ServerSentEvent]:
    """The events of an answer while it is made."""
    yield _event("status", {"stage": "retrieving"})
    passages = await find()
    answering = _event("status", {"stage": "answering", "passages": len(passages)})
    yield answering
    count, worded, degraded = 0, wording.version, False
    async with aclosing(wording.word(asked, passages)) as steps:
        async for step in steps:
            if isinstance(step, Piece):
                count += 1
                yield _event("chunk", {"text": step.text})
                continue
            worded, degraded = step.wording, step.degraded
            if count:
                count = 0
                yield answering
    yield _event("sources", {"sources": [passage.model_dump() for passage in passages]})
    yield _event("done", {"chunks": count, "wording": worded, "degraded": degraded})


def is_whole(event: ServerSentEvent) -> bool:
    """False for the end of an answer that is not to be kept: a better one may be had soon."""
    return event.event != "done" or not json.loads(event.data or "{}")["degraded"]


async def whole(events: AsyncIterator[ServerSentEvent]) -> tuple[AnswerBody, Outcome]:
    """The answer that all the events are, and how it was found."""
    said: list[str] = []
    found: dict[str, Any] = {}
    async for event in events:
        data = json.loads(event.data or "{}")
        if event.event == "chunk":
            said.append(data["text"])
            continue
        if data.get("stage") == "answering":
            said.clear()
        found |= data
    sources = [Passage.model_construct(**source) for source in found["sources"]]
    answer = AnswerBody.model_construct(
        corpus=found["corpus"],
        answer="".join(said),
        sources=sources,
        wording=found["wording"],
        degraded=found["degraded"],
    )
    return answer, found["outcome"]


def same_said(kept: bytes, fresh: bytes) -> bool:
    """Whether two kept answers have a piece in common, or neither has any: they may differ in what else they say."""
    one, other = ({data for event, data in json.loads(each) if event == "chunk"} for each in (kept, fresh))
    return bool({_bare(each) for each in one} & {_bare(each) for each in other}) or not (one or other)


def _bare(data: str) -> str:
    """A piece without its citation."""
    return str(json.loads(data)["text"]).rpartition(" [")[0].strip()


def _event(name: str, said: dict[str, Any]) -> ServerSentEvent:
    return ServerSentEvent.json(said, event=name)
