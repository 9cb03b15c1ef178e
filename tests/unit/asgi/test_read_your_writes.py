from __future__ import annotations

from typing import Any

import pytest
from tests.unit.asgi.driver import App, ask

from tailrace.asgi import ReadYourWritesMiddleware, ResponseCacheMiddleware, RoutePolicy, by_path
from tailrace.cache import Cache
from tailrace.cache.consistency import current_reads
from tailrace.cache.write_token import WriteTokens
from tailrace.stores import MemoryStore
from tailrace.testing.clock import FakeClock


class Writer(App):
    """Writes on POST, as a session would note it, and shows what it may read."""

    def __init__(self, *, unstamped: bool = False) -> None:
        super().__init__()
        self.unstamped = unstamped
        self.reads: list[tuple[bool, bool]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        reads = current_reads.get()
        assert reads is not None
        self.reads.append((reads.fenced, reads.bypass))
        if scope["method"] == "POST":
            reads.wrote = True
            reads.wrote_unstamped = self.unstamped
        await super().__call__(scope, receive, send)


def layer(
    app: Any, *, tokens: WriteTokens | None, reachable: bool = True
) -> tuple[ReadYourWritesMiddleware, list[int]]:
    fences: list[int] = []

    async def fence() -> bool:
        fences.append(1)
        return reachable

    return ReadYourWritesMiddleware(app, tokens=lambda: tokens, fence=fence), fences


def make_tokens() -> tuple[WriteTokens, FakeClock]:
    clock = FakeClock()
    return WriteTokens(b"secret", 10.0, clock), clock


async def test_writer_gets_a_token_and_a_fence() -> None:
    """A client that wrote carries a token, by cookie or by header, and its next request catches up first."""
    tokens, _ = make_tokens()
    app = Writer()
    served, fences = layer(app, tokens=tokens)
    reply = await ask(served, method="POST")
    cookie, token = reply.headers[b"set-cookie"], reply.headers[b"tailrace-fresh"]
    name, _, rest = cookie.partition(b"=")
    assert name == b"tailrace-fresh-" + tokens.place().encode()
    assert rest == token + b"; Path=/; Max-Age=10; HttpOnly; SameSite=Lax"
    await ask(served, headers=[(b"cookie", b"a=b; " + name + b"=" + token)])
    await ask(served, headers=[(b"tailrace-fresh", token)])
    assert len(fences) == 2
    assert app.reads[1:] == [(True, False), (True, False)]
    assert current_reads.get() is None


@pytest.mark.parametrize("by_cookie", [True, False])
async def test_a_token_among_too_many_is_not_overlooked(by_cookie: bool) -> None:
    """What is not looked at may be the one that counts."""
    tokens, _ = make_tokens()
    app = Writer()
    served, _ = layer(app, tokens=tokens)
    shown = [b"x"] * 16 + [tokens.issue().encode()]
    cookie = b"; ".join([b"tailrace-fresh-%d=%b" % (number, token) for number, token in enumerate(shown)])
    await ask(served, headers=[(b"cookie", cookie) if by_cookie else (b"tailrace-fresh", b", ".join(shown))])
    fenced, bypass = app.reads[0]
    assert fenced or bypass


async def test_cookie_is_secure_over_https() -> None:
    """Over TLS the cookie never travels in clear."""
    tokens, _ = make_tokens()
    served, _ = layer(Writer(), tokens=tokens)
    assert (await ask(served, method="POST", scheme="https")).headers[b"set-cookie"].endswith(b"; Secure")


async def test_reader_gets_none() -> None:
    """Who only reads gets no token and waits for nothing."""
    tokens, _ = make_tokens()
    served, fences = layer(Writer(), tokens=tokens)
    reply = await ask(served)
    assert not {b"set-cookie", b"tailrace-fresh"} & reply.headers.keys()
    assert not fences


async def test_forged_and_old_tokens_cost_nothing() -> None:
    """A token that is not genuine, or no longer counts, makes nobody wait."""
    tokens, clock = make_tokens()
    served, fences = layer(Writer(), tokens=tokens)
    old = tokens.issue().encode()
    clock.step(11)
    for token in (b"", b"x" * 36, b"\xff\xfe", old, b"a" * 5000):
        await ask(served, headers=[(b"tailrace-fresh", token)])
    assert not fences


async def test_one_genuine_among_several_counts() -> None:
    """Browsers send a cookie for each path they know."""
    tokens, _ = make_tokens()
    served, fences = layer(Writer(), tokens=tokens)
    cookie = b"tailrace-fresh=old; tailrace-fresh=" + tokens.issue().encode()
    await ask(served, headers=[(b"cookie", cookie)])
    assert len(fences) == 1


async def test_unstamped_write_bypasses() -> None:
    """When the write's stamps could not be written, its client goes past the cache without asking the store."""
    tokens, _ = make_tokens()
    app = Writer(unstamped=True)
    served, fences = layer(app, tokens=tokens)
    token = (await ask(served, method="POST")).headers[b"tailrace-fresh"]
    await ask(served, headers=[(b"tailrace-fresh", token)])
    assert (app.reads[-1], fences) == ((False, True), [])


async def test_fence_that_fails_bypasses() -> None:
    """A process that cannot catch up does not answer a writer from its cache."""
    tokens, _ = make_tokens()
    app = Writer()
    served, _ = layer(app, tokens=tokens, reachable=False)
    await ask(served, headers=[(b"tailrace-fresh", tokens.issue().encode())])
    assert app.reads[-1] == (False, True)


async def test_token_is_believed_before_the_secret_is_known() -> None:
    """A process that has not reached the database yet cannot tell a genuine token, so it goes past the cache."""
    app = Writer()
    served, _ = layer(app, tokens=None)
    await ask(served, headers=[(b"tailrace-fresh", b"anything")])
    assert app.reads[-1] == (False, True)


async def test_token_is_never_stored() -> None:
    """A GET that writes and is cached gives its token to its own client only."""
    tokens, _ = make_tokens()

    class WritingGet(App):
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            reads = current_reads.get()
            assert reads is not None
            reads.wrote = True
            await super().__call__(scope, receive, send)

    app = WritingGet()
    policy = RoutePolicy(ttl=60, shared=True)
    cached = ResponseCacheMiddleware(app, cache=Cache(MemoryStore()), resolve=by_path({"/": policy}))
    served, _ = layer(cached, tokens=tokens)
    assert b"tailrace-fresh" in (await ask(served)).headers
    second = await ask(served)
    assert second.cache_status.startswith(b"tailrace; hit")
    assert not {b"set-cookie", b"tailrace-fresh"} & second.headers.keys()


def service_on(secret: bytes, life: str | None) -> tuple[Any, Writer, list[int]]:
    app = Writer()
    served, fences = layer(app, tokens=WriteTokens(secret, 10.0, FakeClock(), life))
    return served, app, fences


async def test_services_of_one_host_do_not_replace_each_other_s_tokens() -> None:
    """A client that writes to one service and then to another still catches up at both, and only for its own sake."""
    kept: dict[bytes, bytes] = {}
    made = [service_on(b"one", "a"), service_on(b"two", "b")]
    for served, _, _ in made:
        cookie = (await ask(served, method="POST")).headers[b"set-cookie"].partition(b";")[0]
        name, _, value = cookie.partition(b"=")
        kept[name] = value
    jar = b"; ".join(name + b"=" + value for name, value in kept.items())
    for served, app, fences in made:
        await ask(served, headers=[(b"cookie", jar)])
        assert (app.reads[-1], len(fences)) == ((True, False), 1)


async def test_a_later_stamped_write_does_not_hide_one_that_was_not() -> None:
    """The token of the write whose stamps failed stays beside the next one's, and counts."""
    served, app, _ = service_on(b"one", "a")
    app.unstamped = True
    first = (await ask(served, method="POST")).headers[b"set-cookie"].partition(b";")[0]
    app.unstamped = False
    second = (await ask(served, method="POST")).headers[b"set-cookie"].partition(b";")[0]
    assert first.partition(b"=")[0] != second.partition(b"=")[0]
    await ask(served, headers=[(b"cookie", first + b"; " + second)])
    assert app.reads[-1] == (False, True)


@pytest.mark.parametrize("here", ["another store", None])
async def test_a_write_stamped_in_another_life_goes_past_the_cache(here: str | None) -> None:
    """A fence in one store says nothing about stamps in another, nor does one while there is none."""
    written, _, _ = service_on(b"one", "a")
    token = (await ask(written, method="POST")).headers[b"tailrace-fresh"]
    served, app, fences = service_on(b"one", here)
    await ask(served, headers=[(b"tailrace-fresh", token)])
    assert (app.reads[-1], fences) == ((False, True), [])


async def test_a_store_replaced_between_stamps_and_answer_makes_no_false_promise() -> None:
    """The token speaks of the store in which the stamps were written, not of the one that is there now."""

    class Replaced(Writer):
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            reads = current_reads.get()
            assert reads is not None
            reads.stamped_in = "before"
            await super().__call__(scope, receive, send)

    tokens = WriteTokens(b"one", 10.0, FakeClock(), "after")
    served, _ = layer(Replaced(), tokens=tokens)
    token = (await ask(served, method="POST")).headers[b"tailrace-fresh"]
    assert tokens.read(token.decode()) == "bypass"
