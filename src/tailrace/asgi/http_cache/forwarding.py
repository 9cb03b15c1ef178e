"""One request on its way to the application and back: passed on as it comes, and stored when it is complete.

Touches: the store, the clock, the client's ``send``. The application's messages arrive in ``receive_from_app``; what
they mean is decided with the first one:

- ``passed``: it is the client's, and perhaps the store's;
- ``confirmed``: a 304 to the cache's own conditions, of which the client hears nothing;
- ``failed``: a 5xx in whose place something stored may be served.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Literal

from tailrace.asgi.exchange import Exchange
from tailrace.asgi.headers import read_headers
from tailrace.asgi.http_cache.parts import grown, joined, run_of
from tailrace.asgi.http_cache.shelf import Found, Shelf
from tailrace.asgi.http_cache.stored import StoredResponse
from tailrace.asgi.http_cache.storing import (
    Directives,
    Guess,
    age_on_arrival,
    directives_of,
    lifetime_of,
    refusal,
    stored_fields,
)
from tailrace.asgi.http_cache.update import groups_of, head_agrees, refreshed
from tailrace.asgi.types import Header, Message, Send
from tailrace.clock import Clock
from tailrace.errors import StoreUnavailableError, UpstreamError

__all__ = ["FlightEnd", "Forwarding"]

KEPT_STALE = 24 * 3600.0
"""Seconds beyond its freshness for which a response is kept: to be validated, or to stand in for a failure."""

Outcome = Literal["nothing", "passed", "confirmed", "failed"]

PATIENCE = 1.0
"""Seconds for which others wait for a response whose client takes nothing more of it."""

FlightEnd = Literal["stored", "passed", "lost", "slow"]
"""What those who wait for a response learn of it: it is stored; it is for its client alone; it never came; its client
is slow to take it, so that another request shall fetch it for them."""


class Forwarding:
    """Takes what the application sends.

    Args:
        exchange: the client's.
        found: what the shelf held before.
        validating: what the request's conditions ask about, None if they are the client's own.
        why: the reason for ``Cache-Status``.
        survives: whether something stored may stand in for a failure; told whether there was no answer at all.
        flight: told, as early as it is known, whether others may wait for this response.

    Attributes:
        outcome: see the module.
        status: the application's.
    """

    def __init__(
        self,
        exchange: Exchange,
        found: Found,
        validating: StoredResponse | None,
        *,
        shelf: Shelf,
        clock: Clock,
        max_body: int,
        guess: Guess,
        why: bytes,
        survives: Callable[[bool], bool],
        flight: asyncio.Future[FlightEnd] | None,
        send: Send,
    ) -> None:
        self._exchange = exchange
        self._found = found
        self._validating = validating
        self._shelf = shelf
        self._clock = clock
        self._max_body = max_body
        self._guess = guess
        self._why = why
        self._survives = survives
        self._flight = flight
        self._send = send
        self._requested = clock.now()
        self._received = 0.0
        self._headers: list[Header] = []
        self._fields: dict[bytes, bytes] = {}
        self._lifetime: float | None = None
        self._said: Directives | None = None
        self._chunks: list[bytes] | None = None
        self._size = 0
        self.outcome: Outcome = "nothing"
        self.status = 0

    def may_stand_in(self, error: Exception) -> bool:
        """Whether something stored may be served although the application raised ``error``.

        Only an origin that cannot be reached is none (4.2.4); an application that raises anything else has failed, as
        one that answers 500.
        """
        unreachable = isinstance(error, OSError | UpstreamError)
        return self.outcome == "failed" or (self.outcome == "nothing" and self._survives(unreachable))

    @property
    def waited(self) -> float:
        """Seconds until the application's answer began."""
        return max(0.0, self._received - self._requested)

    async def receive_from_app(self, message: Message) -> None:
        """The application's ``send``."""
        kind = message["type"]
        if kind == "http.response.start":
            await self._begin(message)
        elif self.outcome != "passed":
            return
        elif kind == "http.response.body":
            await self._continue(message)
        else:
            self._chunks = None  # what comes besides a body, such as trailers, is passed on and not kept
            await self._send(message)

    async def confirm(self) -> StoredResponse | None:
        """What was confirmed, with the 304's fields, kept anew if it is still for all (4.3.4).

        None if the 304 is about something else, or does not say about which of several.
        """
        told, stored = self._fields.get(b"etag"), self._found.responses
        for each in stored:
            mine = each.fields.get(b"etag")
            if told == mine or (len(stored) == 1 if told is None else told.startswith(b"W/") and mine is None):
                fresh = self._refreshed(each)
                await self._keep_refreshed(fresh)
                return fresh
        return None

    # --- the response ------------------------------------------------------------------------------------------------

    async def _begin(self, message: Message) -> None:
        self._received = self._clock.now()
        self.status = message["status"]
        self._headers = list(message.get("headers", ()))
        self._fields = read_headers([(name.lower(), value) for name, value in self._headers])
        if self.status == 304 and self._validating is not None:
            self.outcome = "confirmed"
            return
        if self.status >= 500 and self._survives(False):
            self.outcome = "failed"
            return
        self.outcome = "passed"
        if self._exchange.method == "HEAD":
            await self._compare()
        elif not message.get("trailers"):
            self._prepare()
        if self._chunks is None:
            self._tell("passed")  # nobody waits for what is not theirs
        stored = b"; stored" if self._chunks is not None else b""
        status = b"tailrace; fwd=%b; fwd-status=%d%b" % (self._why, self.status, stored)
        self._exchange.cache = "miss"
        await self._send({**message, "headers": [*self._headers, (b"cache-status", status)]})

    def _prepare(self) -> None:
        """Begin to record what may be stored."""
        said = self._said = directives_of(self._fields)
        if refusal(self.status, self._fields, said, self._exchange.headers) is not None:
            return
        if self.status == 206 and (b"range" not in self._exchange.headers or run_of(self._fields) is None):
            return
        lifetime = lifetime_of(self.status, self._fields, said, self._received, guess=self._guess)
        has_validator = b"etag" in self._fields or b"last-modified" in self._fields
        if lifetime is None and said.control.no_cache and has_validator:
            lifetime = 0.0
        if lifetime is None or (lifetime <= 0 and not has_validator):
            return
        length = self._fields.get(b"content-length", b"0")
        if length.isdigit() and int(length) <= self._max_body:
            self._lifetime, self._chunks = lifetime, []

    async def _continue(self, message: Message) -> None:
        chunks, more = self._chunks, message.get("more_body", False)
        if chunks is not None:
            chunk = message.get("body", b"")
            self._size += len(chunk)
            if self._size > self._max_body:
                self._chunks = None
                self._tell("passed")
            else:
                chunks.append(bytes(chunk))
                if not more:
                    await self._store(b"".join(chunks))
        if self._chunks is None or not message.get("more_body", False):
            await self._send(message)
            return
        impatient = asyncio.get_running_loop().call_later(PATIENCE, self._give_up)
        try:
            await self._send(message)
        finally:
            impatient.cancel()

    def _give_up(self) -> None:
        """Keep nothing of a response that nobody shall wait for: another one will be stored before it."""
        if self._flight is not None:
            self._chunks = None
            self._tell("slow")

    async def _store(self, body: bytes) -> None:
        """Keep the response, unless it is not as long as it said."""
        assert self._said is not None
        assert self._lifetime is not None
        length = self._fields.get(b"content-length")
        if length is not None and self.status != 204 and int(length) != len(body):
            return
        if self.status == 206 and run_of(self._fields, len(body)) is None:
            return
        response = StoredResponse(
            self.status,
            stored_fields(self._headers, self._fields, self._said.control),
            body,
            self._received,
            age_on_arrival(self._fields, self._requested, self._received),
            self._lifetime,
            (),
        )
        await self._keep(self._with_what_is_held(response) if self.status == 206 else response)

    def _with_what_is_held(self, part: StoredResponse) -> StoredResponse:
        """The part together with what of the same representation lies on the shelf (RFC 9111 section 3.4)."""
        for held in (*self._found.parts, *self._found.responses):
            together = joined(part, held, self._received)
            if together is not None and len(together[2]) <= self._max_body:
                return grown(self._refreshed(held), *together)
        return part

    def _refreshed(self, stored: StoredResponse) -> StoredResponse:
        return refreshed(stored, self._headers, self._requested, self._received, guess=self._guess)

    async def _keep_refreshed(self, fresh: StoredResponse) -> None:
        """Keep what is stored with new fields, unless these are for the client alone: then it stays as it was."""
        if refusal(fresh.status, fresh.fields, directives_of(fresh.fields), self._exchange.headers) is None:
            await self._keep(fresh)
        else:
            self._tell("passed")

    async def _keep(self, response: StoredResponse) -> None:
        control = response.control
        beyond = max(control.stale_while_revalidate or 0, control.stale_if_error or 0, KEPT_STALE)
        ttl = max(0.0, response.lifetime - response.initial_age) + beyond
        groups = groups_of(response.fields.get(b"cache-groups"))
        try:
            kept = await self._shelf.keep(self._found, response, self._exchange.headers, groups, ttl)
        except StoreUnavailableError:
            kept = False
        self._tell("stored" if kept else "passed")

    async def _compare(self) -> None:
        """A HEAD's 200 tells whether what is stored of the GET still is right (RFC 9111 section 4.3.5)."""
        if self.status != 200 or not self._found.responses:
            return
        stored = self._found.responses[0]
        if head_agrees(stored, self._fields, self._received):
            await self._keep_refreshed(self._refreshed(stored))
        else:
            await self._keep(stored.stale())

    def _tell(self, end: FlightEnd) -> None:
        if self._flight is not None and not self._flight.done():
            self._flight.set_result(end)
