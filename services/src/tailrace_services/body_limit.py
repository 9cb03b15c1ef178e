"""A bound on request bodies, refused in the service's own shape. Touches nothing but the messages that pass.

Starlette's own limit answers in plain text; this one raises inside the framework, whose handlers then answer.
"""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["BodyLimitMiddleware"]


class BodyLimitMiddleware:
    """Refuses a body that is, or says it is, longer than ``limit`` bytes.

    Args:
        app: the application.
        limit: bytes.
    """

    def __init__(self, app: ASGIApp, *, limit: int) -> None:
        self.app = app
        self._limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        lengths = [value for name, value in scope["headers"] if name == b"content-length"]
        declared = max([int(value) for value in lengths if value.isdigit() and len(value) < 20], default=0)
        taken = 0

        async def receive_bounded() -> Message:
            nonlocal taken
            if declared <= self._limit:
                message = await receive()
                taken += len(message.get("body", b""))
                if taken <= self._limit:
                    return message
            raise HTTPException(413, f"the body must not be longer than {self._limit} bytes")

        await self.app(scope, receive_bounded, send)
