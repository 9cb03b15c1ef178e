from __future__ import annotations

import asyncio
import json
import random
import threading
from typing import Any

import pytest
from tests.unit.asgi.driver import App, Reply, ask, decoded, http_scope

from tailrace import events
from tailrace.asgi.compression import CompressionMiddleware
from tailrace.asgi.types import Message
from tailrace.settings import CompressionSettings

BODY = json.dumps([{"id": number, "name": "a call"} for number in range(200)]).encode()
JSON = (b"content-type", b"application/json")
ALL = [(b"accept-encoding", b"gzip, deflate, br, zstd")]


def accepting(value: bytes) -> list[tuple[bytes, bytes]]:
    return [(b"accept-encoding", value)]


async def get(headers: Any = (), body: bytes = BODY, *, status: int = 200, asked: Any = ALL, **changes: Any) -> Reply:
    app = CompressionMiddleware(App(body, status, [JSON, *headers]), **changes.pop("options", {}))
    return await ask(app, headers=asked, **changes)


class Sends:
    """An application that sends these messages, and notes what had come out after each."""

    def __init__(self, *messages: Message) -> None:
        self.messages = messages
        self.came_out: list[int] = []
        self.reply: Reply | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        for message in self.messages:
            await send(message)


def start(*headers: tuple[bytes, bytes], status: int = 200, **more: Any) -> Message:
    return {"type": "http.response.start", "status": status, "headers": list(headers), **more}


def part(body: bytes, more: bool = True) -> Message:
    return {"type": "http.response.body", "body": body, "more_body": more}


@pytest.mark.parametrize("encoding", ["zstd", "br", "gzip"])
async def test_a_body_is_encoded_as_asked(encoding: str) -> None:
    """The content is the same, smaller, says its coding, its length and what it depends on."""
    reply = await get(asked=accepting(encoding.encode()))
    assert reply.headers[b"content-encoding"] == encoding.encode()
    assert reply.headers[b"content-length"] == b"%d" % len(reply.body)
    assert reply.headers[b"vary"] == b"Accept-Encoding"
    assert reply.content == BODY
    assert len(reply.body) < len(BODY) / 5
    assert len(reply.messages) == 2


@pytest.mark.parametrize("value", [b"", b"identity", b"gzip;q=0", b"*;q=0", b"deflate", b"gzip;q=0, br;q=0.0"])
async def test_a_refused_coding_is_not_sent(value: bytes) -> None:
    """A client that refuses codings, or names none that is known, gets the body as it is, and caches learn why."""
    reply = await get(asked=accepting(value))
    assert b"content-encoding" not in reply.headers
    assert reply.body == BODY
    assert reply.headers[b"content-length"] == b"%d" % len(BODY)
    assert reply.headers[b"vary"] == b"Accept-Encoding"


@pytest.mark.parametrize(
    ("content_type", "compressed"),
    [
        (b"application/json", True),
        (b"Application/JSON; charset=utf-8", True),
        (b"application/problem+json", True),
        (b"application/vnd.api+json; version=1", True),
        (b"application/atom+xml", True),
        (b"image/svg+xml", True),
        (b"text/html; charset=utf-8", True),
        (b"text/csv", True),
        (b"text/javascript", True),
        (b"application/javascript", True),
        (b"application/xml", True),
        (b"application/x-ndjson", True),
        (b"text/event-stream", False),
        (b"text/event-stream; charset=utf-8", False),
        (b"image/png", False),
        (b"application/zip", False),
        (b"application/octet-stream", False),
        (b"application/json-seq-of-mine", False),
        (b"json", False),
        (b"", False),
    ],
)
async def test_which_types(content_type: bytes, compressed: bool) -> None:
    """Text is compressed, what is compressed already or unknown is not, and depends on nothing then."""
    reply = await ask(CompressionMiddleware(App(BODY, headers=[(b"content-type", content_type)])), headers=ALL)
    assert (b"content-encoding" in reply.headers) is compressed
    assert (b"vary" in reply.headers) is compressed
    assert reply.content == BODY


async def test_types_of_the_settings() -> None:
    """Only the types that the settings name, and an event stream when it is named itself."""
    settings = CompressionSettings(types=("text/event-stream", "image/*"))
    for content_type, compressed in ((b"text/event-stream", True), (b"image/bmp", True), (b"application/json", False)):
        app = CompressionMiddleware(App(BODY, headers=[(b"content-type", content_type)]), settings=settings)
        assert (b"content-encoding" in (await ask(app, headers=ALL)).headers) is compressed


async def test_without_a_type() -> None:
    """Nobody knows what it is, so it is left alone."""
    reply = await ask(CompressionMiddleware(App(BODY)), headers=ALL)
    assert reply.headers == {b"content-length": b"%d" % len(BODY)}


@pytest.mark.parametrize(
    "header",
    [
        (b"content-encoding", b"gzip"),
        (b"Content-Encoding", b"br"),
        (b"content-range", b"bytes 0-1/2"),
        (b"cache-control", b"max-age=60, No-Transform"),
        (b"content-digest", b"sha-256=:abc=:"),
        (b"repr-digest", b"sha-256=:abc=:"),
        (b"digest", b"sha-256=abc"),
        (b"signature", b"sig=:abc=:"),
        (b"trailer", b"Expires, Content-Digest"),
    ],
)
async def test_what_forbids_it(header: tuple[bytes, bytes]) -> None:
    """A coding, a range, no-transform, or somebody who vouches for the bytes: the response is sent as it came."""
    app = App(BODY, headers=[JSON, (b"etag", b'"v1"'), header])
    alone, wrapped = await ask(app), await ask(CompressionMiddleware(app), headers=ALL)
    assert wrapped.messages[0]["headers"] == [(name.lower(), value) for name, value in alone.messages[0]["headers"]]
    assert wrapped.messages[1:] == alone.messages[1:]


@pytest.mark.parametrize("status", [204, 205, 206])
async def test_statuses_without_content_of_their_own(status: int) -> None:
    """No content, and parts of one, are left alone."""
    reply = await get(status=status)
    assert b"content-encoding" not in reply.headers
    assert b"vary" not in reply.headers


async def test_errors_are_compressed_too() -> None:
    """A long error is content like any other."""
    assert (await get(status=404)).headers[b"content-encoding"] == b"zstd"


async def test_small_bodies() -> None:
    """Below the bound a body is sent as it is, but says that a longer one would depend on the request."""
    small, enough = await get(body=b"a" * 499), await get(body=b"a" * 500)
    assert small.body == b"a" * 499
    assert small.headers[b"vary"] == b"Accept-Encoding"
    assert enough.headers[b"content-encoding"] == b"zstd"


async def test_a_body_that_would_not_shrink() -> None:
    """It is sent as it is, with its own length and tag."""
    noise = random.Random(1).randbytes(600)
    reply = await get([(b"etag", b'"v1"')], body=noise, asked=accepting(b"gzip"))
    assert reply.body == noise
    assert reply.headers[b"etag"] == b'"v1"'
    assert reply.headers[b"content-length"] == b"%d" % len(noise)
    assert b"content-encoding" not in reply.headers


async def test_a_client_that_refuses_the_body_as_it_is() -> None:
    """identity;q=0 has even a small body encoded; when nothing is left, the body is sent all the same."""
    reply = await get(body=b"{}", asked=accepting(b"identity;q=0, gzip"))
    assert reply.content == b"{}"
    assert reply.headers[b"content-encoding"] == b"gzip"
    assert (await get(asked=accepting(b"*;q=0"))).body == BODY


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ([], b"Accept-Encoding"),
        ([(b"vary", b"Origin")], b"Origin, Accept-Encoding"),
        ([(b"Vary", b"Origin, accept-encoding")], b"Origin, accept-encoding"),
        ([(b"vary", b"*")], b"*"),
        ([(b"vary", b"Origin"), (b"vary", b"Cookie")], b"Origin, Cookie, Accept-Encoding"),
        ([(b"vary", b"")], b"Accept-Encoding"),
    ],
)
async def test_vary_is_merged(before: Any, after: bytes) -> None:
    """What the application says stays, Accept-Encoding is said once; encoded or not."""
    for asked in (ALL, []):
        reply = await get(before, asked=asked)
        told = [value for name, value in reply.messages[0]["headers"] if name.lower() == b"vary"]
        assert told == [after]


@pytest.mark.parametrize(
    ("before", "after"),
    [(b'"v1"', b'"v1-zstd"'), (b'W/"v1"', b'W/"v1"'), (b'""', b'"-zstd"'), (b"unquoted", b"unquoted")],
)
async def test_a_strong_tag_names_the_encoded_bytes(before: bytes, after: bytes) -> None:
    """Other bytes have another strong tag; a weak one stays, and so does the tag of a body that is not encoded."""
    assert (await get([(b"etag", before)])).headers[b"etag"] == after
    assert (await get([(b"etag", before)], asked=[])).headers[b"etag"] == before


class Conditional(App):
    """Answers If-None-Match and If-Match by comparing its one tag, as frameworks do."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        headers = dict(scope["headers"])
        self.scopes.append(scope)
        wanted, required = headers.get(b"if-none-match"), headers.get(b"if-match")
        if wanted is not None and b'"v1"' in [tag.strip() for tag in wanted.split(b",")]:
            await send(start((b"etag", b'"v1"'), status=304))
            await send(part(b"", more=False))
        elif required is not None and b'"v1"' not in [tag.strip() for tag in required.split(b",")]:
            await send(start(JSON, status=412))
            await send(part(b"", more=False))
        else:
            await super().__call__(scope, receive, send)


@pytest.mark.parametrize("encoding", ["zstd", "br", "gzip"])
async def test_a_tag_that_was_given_is_recognised(encoding: str) -> None:
    """A client's tag of an encoded response gives 304 with that very tag, and passes If-Match; another's does not."""
    app = Conditional(BODY, headers=[JSON, (b"etag", b'"v1"')])
    wrapped = CompressionMiddleware(app)
    accept = accepting(encoding.encode())
    tag = (await ask(wrapped, headers=accept)).headers[b"etag"]
    unchanged = await ask(wrapped, headers=[*accept, (b"if-none-match", b'"other", ' + tag)])
    assert (unchanged.status, unchanged.headers[b"etag"]) == (304, tag)
    assert unchanged.headers[b"vary"] == b"Accept-Encoding"
    assert (await ask(wrapped, method="PUT", headers=[*accept, (b"if-match", tag)])).status == 200
    old = tag.replace(b"v1", b"v0")
    assert (await ask(wrapped, method="PUT", headers=[*accept, (b"if-match", old)])).status == 412
    assert (await ask(wrapped, headers=[*accept, (b"if-none-match", old)])).status == 200
    # A weak tag is none of ours and never satisfies If-Match.
    assert (await ask(wrapped, method="PUT", headers=[*accept, (b"if-match", b"W/" + tag)])).status == 412


async def test_a_range_of_encoded_bytes_is_answered_whole() -> None:
    """Who has a part of an encoded response and asks for the rest never gets bytes of the other representation."""
    app = App(BODY, headers=[JSON, (b"etag", b'"v1"'), (b"accept-ranges", b"bytes")])
    wrapped = CompressionMiddleware(app)
    date = b"Tue, 14 Nov 2023 22:13:20 GMT"
    for condition, passed_on in ((b'"v1-zstd"', False), (b'"v1"', True), (date, False)):
        reply = await ask(wrapped, headers=[*ALL, (b"range", b"bytes=10-"), (b"if-range", condition)])
        assert ((b"range", b"bytes=10-") in app.scopes[-1]["headers"]) is passed_on
        assert reply.content == BODY
        assert b"accept-ranges" not in reply.headers
    await ask(wrapped, headers=[(b"range", b"bytes=10-"), (b"if-range", date)])
    assert (b"range", b"bytes=10-") in app.scopes[-1]["headers"]


async def test_head_says_what_get_would() -> None:
    """The fields of the GET, without a length that nobody knows; no body is made for it."""
    headers = [JSON, (b"etag", b'"v1"'), (b"content-length", b"%d" % len(BODY))]
    app = Sends(start(*headers), part(b"", more=False))
    reply = await ask(CompressionMiddleware(app), method="HEAD", headers=ALL)
    assert reply.headers[b"content-encoding"] == b"zstd"
    assert reply.headers[b"etag"] == b'"v1-zstd"'
    assert reply.headers[b"vary"] == b"Accept-Encoding"
    assert b"content-length" not in reply.headers
    assert reply.body == b""
    plain = await ask(CompressionMiddleware(app), method="HEAD")
    assert plain.headers[b"content-length"] == b"%d" % len(BODY)


async def test_opting_out() -> None:
    """``Content-Encoding: identity`` leaves the body alone and is not sent; ``skip`` is asked with the scope."""
    reply = await get([(b"content-encoding", b"Identity")])
    assert reply.body == BODY
    assert b"content-encoding" not in reply.headers
    assert b"vary" not in reply.headers
    reply = await get(options={"skip": lambda scope: scope["path"] == "/secret"}, path="/secret")
    assert reply.body == BODY
    assert (await get(options={"skip": lambda scope: scope["path"] == "/secret"})).body != BODY


async def stream(*messages: Message, settings: CompressionSettings | None = None) -> tuple[Reply, list[bytes]]:
    """The reply, and what had come out in all after each message went in."""
    after: list[bytes] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        for message in messages:
            await send(message)
            after.append(b"".join(m.get("body", b"") for m in reply.messages))

    reply = Reply()

    async def send(message: Any) -> None:
        reply.messages.append(dict(message))

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    await CompressionMiddleware(app, settings=settings)({**http_scope(), "headers": ALL}, receive, send)
    return reply, after


async def test_a_stream_is_never_held_back() -> None:
    """Whatever the application has sent can be read by the client before it sends more."""
    parts = [b"row %d\n" % number for number in range(10)]
    csv = start((b"content-type", b"text/csv"))
    reply, after = await stream(csv, *[part(each) for each in parts], part(b"", more=False))
    assert after[0] == b""
    from tests.unit.asgi.driver import zstd

    for number in range(1, 11):
        readable = zstd.ZstdDecompressor().decompress(after[number])
        assert readable == b"".join(parts[:number])
    assert reply.content == b"".join(parts)
    assert reply.headers == {
        b"content-type": b"text/csv",
        b"vary": b"Accept-Encoding",
        b"content-encoding": b"zstd",
    }


async def test_events_are_sent_one_by_one_when_their_type_is_named() -> None:
    """An event stream that is compressed is flushed at each event; by default it is not touched."""
    told = [b"data: %d\n\n" % number for number in range(5)]
    messages = [start((b"content-type", b"text/event-stream")), *[part(each) for each in told], part(b"", more=False)]
    reply, after = await stream(*messages)
    assert after[1:6] == [b"".join(told[: number + 1]) for number in range(5)]
    reply, after = await stream(*messages, settings=CompressionSettings(types=("text/event-stream",)))
    from tests.unit.asgi.driver import zstd

    assert [zstd.ZstdDecompressor().decompress(out) for out in after[1:6]] == [
        b"".join(told[: number + 1]) for number in range(5)
    ]
    assert reply.headers[b"content-encoding"] == b"zstd"


async def test_a_body_known_to_be_whole_is_no_stream() -> None:
    """When the first part is as long as Content-Length says, its end is known although the application has not said
    so, as with Starlette's older middleware."""
    whole = start(JSON, (b"content-length", b"%d" % len(BODY)))
    reply, _ = await stream(whole, part(BODY), part(b"", more=False))
    assert reply.headers[b"content-length"] == b"%d" % len(reply.body)
    assert [message["more_body"] for message in reply.messages[1:]] == [False]
    assert reply.content == BODY
    small, _ = await stream(start(JSON, (b"content-length", b"2")), part(b"{}"), part(b"", more=False))
    assert small.body == b"{}"
    assert b"content-encoding" not in small.headers


@pytest.mark.parametrize("length", [b"abc", b"-5", b"", b"\xb2", b"9" * 5000])
async def test_a_length_that_is_none(length: bytes) -> None:
    """What an application says of its length in vain is neither believed nor passed on."""
    reply, _ = await stream(start(JSON, (b"content-length", length)), part(BODY, more=False))
    assert reply.headers[b"content-length"] == b"%d" % len(reply.body)
    assert reply.content == BODY


@pytest.mark.parametrize("kind", [bytearray, memoryview])
async def test_a_body_that_is_not_bytes(kind: Any) -> None:
    """Whatever holds bytes is encoded, in each coding."""
    for encoding in (b"zstd", b"br", b"gzip"):
        assert (await get(body=kind(BODY), asked=accepting(encoding))).content == BODY


async def test_empty_parts() -> None:
    """A part without bytes sends the head and costs no bytes of coding."""
    csv = start((b"content-type", b"text/csv"))
    reply, after = await stream(csv, part(b""), part(b""), part(b"rows"), part(b"", more=False))
    assert after[:3] == [b"", b"", b""]
    assert reply.content == b"rows"


@pytest.mark.parametrize("kind", ["http.response.pathsend", "http.response.zerocopysend"])
async def test_what_the_server_sends_from_a_file(kind: str) -> None:
    """The start is sent as it came, and the file is the server's to send."""
    file = {"type": kind, "path": "/some/file", "file": 3}
    begun = start(JSON, (b"content-length", b"100000"))
    reply, _ = await stream(begun, file)
    assert reply.messages == [start(JSON, (b"content-length", b"100000"), (b"vary", b"Accept-Encoding")), file]


async def test_trailers_and_other_messages_pass() -> None:
    """Trailers come after the body, hints before the start; neither is lost."""
    hint = {"type": "http.response.early_hint", "links": [b"</a.css>; rel=preload"]}
    trailers = {"type": "http.response.trailers", "headers": [(b"x-rows", b"2")], "more_trailers": False}
    reply, _ = await stream(hint, start(JSON, trailers=True), part(BODY, more=False), trailers)
    assert [message["type"] for message in reply.messages] == [
        "http.response.early_hint",
        "http.response.start",
        "http.response.body",
        "http.response.trailers",
    ]
    assert reply.messages[1]["trailers"] is True
    assert decoded(reply.messages[2]["body"], "zstd") == BODY
    assert reply.messages[3] == trailers


async def test_an_error_before_the_body_can_still_be_answered() -> None:
    """The start waits for the body, so an application that fails between the two has sent nothing."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start(JSON))
        raise LookupError

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    with pytest.raises(LookupError):
        await CompressionMiddleware(app)({**http_scope(), "headers": ALL}, App, send)
    assert sent == []


async def test_websockets_and_lifespan_pass() -> None:
    """What is not HTTP is not touched."""
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append((scope, receive, send))

    for kind in ("websocket", "lifespan"):
        scope, receive, send = {"type": kind, "headers": ALL}, object(), object()
        await CompressionMiddleware(app)(scope, receive, send)  # type: ignore[arg-type]
        assert seen[-1] == (scope, receive, send)


async def test_large_parts_leave_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Above the bound compression runs in threads, few of them, and parts of a stream keep their order."""
    from tailrace.asgi.codecs import Gzip

    threads: set[int] = set()
    encode = Gzip.encode

    def noting(self: Gzip, data: bytes) -> bytes:
        threads.add(threading.get_ident())
        return encode(self, data)

    monkeypatch.setattr(Gzip, "encode", noting)
    settings = CompressionSettings(thread_size=1000, threads=2, encodings=("gzip",))
    app = CompressionMiddleware(App(BODY, headers=[JSON]), settings=settings)
    replies = await asyncio.gather(*[ask(app, headers=ALL) for _ in range(20)])
    assert [reply.content for reply in replies] == [BODY] * 20
    assert threading.get_ident() not in threads
    assert 1 <= len(threads) <= 2
    parts = [b"%d," % number * (2000 if number % 2 else 1) for number in range(20)]
    csv = start((b"content-type", b"text/csv"))
    reply, _ = await stream(csv, *[part(each) for each in parts], part(b"", more=False), settings=settings)
    assert reply.content == b"".join(parts)


async def test_sizes_are_told_when_asked_for() -> None:
    """The settings can have each encoded response say how much it shrank."""
    reply = await get(options={"settings": CompressionSettings(report=True)})
    assert reply.headers[b"x-original-size"] == b"%d" % len(BODY)
    assert reply.headers[b"x-compression-ratio"] == b"%.2f" % (len(BODY) / len(reply.body))
    assert b"x-original-size" not in (await get()).headers
    assert (
        b"x-original-size" not in (await get(asked=[], options={"settings": CompressionSettings(report=True)})).headers
    )


async def test_the_observer_is_told() -> None:
    """One event for each response compressed, streams at their end."""
    told: list[Any] = []
    reply = await get(options={"observer": told.append})
    assert told == [events.ResponseCompressed("zstd", len(BODY), len(reply.body))]
    app = Sends(start((b"content-type", b"text/csv")), part(b"a" * 100), part(b"b" * 100, more=False))
    reply = await ask(CompressionMiddleware(app, observer=told.append), headers=ALL)
    assert told[1:] == [events.ResponseCompressed("zstd", 200, len(reply.body))]


async def test_nothing_a_client_sends_reaches_the_fields() -> None:
    """Names of codings that are not known, and bytes that are no name, are never repeated."""
    hostile = b"gzip\r\nset-cookie: a=b, \x00, br\r\nx: y"
    reply = await get(asked=[(b"accept-encoding", hostile), (b"if-none-match", b'"a\r\nb-zstd"')])
    assert all(b"\r" not in value and b"\n" not in value for _, value in reply.messages[0]["headers"])
    assert reply.body == BODY
