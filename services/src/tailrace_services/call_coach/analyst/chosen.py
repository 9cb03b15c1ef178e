"""The analyst that the settings choose, started and stopped. Touches: the network, for a language model."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tailrace.clock import Clock
from tailrace.events import Observer
from tailrace_services.call_coach.analyst.analysis import Analyst, ConversationMetrics
from tailrace_services.call_coach.analyst.chat_completions import ChatCompletions
from tailrace_services.chat_endpoint import ChatSettings

__all__ = ["running_analyst"]


@asynccontextmanager
async def running_analyst(
    chat: ChatSettings | None, *, clock: Clock | None = None, observer: Observer | None = None
) -> AsyncIterator[Analyst]:
    """A language model at ``chat``, or without one the analyst that needs none."""
    if chat is None:
        yield ConversationMetrics()
        return
    async with ChatCompletions(chat, clock=clock, observer=observer) as analyst:
        yield analyst
