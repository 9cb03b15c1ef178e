"""A shared cache beside a model that knows every version of a page: nobody reads what a write has ended, what is older
than it may be, or what was made for other values of what it varies on."""

from __future__ import annotations

import asyncio
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.asgi.driver import ask

from tailrace.asgi.http_cache import HttpCacheMiddleware
from tailrace.asgi.http_cache.stored import StoredResponse
from tailrace.cache import Cache
from tailrace.stores import MemoryStore
from tailrace.testing.clock import FakeClock

LIFE = 10

paths = st.sampled_from(["/a", "/b"])
languages = st.sampled_from([b"de", b"en"])
steps = st.one_of(
    st.tuples(st.just("get"), paths, languages),
    st.tuples(st.just("no-cache"), paths, languages),
    st.tuples(st.just("post"), paths, languages),
    st.tuples(st.just("pass"), st.integers(1, 8), st.none()),
    st.tuples(st.just("fail"), st.booleans(), st.none()),
)


class World:
    """Pages with a version each, an origin that serves them, and a cache before it."""

    def __init__(self, policy: str) -> None:
        self.clock = FakeClock()
        self.versions = {"/a": 0, "/b": 0}
        self.made: dict[bytes, float] = {}
        self.failing = False
        self.policy = policy
        cache = Cache(MemoryStore(clock=self.clock), clock=self.clock)
        self.app = HttpCacheMiddleware(self.origin, cache=cache, clock=self.clock)

    async def origin(self, scope: Any, receive: Any, send: Any) -> None:
        if self.failing:
            raise ConnectionError
        if scope["method"] == "POST":
            self.versions[scope["path"]] += 1
            headers, status, body = [], 204, b""
        else:
            fields = dict(scope["headers"])
            body = b"%b %d %b" % (scope["path"].encode(), self.versions[scope["path"]], fields[b"accept-language"])
            tag = b'"%b"' % body.replace(b" ", b"-")
            self.made[body] = self.clock.now()
            headers = [(b"etag", tag), (b"vary", b"accept-language"), (b"cache-control", self.policy.encode())]
            status = 304 if fields.get(b"if-none-match") == tag else 200
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if status != 200 else body})

    async def take(self, kind: str, what: Any, language: Any) -> None:
        if kind == "pass":
            await self.clock.advance(what)
        elif kind == "fail":
            self.failing = what
        else:
            headers = [(b"accept-language", language)]
            headers += [(b"cache-control", b"no-cache")] if kind == "no-cache" else []
            try:
                reply = await ask(self.app, what, method="POST" if kind == "post" else "GET", headers=headers)
            except ConnectionError:
                assert self.failing
                return
            await self.app.drain(1)
            if kind != "post":
                self.judge(reply.body, what, language, asked_for_new=kind == "no-cache")

    def judge(self, body: bytes, path: str, language: bytes, *, asked_for_new: bool) -> None:
        assert body == b"%b %d %b" % (path.encode(), self.versions[path], language)
        age = self.clock.now() - self.made[body]
        if self.failing:
            assert "must-revalidate" not in self.policy or age <= LIFE
        else:
            assert age <= (0 if asked_for_new else LIFE + (5 if "while" in self.policy else 0))


@settings(deadline=None)
@given(
    st.sampled_from(["", ", must-revalidate", ", stale-while-revalidate=5", ", no-cache"]),
    st.lists(steps, max_size=25),
)
def test_any_history(extra: str, history: list[Any]) -> None:
    """All writes go through the cache, so that it knows of them: then only the version that there is is ever read."""

    async def live() -> None:
        world = World(f"max-age={LIFE}{extra}")
        for step in history:
            await world.take(*step)

    asyncio.run(live())


fields = st.lists(st.tuples(st.binary(max_size=9), st.binary(max_size=30)), max_size=5)


@given(st.integers(200, 599), fields, st.binary(max_size=50), st.lists(st.text("abc:0"), max_size=3), st.floats(0, 1e9))
def test_what_is_stored_comes_back(status: int, headers: Any, body: bytes, tags: list[str], moment: float) -> None:
    """Byte for byte; and nothing that was cut off or damaged is taken for a response."""
    stored = StoredResponse(status, headers, body, moment, 1.5, 60.0, tuple(tag for tag in tags if tag))
    data = stored.to_bytes()
    assert StoredResponse.from_bytes(data) == stored
    for cut in range(0, len(data), 7):
        assert StoredResponse.from_bytes(data[:cut]) is None
        damaged = data[:cut] + bytes([data[cut] ^ 0x10]) + data[cut + 1 :]
        assert StoredResponse.from_bytes(damaged) is None


@given(st.binary(max_size=120))
def test_no_stored_bytes_crash(data: bytes) -> None:
    """What is foreign or damaged is no response."""
    assert StoredResponse.from_bytes(data) is None
    assert StoredResponse.from_bytes(b"HC2" + data) is None


garbage = st.binary(max_size=60) | st.sampled_from(
    [b"\n" * 5000, b",,\n*\n-", b"params=?1", b"key-order, params\n" * 9, b"\xff" * 16, b"\x00\x02" + b"a" * 40]
)


@settings(deadline=None)
@given(st.lists(garbage, min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_garbage_in_the_store_is_a_miss(found: list[bytes], random: Any) -> None:
    """Whatever lies under the names that the cache uses: a whole answer of the origin, each time, and no error."""
    store = MemoryStore()
    names: set[str] = set()
    get, peek = store.get, store.peek

    def note(keys: Any) -> None:
        names.update(keys)

    async def noting_get(keys: Any) -> Any:
        note(keys)
        return await get(keys)

    def noting_peek(keys: Any) -> Any:
        note(keys)
        return peek(keys)

    store.get, store.peek = noting_get, noting_peek  # type: ignore[method-assign]
    calls = 0

    async def origin(scope: Any, receive: Any, send: Any) -> None:
        nonlocal calls
        calls += 1
        fields = [(b"cache-control", b"max-age=60"), (b"vary", b"accept"), (b"no-vary-search", b'params=("a")')]
        await send({"type": "http.response.start", "status": 200, "headers": fields})
        await send({"type": "http.response.body", "body": b"%d" % calls})

    async def live() -> None:
        app = HttpCacheMiddleware(origin, cache=Cache(store))
        for value in found:
            await ask(app, query_string=b"a=1&b=2")
            await store.set({name: random.choice([value, *found]) for name in sorted(names)}, 60.0)
            again = HttpCacheMiddleware(origin, cache=Cache(store))
            for each in (app, again):
                reply = await ask(each, query_string=b"a=3&b=2")
                assert (reply.status, reply.body.isdigit()) == (200, True)

    asyncio.run(live())


names = st.sampled_from(
    [b"cache-control", b"expires", b"date", b"age", b"vary", b"etag", b"cdn-cache-control", b"pragma"]
)
wild = st.lists(st.tuples(names, st.binary(max_size=30) | st.sampled_from([b"max-age=9", b"*", b'"a"'])), max_size=5)


@settings(deadline=None)
@given(wild, wild)
def test_whatever_they_send(request: Any, response: Any) -> None:
    """Any fields from either side: a whole answer, twice."""

    async def origin(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": response})
        await send({"type": "http.response.body", "body": b"hello"})

    async def live() -> None:
        app = HttpCacheMiddleware(origin, cache=Cache(MemoryStore()))
        for _ in range(2):
            reply = await ask(app, headers=request)
            assert (reply.status, reply.body) in ((200, b"hello"), (304, b""), (504, b""))

    asyncio.run(live())
