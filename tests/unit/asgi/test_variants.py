from __future__ import annotations

import asyncio
import json
import random
from typing import Any

import pytest
from tests.unit.asgi.driver import App, Reply, ask

from tailrace import events
from tailrace.asgi import CompressionMiddleware, Resolved, ResponseCacheMiddleware, RoutePolicy
from tailrace.asgi.compression import Encodes
from tailrace.asgi.compressor import Compressor
from tailrace.cache import Answer, Cache
from tailrace.cache.consistency import ReadContext, current_reads
from tailrace.errors import StoreUnavailableError
from tailrace.settings import CompressionSettings
from tailrace.stores import MemoryStore
from tailrace.testing.clock import FakeClock

BODY = json.dumps([{"id": number, "name": "a call"} for number in range(200)]).encode()
HEADERS = [(b"content-type", b"application/json"), (b"etag", b'"v1"')]
POLICY = RoutePolicy(ttl=60, shared=True, jitter=0, early_refresh=0, stale_while_revalidate=30, depends_on=("calls",))
ENCODINGS = (b"zstd", b"br", b"gzip", b"")


class Service:
    """A response cache around compression around an application, as in the stack."""

    def __init__(
        self,
        body: bytes = BODY,
        headers: Any = HEADERS,
        store: Any = None,
        settings: CompressionSettings | None = None,
        policy: RoutePolicy = POLICY,
    ) -> None:
        self.clock = FakeClock()
        self.told: list[Any] = []
        self.app = App(body, headers=headers)
        self.store = store or MemoryStore(clock=self.clock)
        self.cache = Cache(self.store, clock=self.clock)
        encodes = Encodes(Compressor(settings), observer=self.told.append)
        self.policy = policy
        resolved = Resolved("/", policy)
        self.layer = ResponseCacheMiddleware(
            CompressionMiddleware(self.app, encodes=encodes),
            cache=self.cache,
            resolve=lambda scope: resolved,
            clock=self.clock,
            encodes=encodes,
        )

    async def ask(self, accept: bytes, **changes: Any) -> Reply:
        headers = [*changes.pop("headers", []), (b"accept-encoding", accept)]
        return await ask(self.layer, headers=headers, **changes)

    @property
    def compressions(self) -> int:
        return sum(isinstance(event, events.ResponseCompressed) for event in self.told)


@pytest.mark.parametrize("first", ENCODINGS)
async def test_the_application_is_asked_once_for_all_codings(first: bytes) -> None:
    """Whoever comes first, every client gets its coding, the same content and its own tag, and the handler ran once."""
    service = Service()
    for accept in (first, *ENCODINGS, *reversed(ENCODINGS)):
        reply = await service.ask(accept)
        assert reply.content == BODY
        assert reply.headers.get(b"content-encoding", b"") == accept
        assert reply.headers[b"etag"] == (b'"v1-' + accept + b'"' if accept else b'"v1"')
        assert reply.headers[b"vary"] == b"Accept-Encoding"
        assert reply.headers[b"content-length"] == b"%d" % len(reply.body)
    assert service.app.calls == 1
    assert reply.cache_status.startswith(b"tailrace; hit")


async def test_a_hit_costs_no_compression() -> None:
    """Each coding is made once, however often it is asked for."""
    service = Service()
    for _ in range(10):
        for accept in ENCODINGS:
            await service.ask(accept)
    assert service.compressions == 3


async def test_many_at_once_make_a_coding_once() -> None:
    """A crowd that wants another coding than the stored one has it made once."""
    service = Service()
    await service.ask(b"zstd")
    replies = await asyncio.gather(*[service.ask(b"br") for _ in range(50)])
    assert {reply.content for reply in replies} == {BODY}
    assert service.compressions == 2


async def test_a_crowd_of_different_codings_computes_once() -> None:
    """One computation serves clients that want different codings."""
    service = Service()
    accepts = ENCODINGS * 10
    replies = await asyncio.gather(*[service.ask(accept) for accept in accepts])
    assert service.app.calls == 1
    assert [reply.headers.get(b"content-encoding", b"") for reply in replies] == list(accepts)
    assert {reply.content for reply in replies} == {BODY}


async def test_invalidation_ends_every_coding() -> None:
    """A tag that is bumped ends the life of the response in all codings, and the new one is served in each."""
    service = Service()
    for accept in ENCODINGS:
        await service.ask(accept)
    service.app.body = other = BODY.replace(b"call", b"sale")
    await service.cache.invalidate(["calls"])
    for accept in reversed(ENCODINGS):
        assert (await service.ask(accept)).content == other
    assert service.app.calls == 2


async def test_the_same_content_again_is_not_compressed_for_others_again() -> None:
    """Computed anew with the same content, a response finds the codings that it had."""
    service = Service()
    for accept in ENCODINGS:
        await service.ask(accept)
    await service.cache.invalidate(["calls"])
    for accept in ENCODINGS:
        assert (await service.ask(accept)).content == BODY
    assert service.app.calls == 2
    assert service.compressions == 4  # the one that it is stored in now


async def test_one_age_for_all_codings() -> None:
    """Age counts from when the application answered, whatever coding was made when; stale is stale in all."""
    service = Service()
    await service.ask(b"zstd")
    service.clock.step(40.0)
    assert (await service.ask(b"br")).headers[b"age"] == b"40"
    service.clock.step(30.0)
    stale = await service.ask(b"br")
    assert stale.headers[b"age"] == b"70"
    for _ in range(5):
        await asyncio.sleep(0)
    assert service.app.calls == 2


async def test_conditions_are_about_the_coding_asked_for() -> None:
    """A client's tag gives 304 where it names what it would get, and the body where it does not."""
    service = Service()
    for accept in ENCODINGS:
        tag = (await service.ask(accept)).headers[b"etag"]
        unchanged = await service.ask(accept, headers=[(b"if-none-match", tag)])
        assert (unchanged.status, unchanged.headers[b"etag"], unchanged.body) == (304, tag, b"")
        assert unchanged.headers[b"vary"] == b"Accept-Encoding"
        assert b"content-encoding" not in unchanged.headers
        other = await service.ask(b"gzip" if accept != b"gzip" else b"br", headers=[(b"if-none-match", tag)])
        assert other.status == 200
    assert service.app.calls == 1


async def test_without_a_tag_of_its_own() -> None:
    """A response that brought no tag gets one from its content, the same for all but the ending."""
    service = Service(headers=HEADERS[:1])
    tags = {accept: (await service.ask(accept)).headers[b"etag"] for accept in ENCODINGS}
    assert len(set(tags.values())) == 4
    assert {tag.strip(b'"').partition(b"-")[0] for tag in tags.values()} == {tags[b""].strip(b'"')}


async def test_a_weak_tag_is_one_for_all() -> None:
    """A weak tag stays; two contents under one weak tag never mix."""
    service = Service(headers=[HEADERS[0], (b"etag", b'W/"same"')])
    await service.ask(b"zstd")
    assert (await service.ask(b"br")).headers[b"etag"] == b'W/"same"'
    service.app.body = other = BODY.replace(b"call", b"sale")
    await service.cache.invalidate(["calls"])
    assert (await service.ask(b"zstd")).content == other
    assert (await service.ask(b"br")).content == other


async def test_head_is_answered_like_get() -> None:
    """HEAD has the fields of the GET in each coding, its length included."""
    service = Service()
    for accept in ENCODINGS:
        got, head = await service.ask(accept), await service.ask(accept, method="HEAD")
        names = (b"content-encoding", b"content-length", b"etag", b"vary")
        assert [head.headers.get(name) for name in names] == [got.headers.get(name) for name in names]
        assert head.body == b""


async def test_small_and_incompressible_bodies() -> None:
    """They are stored and served as they are to everyone, unless a client refuses that."""
    noise = random.Random(1).randbytes(600)
    for body in (b'{"a": 1}', noise):
        service = Service(body)
        for accept in (*ENCODINGS, *ENCODINGS):
            reply = await service.ask(accept)
            assert reply.body == body
            assert b"content-encoding" not in reply.headers
            assert reply.headers[b"etag"] == b'"v1"'
        refusing = await service.ask(b"identity;q=0, gzip")
        assert refusing.headers[b"content-encoding"] == b"gzip"
        assert refusing.content == body
        assert (await service.ask(b"gzip")).content == body
        assert service.app.calls == 1


@pytest.mark.parametrize(
    "header", [(b"content-encoding", b"identity"), (b"cache-control", b"no-transform"), (b"content-digest", b"x")]
)
async def test_what_the_application_wants_left_alone(header: tuple[bytes, bytes]) -> None:
    """An opt-out holds for what is stored as well."""
    service = Service(headers=[*HEADERS, header])
    for accept in (b"zstd", b"br", b""):
        reply = await service.ask(accept)
        assert reply.body == BODY
        assert b"content-encoding" not in reply.headers
        assert reply.headers[b"etag"] == b'"v1"'


async def test_a_response_that_is_not_kept_is_encoded_for_its_client() -> None:
    """A cookie keeps a response out of the store, not out of compression."""
    service = Service(headers=[*HEADERS, (b"set-cookie", b"a=b")])
    for accept in ENCODINGS:
        reply = await service.ask(accept)
        assert reply.headers.get(b"content-encoding", b"") == accept
        assert reply.content == BODY
        assert reply.headers[b"set-cookie"] == b"a=b"
    head = await Service(headers=service.app.headers).ask(b"br", method="HEAD")
    assert (head.headers[b"content-encoding"], head.body) == (b"br", b"")


async def test_a_kept_response_of_another_compressor_is_served_as_it_is() -> None:
    """What the application encoded itself is kept by what its Vary says, and never encoded twice."""

    async def encoding_itself(scope: Any, receive: Any, send: Any) -> None:
        accept = dict(scope["headers"]).get(b"accept-encoding", b"")
        headers = [*HEADERS[:1], (b"vary", b"accept-encoding"), (b"content-encoding", b"x-own-" + accept)]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": BODY})

    service = Service()
    service.layer.app = encoding_itself
    for accept in (b"zstd", b"br", b"zstd", b"br"):
        assert (await service.ask(accept)).headers[b"content-encoding"] == b"x-own-" + accept


async def test_what_this_process_cannot_read_is_computed_anew() -> None:
    """An entry in a coding that this process has not, as after a change of settings, is never served as another."""
    service = Service()
    await service.ask(b"br")
    other = Service(store=service.store, settings=CompressionSettings(encodings=("gzip",)))
    for accept in (b"gzip", b"", b"br"):
        reply = await other.ask(accept)
        assert reply.content == BODY
        assert reply.headers.get(b"content-encoding", b"") != b"br"
    nothing = ResponseCacheMiddleware(
        App(BODY, headers=HEADERS),
        cache=service.cache,
        resolve=lambda scope: Resolved("/", POLICY),
        clock=service.clock,
    )
    assert (await ask(nothing, headers=[(b"accept-encoding", b"br")])).body == BODY


class DownAfterwards(MemoryStore):
    """A store that can be switched off for what is not an entry or a stamp."""

    down = False

    def peek(self, keys: Any) -> Any:
        return None if self._concerns(keys) else super().peek(keys)

    def reader(self, monotonic: Any = None) -> Any:
        known = super().reader(monotonic)
        return lambda key, now=None: None if self._concerns([key]) else known(key, now)

    async def get(self, keys: Any) -> Any:
        if self._concerns(keys):
            raise StoreUnavailableError("down")
        return await super().get(keys)

    async def set(self, items: Any, ttl: float) -> None:
        if self._concerns(items):
            raise StoreUnavailableError("down")
        await super().set(items, ttl)

    def _concerns(self, keys: Any) -> bool:
        return self.down and any(":v:" in key for key in keys)


async def test_a_store_that_is_down_costs_only_work() -> None:
    """Then each request has its coding made for itself."""
    store = DownAfterwards()
    service = Service(store=store)
    await service.ask(b"zstd")
    store.down = True
    for accept in ENCODINGS * 2:
        assert (await service.ask(accept)).content == BODY
    assert service.app.calls == 1


async def test_bodies_that_are_finished_each_time() -> None:
    """A body that is another at each hit is encoded anew, with its own length, and is what its client should read."""

    def finish(body: bytes, answer: Answer) -> bytes:
        return body + b"%d" % answer.age

    service = Service(
        headers=HEADERS[:1], policy=RoutePolicy(ttl=60, shared=True, jitter=0, early_refresh=0, finish=finish)
    )
    for age, accept in enumerate((*ENCODINGS, *ENCODINGS)):
        for method in ("GET", "HEAD"):
            reply = await service.ask(accept, method=method)
            assert reply.headers.get(b"content-encoding", b"") == accept
            assert reply.headers[b"vary"] == b"Accept-Encoding"
            assert [name for name, _ in reply.messages[0]["headers"]].count(b"content-length") == 1
            if method == "GET":
                assert reply.content == BODY + b"%d" % age
                assert reply.headers[b"content-length"] == b"%d" % len(reply.body)
        service.clock.step(1.0)
    assert service.app.calls == 1
    small = Service(b"{}", headers=HEADERS[:1], policy=service.policy)
    assert (await small.ask(b"br")).body == (await small.ask(b"br")).body == b"{}0"


async def test_what_goes_past_the_cache_is_encoded_for_each() -> None:
    """A client that must read past the cache gets its coding, and others that share the computation theirs."""
    service = Service()
    await service.ask(b"zstd")
    reads = current_reads.set(ReadContext(bypass=True))
    try:
        replies = await asyncio.gather(*[service.ask(accept) for accept in ENCODINGS * 3])
    finally:
        current_reads.reset(reads)
    assert [reply.headers.get(b"content-encoding", b"") for reply in replies] == list(ENCODINGS * 3)
    assert {reply.content for reply in replies} == {BODY}
    assert {reply.cache_status for reply in replies} == {b"tailrace; fwd=bypass"}


async def test_sizes_are_told_of_stored_responses() -> None:
    """Each coding tells its own ratio; the body as it is tells none."""
    service = Service(settings=CompressionSettings(report=True))
    for accept in (*ENCODINGS, *ENCODINGS):
        reply = await service.ask(accept)
        told = reply.headers.get(b"x-compression-ratio")
        assert told == (b"%.2f" % (len(BODY) / len(reply.body)) if accept else None)
