"""Writes that happen once, however often they are asked for. Touches: the database.

A client names a write by a key of its own (``Idempotency-Key``). The key is claimed in the transaction that writes, so
both are there or neither: when a server dies, or the line, the client asks again and either finds the answer or is the
first. Of two that claim a key at once, the unique index lets the second wait for the first to end.

Whatever was decided is kept, refusals too, as long as the ledger is: asked again, it is answered again. A key that
comes with another question is a mistake of the client's, and is not answered.

**Source:** draft-ietf-httpapi-idempotency-key-header-07 sections 2.1 (syntax), 2.2 (uniqueness), 2.4 (fingerprint),
2.6 (enforcement) and 2.7 (error scenarios); RFC 9651 section 3.3.3 (strings).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from pydantic import BaseModel
from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from tailrace.errors import RequestError
from tailrace_services.research_hub.model import IdempotencyKey

__all__ = ["Asked", "Outcome", "once", "parse_key", "refused"]

LONGEST_KEY = 255
"""Characters."""

_STRING = re.compile(r'"((?:[ !#-\[\]-~]|\\["\\])*)"')
_BARE = re.compile(r"[A-Za-z0-9._~:/+=@-]+")
_ESCAPED = re.compile(r'\\(["\\])')


@dataclass(frozen=True, slots=True)
class Asked:
    """A write that a user names by ``key``; ``fingerprint`` tells it from any other."""

    user_id: int
    key: str
    fingerprint: str

    @classmethod
    def of(cls, user_id: int, key: str, operation: str, body: BaseModel) -> Asked:
        """The write ``operation`` with a checked ``body``; how it was spelled in JSON makes no difference."""
        described = json.dumps([operation, body.model_dump(mode="json")], sort_keys=True, separators=(",", ":"))
        return cls(user_id, key, hashlib.sha256(described.encode()).hexdigest())


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a write came to: a success's ``body``, or a refusal's code and message as JSON."""

    status: int
    body: bytes
    replayed: bool = False

    def answer(self) -> bytes:
        """The body of a success.

        Raises:
            RequestError: it is a refusal.
        """
        if self.status < 400:
            return self.body
        refusal = json.loads(self.body)
        raise RequestError(refusal["message"], status=self.status, code=refusal["code"])


def refused(status: int, code: str, message: str) -> Outcome:
    """A write that was decided against."""
    return Outcome(status, json.dumps({"code": code, "message": message}).encode())


def parse_key(fields: Sequence[str]) -> str:
    """The key in the header fields ``Idempotency-Key``: a string of RFC 9651, or what clients send without its quotes.

    Raises:
        RequestError: 400, there is none, or several, or it cannot be read.

    >>> parse_key(['"8e03978e-40d5"']), parse_key(["8e03978e-40d5"])
    ('8e03978e-40d5', '8e03978e-40d5')
    """
    if not fields:
        raise RequestError("send an Idempotency-Key, another one for each transfer", code="idempotency_key_missing")
    text = fields[0].strip(" ")
    quoted = _STRING.fullmatch(text)
    key = _ESCAPED.sub(r"\1", quoted[1]) if quoted else text
    if len(fields) > 1 or not (quoted or _BARE.fullmatch(text)) or not 0 < len(key) <= LONGEST_KEY:
        message = f"Idempotency-Key must be one string of 1 to {LONGEST_KEY} characters"
        raise RequestError(message, code="idempotency_key_invalid")
    return key


async def once(session: AsyncSession, asked: Asked, now: datetime, work: Callable[[], Awaitable[Outcome]]) -> Outcome:
    """What ``work()`` came to, now or when the same was asked for before. Commits nothing itself.

    Args:
        work: writes through ``session``; called only by the first.

    Raises:
        RequestError: 422, the key was used for something else.

    Cost: 2 round trips beside ``work``'s; 2 where there is an answer already.
    """
    mine = (IdempotencyKey.user_id == asked.user_id) & (IdempotencyKey.key == asked.key)
    claim = insert(IdempotencyKey).values(
        user_id=asked.user_id, key=asked.key, fingerprint=asked.fingerprint, created_at=now
    )
    claimed = await session.scalar(claim.on_conflict_do_nothing().returning(IdempotencyKey.key))
    if claimed is None:
        kept = (await session.execute(select(IdempotencyKey).where(mine))).scalar_one()
        if kept.fingerprint != asked.fingerprint:
            message = "this Idempotency-Key was used for another request; take a new one"
            raise RequestError(message, status=422, code="idempotency_key_reused")
        assert kept.status is not None
        assert kept.body is not None
        return replace(Outcome(kept.status, kept.body), replayed=True)
    outcome = await work()
    await session.execute(update(IdempotencyKey).where(mine).values(status=outcome.status, body=outcome.body))
    return outcome
