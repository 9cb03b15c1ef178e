"""The wording that the settings choose, started and stopped. Touches: the network, for a language model."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tailrace.events import Observer
from tailrace_services.chat_endpoint import ChatSettings
from tailrace_services.trading_desk.answers.chat_wording import ChatWording
from tailrace_services.trading_desk.answers.wording import Extractive, Wording

__all__ = ["running_wording"]


@asynccontextmanager
async def running_wording(chat: ChatSettings | None, *, observer: Observer | None = None) -> AsyncIterator[Wording]:
    """A language model at ``chat``, or without one the passages' own sentences."""
    if chat is None:
        yield Extractive()
        return
    wording = ChatWording(chat, observer=observer)
    try:
        yield wording
    finally:
        await wording.aclose()
