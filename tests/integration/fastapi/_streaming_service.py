"""A service that counts, for tests that stop it; with ``HOLDS`` in its environment it goes no further than one."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator

from fastapi import FastAPI, Response

from tailrace import Tailrace
from tailrace.fastapi import EventStreamResponse, ServerSentEvent, StreamingDependency

app = FastAPI()
Tailrace(app)


async def count() -> AsyncIterator[ServerSentEvent]:
    """One, two."""
    yield ServerSentEvent("one")
    if "HOLDS" in os.environ:
        await asyncio.Event().wait()
    yield ServerSentEvent("two")


@app.get("/numbers", response_class=EventStreamResponse)
async def numbers(streaming: StreamingDependency) -> Response:
    """All of them."""
    return await streaming(count, scope="")
