"""Read-through on a memory store: what is served, what is computed, and how often."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from tailrace.cache import Answer, Cache, CachePolicy, Computed, Uncacheable
from tailrace.cache.consistency import ReadContext, current_reads
from tailrace.cache.warm import MOST_WAITING
from tailrace.errors import StoreUnavailableError
from tailrace.events import CacheBypassed, CacheFillRefused, Event
from tailrace.settings import CacheSettings
from tailrace.stores.memory import MemoryStore
from tailrace.testing.clock import FakeClock

POLICY = CachePolicy("test", ttl=10, jitter=0, early_refresh=0)
TAGS = ("calls:user_id=1",)


class Source:
    """The truth: a value that writers change, read by ``compute``."""

    def __init__(self) -> None:
        self.value = 0
        self.reads = 0
        self.before: Callable[[], Awaitable[None]] | None = None
        self.after: Callable[[], Awaitable[None]] | None = None

    async def compute(self) -> bytes:
        if self.before is not None:
            await self.before()
        self.reads += 1
        value = self.value
        if self.after is not None:
            await self.after()
        return b"%d" % value


class KnownDatabase:
    """A database whose life and horizon the test sets."""

    def __init__(self) -> None:
        self.epoch: str | None = "one"
        self.horizon = True

    def trusted(self) -> bool:
        return self.horizon


class World:
    """A cache, its truth, its clock, the events it emitted."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.events: list[Event] = []
        self.database = KnownDatabase()
        settings = CacheSettings(max_value_bytes=1000)
        self.store = MemoryStore(settings, clock=self.clock)
        self.cache = Cache(
            self.store, freshness=self.database, settings=settings, clock=self.clock, observer=self.events.append
        )
        self.source = Source()

    async def read(self, policy: CachePolicy = POLICY, key: str = "k") -> Answer:
        return await self.cache.read_through(key, self.source.compute, policy=policy, depends_on=TAGS)

    async def write(self, tag: str = TAGS[0]) -> None:
        self.source.value += 1
        await self.cache.invalidate([tag])


@pytest.fixture
async def world():
    """A fresh one each test."""
    made = World()
    yield made
    await made.cache.aclose()
    await made.store.aclose()


async def test_a_second_read_is_a_hit(world: World) -> None:
    """Computed once, then served with its age."""
    assert (await world.read()).status == "miss"
    world.clock.step(3)
    answer = await world.read()
    assert (answer.status, answer.age, answer.expires_in, world.source.reads) == ("hit", 3, 7, 1)


def name_of(world: World, number: int) -> str:
    """The key in the store of the answer, 0, or of the stamp of its tag, -1."""
    return world.cache.keyspace.names(str(world.cache.keyspace.prefix()), "k", TAGS)[number]


async def rewrite(world: World) -> None:
    [value] = await world.store.get([name_of(world, 0)])
    assert value is not None
    await world.store.set({name_of(world, 0): value[:-1] + b"9"}, 60)


async def lose_life(world: World) -> None:
    world.database.epoch = "two"


async def lose_horizon(world: World) -> None:
    world.database.horizon = False


async def bypass(world: World) -> None:
    current_reads.set(ReadContext(bypass=True))


@pytest.mark.parametrize(
    ("happens", "left"),
    [
        (lambda world: world.write(), None),
        (lambda world: world.write("calls:user_id=2"), b"0"),
        (rewrite, b"9"),
        (lambda world: world.store.delete([name_of(world, 0)]), None),
        (lambda world: world.store.delete([name_of(world, -1)]), None),
        (lose_life, None),
        (lose_horizon, None),
        (bypass, None),
        (lambda world: world.clock.advance(10), None),
    ],
    ids=["bump", "bump of another", "rewritten", "evicted", "stamp evicted", "life", "horizon", "token", "time"],
)
async def test_an_answer_found_again_and_again_ends_as_one_found_once(
    world: World, happens: Callable[[World], Awaitable[object]], left: bytes | None
) -> None:
    """From the third time on nothing is looked for in the store; all that ends it does so at once all the same, and
    what takes its place is found."""
    lookup = world.cache.prepare("k", policy=POLICY, depends_on=TAGS)

    def found() -> bytes | None:
        data, again = lookup.peek(), lookup.peek(world.clock.monotonic())
        assert data == again
        return None if data is None else lookup.answer(data).value

    await world.read()
    assert [found() for _ in range(4)] == [b"0"] * 4
    assert lookup.held is not None
    await happens(world)
    assert [found() for _ in range(4)] == [left] * 4
    current_reads.set(None)
    world.database.horizon = True
    world.source.value = 5
    await world.write()
    await world.read()
    assert [found() for _ in range(4)] == [b"6"] * 4


async def test_peek_gives_a_fresh_hit_and_nothing_else(world: World) -> None:
    """It never computes; a stale, absent or invalidated answer is None."""

    def peek() -> Answer | None:
        return world.cache.peek("k", policy=POLICY, depends_on=TAGS)

    assert peek() is None
    await world.read()
    found = peek()
    assert found is not None
    assert found.value == b"0"
    await world.write()
    assert peek() is None
    await world.read()
    world.clock.step(10)
    assert peek() is None
    assert world.source.reads == 2


@pytest.mark.parametrize("tag", ["calls:user_id=1", "calls:*"])
async def test_a_bumped_tag_ends_an_answer(world: World, tag: str) -> None:
    """Its own tag, or the wide one of its table."""
    await world.read()
    await world.write(tag)
    answer = await world.read()
    assert (answer.status, answer.value) == ("miss", b"1")


@pytest.mark.parametrize("tag", ["calls", "calls:user_id=7", "calls:*"])
async def test_an_answer_about_a_whole_table_ends_with_any_of_its_tags(world: World, tag: str) -> None:
    """Writers name the keys that they touched and not the table, which they touched as well."""
    policy = CachePolicy("table", ttl=10, jitter=0, early_refresh=0, warm=True)
    for _ in range(3):
        await world.cache.read_through("all", world.source.compute, policy=policy, depends_on=["calls"])
    await world.write(tag)
    world.cache.warmer.invalidated([tag])
    for _ in range(20):
        await asyncio.sleep(0)
    assert world.source.reads == 2
    answer = await world.cache.read_through("all", world.source.compute, policy=policy, depends_on=["calls"])
    assert (answer.status, answer.value) == ("hit", b"1")


async def test_other_tags_leave_it_alone(world: World) -> None:
    """Exactly what depends on a change is computed again."""
    await world.read()
    await world.cache.invalidate(["calls:user_id=2", "calls", "agents:*"])
    assert (await world.read()).status == "hit"


async def test_a_value_read_before_a_commit_never_counts_after_it(world: World) -> None:
    """A commit between the computation's read and its fill makes the fill invalid from birth."""

    async def commit() -> None:
        world.source.after = None
        await world.write()

    world.source.after = commit
    assert (await world.read()).value == b"0"
    assert (await world.read()).value == b"1"


async def test_a_read_after_a_commit_does_not_join_a_flight_from_before(world: World) -> None:
    """Flights are named by the stamps, so the writer's next read computes anew while the old one is under way."""
    gate = asyncio.Event()
    world.source.after = gate.wait  # type: ignore[assignment]
    old = asyncio.create_task(world.read())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert world.source.reads == 1
    world.source.after = None
    await world.write()
    assert (await world.read()).value == b"1"
    gate.set()
    assert (await old).value == b"0"
    assert (await world.read()).value == b"1"


async def test_a_thousand_cold_readers_compute_once(world: World) -> None:
    """One miss, the others collapsed."""
    answers = await asyncio.gather(*[world.read() for _ in range(1000)])
    assert world.source.reads == 1
    assert sorted({answer.status for answer in answers}) == ["collapsed", "miss"]


async def test_evicted_stamps_bring_nothing_back(world: World) -> None:
    """After a stamp is lost, a new one is made that equals no old one."""
    await world.read()
    world.source.value = 5
    prefix = world.cache.keyspace.prefix()
    await world.store.delete([f"{prefix}s:calls:user_id=1"])
    assert (await world.read()).value == b"5"


async def test_stale_while_revalidate_serves_and_refreshes(world: World) -> None:
    """Within the window the old value at once, then the new one."""
    policy = CachePolicy("swr", ttl=10, stale_while_revalidate=5, jitter=0, early_refresh=0)
    await world.read(policy)
    world.source.value = 1
    world.clock.step(12)
    answer = await world.read(policy)
    assert (answer.status, answer.value) == ("stale", b"0")
    for _ in range(5):
        await asyncio.sleep(0)
    assert (await world.read(policy)).value == b"1"
    world.clock.step(15)
    assert (await world.read(policy)).status == "miss"


async def test_stale_if_error_serves_what_time_alone_ended(world: World) -> None:
    """A failing computation falls back on an expired answer, never on an invalidated one."""
    policy = CachePolicy("sie", ttl=10, stale_if_error=60, jitter=0, early_refresh=0)

    async def fail() -> None:
        raise ConnectionError("down")

    await world.read(policy)
    world.clock.step(20)
    world.source.before = fail
    assert (await world.read(policy)).status == "stale"
    await world.cache.invalidate(TAGS)
    with pytest.raises(ConnectionError):
        await world.read(policy)


async def test_errors_are_not_kept(world: World) -> None:
    """The next caller tries again."""

    async def fail() -> None:
        raise ConnectionError("down")

    world.source.before = fail
    with pytest.raises(ConnectionError):
        await world.read()
    world.source.before = None
    assert (await world.read()).value == b"0"


async def test_a_computed_value_may_choose_its_own_life(world: World) -> None:
    """Negative caching: what is not there is looked for again sooner."""

    async def missing() -> Computed:
        return Computed(b"none", 1.0)

    answer = await world.cache.read_through("m", missing, policy=POLICY)
    assert (answer.status, answer.ttl) == ("miss", 1.0)
    world.clock.step(0.9)
    assert (await world.cache.read_through("m", missing, policy=POLICY)).status == "hit"
    world.clock.step(0.1)
    assert (await world.cache.read_through("m", missing, policy=POLICY)).status == "miss"


async def test_what_is_not_shareable_is_computed_for_each(world: World) -> None:
    """An answer meant for one caller reaches no other, not even one that asked at the same moment."""
    made = 0

    async def private() -> Uncacheable:
        nonlocal made
        made += 1
        number = made
        await asyncio.sleep(0)
        return Uncacheable(b"%d" % number)

    answers = await asyncio.gather(*[world.cache.read_through("p", private, policy=POLICY) for _ in range(5)])
    assert len({answer.value for answer in answers}) == 5


async def test_too_large_a_value_is_given_but_not_kept(world: World) -> None:
    """And said so in an event."""

    async def large() -> bytes:
        return b"x" * 1001

    assert (await world.cache.read_through("l", large, policy=POLICY)).status == "miss"
    assert (await world.cache.read_through("l", large, policy=POLICY)).status == "miss"
    assert CacheFillRefused("test", "too_large") in world.events


async def test_an_untrusted_horizon_bypasses(world: World) -> None:
    """While commits may be unknown here, every answer is computed; when they are known again, hits return."""
    await world.read()
    world.database.horizon = False
    world.source.value = 9
    answer = await world.read()
    assert (answer.status, answer.value) == ("bypass", b"9")
    assert world.cache.peek("k", policy=POLICY, depends_on=TAGS) is None
    assert CacheBypassed("test", "horizon") in world.events
    world.database.horizon = True
    assert (await world.read()).status == "hit"


async def test_what_depends_on_nothing_needs_no_database(world: World) -> None:
    """An answer without tags lives by its time alone."""
    world.database.horizon, world.database.epoch = False, None
    await world.cache.read_through("t", world.source.compute, policy=POLICY)
    assert (await world.cache.read_through("t", world.source.compute, policy=POLICY)).status == "hit"


async def test_another_life_of_the_database_starts_cold(world: World) -> None:
    """After a failover nothing old is found; an answer under way is not kept under the new name either."""
    await world.read()

    async def fail_over() -> None:
        world.database.epoch = "three"

    world.database.epoch = "two"
    world.source.after = fail_over
    assert (await world.read()).status == "miss"
    world.source.after = None
    assert (await world.read()).status == "miss"
    assert CacheFillRefused("test", "untrusted") in world.events
    world.database.epoch = None
    assert (await world.read()).status == "bypass"


@pytest.mark.parametrize(
    ("context", "reason"), [(ReadContext(bypass=True), "token"), (ReadContext(writing=True), "transaction")]
)
async def test_a_request_that_must_not_use_the_cache_does_not(world: World, context: ReadContext, reason: str) -> None:
    """Inside a transaction that has written, or for a client whose write could not be stamped."""
    await world.read()
    world.source.value = 3
    held = current_reads.set(context)
    answer = await world.read()
    current_reads.reset(held)
    assert (answer.status, answer.value) == ("bypass", b"3")
    assert CacheBypassed("test", reason) in world.events
    assert (await world.read()).value == b"0"


async def test_warming_computes_what_was_used_and_invalidated(world: World) -> None:
    """A much-used answer is there again before anybody asks; one that nobody used is not."""
    policy = CachePolicy("warm", ttl=10, jitter=0, early_refresh=0, warm=True)
    for _ in range(3):
        await world.read(policy, "used")
    await world.read(policy, "unused")
    assert world.source.reads == 2
    await world.write()
    world.cache.warmer.invalidated(TAGS)
    for _ in range(20):
        await asyncio.sleep(0)
    assert world.source.reads == 3
    assert (await world.read(policy, "used")).status == "hit"
    assert (await world.read(policy, "unused")).status == "miss"


async def test_clear_removes_everything_of_the_namespace(world: World) -> None:
    """In any epoch, and nothing of others."""
    await world.read()
    await world.store.set({"other:k": b"v"}, 10)
    assert await world.cache.clear() >= 1
    assert (await world.read()).status == "miss"
    assert await world.store.get(["other:k"]) == [b"v"]


async def test_forget_removes_one_answer(world: World) -> None:
    """And no other; it says whether there was one."""
    await world.read(key="a")
    await world.read(key="b")
    assert await world.cache.forget("a")
    assert not await world.cache.forget("a")
    assert (await world.read(key="a")).status == "miss"
    assert (await world.read(key="b")).status == "hit"


async def test_stale_if_error_does_not_serve_what_a_commit_ended_meanwhile(world: World) -> None:
    """While the computation that then fails was under way, the expired answer was invalidated: it is not served."""
    policy = CachePolicy("sie", ttl=10, stale_if_error=60, jitter=0, early_refresh=0)
    await world.read(policy)
    world.clock.step(20)

    async def overtaken() -> None:
        await world.cache.invalidate(TAGS)
        raise ConnectionError("down")

    world.source.before = overtaken
    with pytest.raises(ConnectionError):
        await world.read(policy)


async def test_stale_if_error_ends_with_trust(world: World) -> None:
    """When commits may have become unknown during the computation, the expired answer is not served either."""
    policy = CachePolicy("sie", ttl=10, stale_if_error=60, jitter=0, early_refresh=0)
    await world.read(policy)
    world.clock.step(20)

    async def lost() -> None:
        world.database.horizon = False
        raise ConnectionError("down")

    world.source.before = lost
    with pytest.raises(ConnectionError):
        await world.read(policy)


@pytest.mark.parametrize("count", [254, 255, 1000])
async def test_an_answer_may_depend_on_many_tags(count: int) -> None:
    """However many, each ends it."""
    cache, source = Cache(MemoryStore()), Source()
    tags = [f"calls:user_id={n}" for n in range(count)]
    for status in ("miss", "hit"):
        answer = await cache.read_through("m", source.compute, policy=POLICY, depends_on=tags)
        assert answer.status == status
    await cache.invalidate([tags[-1]])
    assert (await cache.read_through("m", source.compute, policy=POLICY, depends_on=tags)).status == "miss"
    await cache.aclose()


async def test_an_empty_value_is_a_value(world: World) -> None:
    """No bytes at all are an answer like any other."""

    async def nothing() -> bytes:
        return b""

    for status in ("miss", "hit"):
        answer = await world.cache.read_through("n", nothing, policy=POLICY, depends_on=TAGS)
        assert (answer.status, answer.value) == (status, b"")
    found = world.cache.peek("n", policy=POLICY, depends_on=TAGS)
    assert found is not None
    assert found.value == b""


async def test_warming_leaves_a_database_in_trouble_in_peace(world: World) -> None:
    """What could not be kept is not computed unasked."""
    policy = CachePolicy("warm", ttl=10, jitter=0, early_refresh=0, warm=True)
    for _ in range(3):
        await world.read(policy)
    world.database.horizon = False
    world.cache.warmer.invalidated(TAGS)
    for _ in range(20):
        await asyncio.sleep(0)
    assert world.source.reads == 1


async def test_a_write_that_ends_very_many_answers_warms_the_most_used(world: World) -> None:
    """No burst of tasks: the most used are computed again, the rest by whoever asks."""
    policy = CachePolicy("warm", ttl=10, jitter=0, early_refresh=0, warm=True)
    for number in range(MOST_WAITING + 50):
        for _ in range(3 + (number >= 50)):
            await world.read(policy, f"k{number}")
    world.source.reads = 0
    await world.write()
    world.cache.warmer.invalidated(TAGS)
    for _ in range(10 * MOST_WAITING):
        await asyncio.sleep(0)
    assert world.source.reads == MOST_WAITING
    assert (await world.read(policy, f"k{MOST_WAITING}")).status == "hit"
    assert (await world.read(policy, "k0")).status == "miss"


async def test_looking_computes_nothing() -> None:
    """What is held is found, and how old it is; what has expired or was never there is not, and nobody computes."""
    world = World()
    policy = CachePolicy("test", ttl=10, stale_while_revalidate=5, jitter=0, early_refresh=0)

    async def compute() -> bytes:
        return b"value"

    assert await world.cache.look(["k", "l"], policy=policy) == {}
    await world.cache.read_through("k", compute, policy=policy)
    await world.clock.advance(4)
    await world.cache.read_through("l", compute, policy=policy)
    held = await world.cache.look(["l", "k", "m"], policy=policy)
    assert {key: (answer.value, answer.status, answer.age) for key, answer in held.items()} == {
        "l": (b"value", "hit", 0),
        "k": (b"value", "hit", 4),
    }
    await world.clock.advance(8)
    held = await world.cache.look(["k", "l"], policy=policy)
    assert {key: answer.status for key, answer in held.items()} == {"k": "stale", "l": "hit"}
    await world.clock.advance(4)
    assert {key: answer.status for key, answer in (await world.cache.look(["k", "l"], policy=policy)).items()} == {
        "l": "stale"
    }


async def test_looking_without_a_store_finds_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that is down is no error."""
    world = World()

    async def down(keys: object) -> list[bytes | None]:
        raise StoreUnavailableError("down")

    monkeypatch.setattr(world.store, "peek", lambda keys: None)
    monkeypatch.setattr(world.store, "get", down)
    assert await world.cache.look(["k"], policy=POLICY) == {}
