"""A request whose body is watched while the application reads it, and may be refused in the middle. Touches nothing.

What the application makes of a body that it could not read does not matter: frameworks turn whatever goes wrong there
into an answer of their own. The refusal takes that answer's place, unless some of it has been sent.
"""

from __future__ import annotations

from collections.abc import Awaitable

from tailrace.asgi.types import ASGIApp, Message, Receive, Scope, Send
from tailrace.errors import RequestError

__all__ = ["Reading"]


class Reading:
    """One request; made for it alone.

    A kind of reading overrides :meth:`read`, and returns :meth:`refuse` as an error to raise.
    """

    __slots__ = ("_begun", "_receive", "_refusal", "_send")

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._begun = False
        self._refusal: RequestError | None = None

    async def serve(self, app: ASGIApp, scope: Scope) -> None:
        """Run the application.

        Raises:
            RequestError: the body was refused, and nothing has been answered.
            Exception: what the application raises.
        """
        try:
            await app(scope, self._read_unless_refused, self._send_unless_refused)
        except Exception:
            if self._refusal is None or self._begun:
                raise
        if self._refusal is not None and not self._begun:
            raise self._refusal

    async def read(self) -> Message:
        """The next message for the application.

        Raises:
            RequestError: the body is refused.
        """
        return await self._receive()

    def refuse(self, message: str, status: int, code: str) -> RequestError:
        """Refuse the body from now on; the error to raise."""
        self._refusal = RequestError(message, status=status, code=code)
        return self._refusal

    async def _read_unless_refused(self) -> Message:
        if self._refusal is not None:
            raise self._refusal
        return await self.read()

    def _send_unless_refused(self, message: Message) -> Awaitable[None]:
        if self._refusal is not None and not self._begun:
            return _nothing()  # what an application says of a body that it could not read
        self._begun = True
        return self._send(message)


async def _nothing() -> None:
    return None
