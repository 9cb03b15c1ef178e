"""Whatever an origin sends, the proxy shows no part as a whole, stores nothing that was not whole, lets no byte of one
response into the next, and answers; a strict reader of its own (h11) says what was sent.

``TAILRACE_FUZZ_TRIES`` has more tries than the few hundred of each run, ``TAILRACE_FUZZ_SEED`` other ones or those of a
failure, which names its seed.
"""

from __future__ import annotations

import asyncio
import os
import re
from dataclasses import dataclass
from random import Random, SystemRandom
from typing import Literal

import h11
from tests.integration.proxy.hostile_responses import Hostile, hostile
from tests.integration.proxy.raw import Asked, Between, Client, Reply, between, plain, request

TRIES = int(os.environ.get("TAILRACE_FUZZ_TRIES", "400"))
AT_ONCE = 16
PATIENCE = 60.0
"""Seconds for an answer; the proxy waits a fraction of one for a silent origin."""

INTERIM = re.compile(rb"^(HTTP/1\.1 1\d\d [^\r\n]*\r\n(?:[^\r\n]+\r\n)*\r\n)[\r\n]+")
"""An interim answer, and empty lines after it."""
PHRASE = re.compile(rb"^((?:HTTP/1\.1 1.*?\r\n\r\n)?HTTP/1\.[01] [1-9]\d\d )[^\r\n]*", re.DOTALL)
"""The final status line, up to its phrase, and that."""


@dataclass(frozen=True, slots=True)
class Understood:
    """What a strict client understands of a response."""

    kind: Literal["whole", "unfinished", "wrong"]
    status: int = 0
    fields: tuple[tuple[bytes, bytes], ...] = ()
    body: bytes = b""

    @property
    def may_be_stored(self) -> bool:
        """False if it says that it must not."""
        said = b",".join(value for name, value in self.fields if name == b"cache-control").lower()
        return b"no-store" not in said and b"private" not in said


@dataclass
class Try:
    """One response of the origin's; who asks again gets another one that nobody may store."""

    number: int
    response: Hostile
    asked: int = 0

    @property
    def path(self) -> str:
        return f"/tries/{self.number}"

    @property
    def second(self) -> bytes:
        return b"second %d" % self.number


def _understood(response: Hostile) -> Understood:
    """What h11 says of it, but for two liberties that harm nobody: empty lines before a status line (RFC 9112
    section 2.2), and any reason phrase, which nobody is shown."""
    sent = INTERIM.sub(rb"\1", response.sent.lstrip(b"\r\n"), count=1)
    sent = PHRASE.sub(rb"\1-", sent, count=1)
    client = h11.Connection(h11.CLIENT, max_incomplete_event_size=200_000)
    client.send(h11.Request(method="GET", target="/", headers=[("Host", "shop.example")]))
    client.send(h11.EndOfMessage())
    status, fields, body = 0, (), b""
    try:
        client.receive_data(sent)
        if response.closed:
            client.receive_data(b"")
        while True:
            event = client.next_event()
            if isinstance(event, h11.Response):
                status, fields = event.status_code, tuple((bytes(name), bytes(value)) for name, value in event.headers)
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                return Understood("whole", status, fields, body)
            elif not isinstance(event, h11.InformationalResponse):
                return Understood("unfinished", status, fields, body)
    except h11.RemoteProtocolError:
        return Understood("wrong")


def _mistake(sent: Try, first: Reply) -> str | None:
    """What is wrong with the answer of who asked first; None if nothing is."""
    if any(re.search(r"[\x00-\x08\x0a-\x1f\x7f]", name + value) for name, value in first.fields):
        return "a control character in a field"
    if _is_refusal(first):
        return None if first.whole else "a refusal that is cut off"
    if not first.whole:
        return None
    if first.body == sent.second:
        # A connection that is closed without a byte is no answer: a GET is asked once more on another.
        return None if not sent.response.sent and sent.response.closed else "the answer of another request"
    understood = _understood(sent.response)
    if understood.kind != "whole":
        return f"a whole answer from what is {understood.kind}"
    if first.status != understood.status or (first.body != understood.body and first.status not in (204, 304)):
        return "another status or another body"
    return None


def _is_refusal(reply: Reply) -> bool:
    """Whether the proxy itself says that the origin gave no answer."""
    return reply.status in (502, 504) and reply.value("content-type") == "application/problem+json"


async def _tried(proxy: Between, sent: Try) -> str | None:
    """What went wrong with one response, its connection, and what is stored of it."""
    async with proxy.client() as client:
        try:
            first = await client.ask(request(sent.path))
        except (asyncio.IncompleteReadError, ConnectionError):
            return "no answer at all"
        return (
            _mistake(sent, first)
            or (await _mistake_of_the_next(client) if first.whole else None)
            or await _mistake_of_the_stored(proxy, sent, first)
        )


async def _mistake_of_the_next(client: Client) -> str | None:
    """What is wrong with the answer after another one, if the connection was kept."""
    try:
        reply = await client.ask(request("/good"))
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    return None if reply.body == b"good" or _is_refusal(reply) else "the next answer on the connection is another"


async def _mistake_of_the_stored(proxy: Between, sent: Try, first: Reply) -> str | None:
    """What is wrong with the answer of who asks after ``first``, and with its coming from the cache."""
    asked = sent.asked
    second = await proxy.ask(request(sent.path))
    if sent.asked > asked:
        return None if second.body == sent.second or _is_refusal(second) else "the second answer is another"
    if _is_refusal(first) or not first.whole:
        return "stored, though it was not whole"
    if first.body == sent.second or not _understood(sent.response).may_be_stored:
        return "stored, though that was forbidden"
    if (second.status, second.body) != (first.status, first.body):
        return "stored otherwise than it was shown"
    return None


async def test_whatever_an_origin_sends() -> None:
    """The rules above, for some hundreds of responses of chance, many at a time over the same connections."""
    seed = os.environ.get("TAILRACE_FUZZ_SEED") or (
        "1" if os.environ.get("CI") else str(SystemRandom().getrandbits(32))
    )
    tries = [Try(number, hostile(Random(f"{seed}/{number}"), b"<%d>" % number)) for number in range(TRIES)]

    async def origin(asked: Asked) -> None:
        path = asked.line.split(" ")[1]
        found = None if path == "/good" else tries[int(path.removeprefix("/tries/"))]
        again = found is None or found.asked
        if found:
            found.asked += 1
        if again:
            await asked.send(plain(found.second if found else b"good", "Cache-Control: no-store"))
        else:
            for piece in found.response.pieces:
                await asked.send(piece)
            if found.response.closed:
                asked.writer.close()

    mistakes: list[str] = []
    left = iter(tries)

    async def worker(proxy: Between) -> None:
        for sent in left:
            async with asyncio.timeout(PATIENCE):
                mistake = await _tried(proxy, sent)
            if mistake:
                ending = "closed" if sent.response.closed else "left open"
                mistakes.append(f"try {sent.number}: {mistake}: {sent.response.sent[:400]!r}, {ending}")

    async with between(origin, timeout=0.5) as proxy:
        await asyncio.gather(*(worker(proxy) for _ in range(AT_ONCE)))
    assert not mistakes, f"seed {seed}: " + "\n".join(mistakes)
    kinds = {_understood(each.response).kind for each in tries}
    assert kinds == {"whole", "unfinished", "wrong"}
