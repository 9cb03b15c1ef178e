"""What every store promises, run against each of them; the rules about two clients run where there can be two."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable

import pytest
from tests.waiting import wait_until

from tailrace.settings import ValkeySettings
from tailrace.stores import MemoryStore, Store, TieredStore, ValkeyStore

# A shared machine may stop for longer than production would wait; none of these rules is about slowness.
PATIENT = ValkeySettings(timeout=10.0, connect_timeout=10.0)

STRANGE_KEYS = ["", " ", "a b", "line\nbreak\r\n", "glob*?[x]\\", "ключ", "🔑", "nul\0", "surrogate\udc80", "x" * 5000]


def make(kind: str, url: str) -> Store:
    if kind == "memory":
        return MemoryStore()
    if kind == "valkey":
        return ValkeyStore(url, settings=PATIENT)
    return TieredStore(url, valkey=PATIENT)


@pytest.fixture(params=["memory", "valkey", "tiered"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    url = "" if request.param == "memory" else request.getfixturevalue("valkey_url")
    store = make(request.param, url)
    yield store
    await store.aclose()


@pytest.fixture(params=["valkey+valkey", "tiered+tiered", "tiered+valkey"])
async def pair(request: pytest.FixtureRequest, valkey_url: str) -> AsyncIterator[tuple[Store, Store]]:
    first, second = (make(kind, valkey_url) for kind in request.param.split("+"))
    yield first, second
    await first.aclose()
    await second.aclose()


async def gone(store: Store, key: str) -> bool:
    return await store.get([key]) == [None]


# --- one client ----------------------------------------------------------------------------------


async def test_values_come_back_in_the_order_of_the_keys(store: Store) -> None:
    """`get` answers key by key, in order, repeated ones too, None where there is nothing."""
    await store.set({"a": b"1", "b": b"2"}, 60)
    assert await store.get(["b", "missing", "a", "b"]) == [b"2", None, b"1", b"2"]


async def test_an_empty_value_is_a_value(store: Store) -> None:
    """Absent and empty are told apart, and bytes come back as they were."""
    values = {"empty": b"", "binary": bytes(range(256)), "protocol": b"+OK\r\n$-1\r\n", "large": b"x" * 1_000_000}
    await store.set(values, 60)
    assert await store.get(list(values)) == list(values.values())
    assert await store.add({"empty": b"other"}, 60) == [b""]


@pytest.mark.parametrize("key", STRANGE_KEYS, ids=ascii)
async def test_any_text_is_a_key(store: Store, key: str) -> None:
    """Every operation takes every string as a key, and none is mistaken for another."""
    await store.set({key: b"1", key + ".": b"2"}, 60)
    assert await store.get([key, key + "."]) == [b"1", b"2"]
    await store.fence()
    assert store.peek([key]) in ([b"1"], None)
    assert await store.release(key, b"1")
    await store.fence()
    assert store.peek([key]) in ([None], None)
    assert await store.add({key: b"3"}, 60) == [b"3"]
    assert await store.clear(key + ".") == 1
    assert await store.delete([key]) == 1


async def test_the_last_write_holds(store: Store) -> None:
    """`set` replaces; a replacement is seen by `get`, and by `peek` where it knows, as soon as it returns."""
    for number in range(20):
        value = b"%d" % number
        await store.set({"a": value}, 60)
        assert store.peek(["a"]) in ([value], None)
        assert await store.get(["a"]) == [value]
        assert store.peek(["a"]) in ([value], None)


async def test_a_reader_gives_of_one_key_what_peek_gives(store: Store) -> None:
    """Values that are held here as they were written last, None for what is not here or not known, and both count."""
    read = store.reader()
    assert read("a") is None
    for number in range(20):
        value = b"%d" % number
        await store.set({"a": value, "b": b""}, 60)
        assert read("a") in (value, None)
        assert await store.get(["a", "b"]) == [value, b""]
        before, known = store.statistics().hits, store.peek(["a"])
        assert [read("a")] == (known or [None])
        assert store.statistics().hits - before == (2 if known else 0)
    await store.delete(["a"])
    assert read("a") is None
    await store.set({"a": b"1"}, 0.05)
    await store.get(["a"])
    await wait_until(lambda: gone(store, "a"))
    assert read("a") is None


async def test_a_reader_is_given_the_time_by_the_stores_clock_alone(store: Store) -> None:
    """With its time a key is there that `peek` knows; the time of another clock does not prolong a life."""
    read, others = store.reader(time.monotonic), store.reader(lambda: 0.0)
    await store.set({"a": b"1"}, 60)
    await store.get(["a"])
    assert [read("a", time.monotonic())] == (store.peek(["a"]) or [None])
    await store.set({"a": b"2"}, 0.05)
    await store.get(["a"])
    ends = time.monotonic() + 0.05
    await wait_until(lambda: time.monotonic() > ends)
    assert others("a", 0.0) is None
    assert read("a", time.monotonic()) is None


@pytest.mark.parametrize("how", ["set", "delete", "release", "clear", "other", "close"])
async def test_values_are_looked_at_again_until_one_of_them_is_not_what_it_was(store: Store, how: str) -> None:
    """As often as asked, without their keys; whatever ends one of them ends that, and nothing else does."""
    await store.set({"a": b"1", "b": b"2", "c": b"3"}, 60)
    await store.get(["a", "b"])
    values = store.peek(["a", "b"])
    if values is None:  # nothing is known here without asking
        assert store.hold(["a", "b"], [b"1", b"2"]) is None
        return
    look = store.hold(["a", "b"], values, time.monotonic)
    assert look is not None
    assert store.hold(["a", "c"], [b"1", b"another"]) is None
    before = store.statistics().hits
    assert [look(), look(time.monotonic()), look()] == [b"1"] * 3
    assert store.statistics().hits - before == 6
    match how:
        case "set":
            await store.set({"b": b"2"}, 60)
        case "delete":
            await store.delete(["a"])
        case "release":
            await store.release("b", b"2")
        case "clear":
            await store.clear("b")
        case "other":
            await store.set({"c": b"4"}, 60)
            await store.delete(["d"])
        case _:
            await store.aclose()
    assert look() == (b"1" if how == "other" else None)


async def test_what_is_looked_at_again_ends_with_its_time_to_live(store: Store) -> None:
    """With that of the first that is over, by the store's time, or by the caller's where it is the same."""
    await store.set({"a": b"1"}, 60)
    await store.set({"b": b"2"}, 1.0)
    await store.get(["a", "b"])
    values = store.peek(["a", "b"])
    if values is None or None in values:  # not known here, or over on a machine that stood still
        return
    look, others = store.hold(["a", "b"], values, time.monotonic), store.hold(["a", "b"], values, lambda: 0.0)
    assert look is not None
    assert others is not None
    ends = time.monotonic() + 1.0
    assert look(ends) is None
    await wait_until(lambda: time.monotonic() > ends)
    assert look() is None
    assert others(0.0) is None


async def test_a_value_ends_with_its_time_to_live(store: Store) -> None:
    """After `ttl` seconds a key is gone for `get`, `peek`, `delete` and `release`, and free for `add`."""
    await store.set({"a": b"1", "b": b"1", "c": b"1", "kept": b"1"}, 0.05)
    await store.set({"kept": b"2"}, 60)
    await store.get(["a", "b", "c", "kept"])
    await wait_until(lambda: gone(store, "a"))
    assert store.peek(["a"]) in ([None], None)
    assert await store.delete(["a"]) == 0
    assert not await store.release("b", b"1")
    assert await store.add({"c": b"2"}, 60) == [b"2"]
    assert await store.get(["kept"]) == [b"2"]


@pytest.mark.parametrize("ttl", [0.0, -1.0, 0.0001])
async def test_no_time_to_live_is_next_to_none(store: Store, ttl: float) -> None:
    """A time to live below what can be expressed is a millisecond, not for ever and not an error."""
    await store.set({"a": b"1"}, ttl)
    await store.add({"b": b"1"}, ttl)
    await wait_until(lambda: gone(store, "a"))
    await wait_until(lambda: gone(store, "b"))


async def test_an_endless_time_to_live_is_ten_years(store: Store) -> None:
    """However long the time to live asked for, the value is stored."""
    await store.set({"a": b"1", "b": b"1"}, float("inf"))
    assert await store.get(["a", "b"]) == [b"1", b"1"]


async def test_add_writes_only_what_is_absent(store: Store) -> None:
    """`add` leaves what is there, tells what each key holds, and does not prolong a life."""
    await store.set({"there": b"old"}, 0.1)
    assert await store.add({"there": b"new", "absent": b"new"}, 60) == [b"old", b"new"]
    assert (await store.get(["absent"])) == [b"new"]
    await wait_until(lambda: gone(store, "there"))


async def test_adders_agree_on_one_value(store: Store) -> None:
    """Of any number of concurrent `add` calls one wins, and all are told what it wrote."""
    answers = await asyncio.gather(*(store.add({"a": b"%d" % number}, 60) for number in range(50)))
    assert len({answer[0] for answer in answers}) == 1
    assert await store.get(["a"]) == answers[0]


async def test_set_once_writes_a_group_and_its_mark_or_neither(store: Store) -> None:
    """A group whose mark is there is left as it is; the mark's own end makes it free again; nothing is read back."""
    groups = {"mark 1": {"a": b"1", "b": b"1"}, "mark 2": {"c": b"1"}}
    assert await store.set_once(groups, 60, mark_ttl=60) == [True, True]
    later = {"mark 2": {"c": b"2"}, "mark 3": {"a": b"2"}}
    assert await store.set_once(later, 60, mark_ttl=60) == [False, True]
    assert await store.get(["a", "b", "c"]) == [b"2", b"1", b"1"]
    await store.delete(["mark 1"])
    assert await store.set_once({"mark 1": {"b": b"3"}}, 60, mark_ttl=60) == [True]
    assert await store.get(["b"]) == [b"3"]
    assert await store.set_once({}, 60, mark_ttl=60) == []


async def test_of_many_who_set_once_one_writes(store: Store) -> None:
    """However many come with the same mark at once, the first one's values stand."""
    answers = await asyncio.gather(
        *(store.set_once({"mark": {"a": b"%d" % number}}, 60, mark_ttl=60) for number in range(50))
    )
    [winner] = [number for number, answer in enumerate(answers) if answer == [True]]
    assert await store.get(["a"]) == [b"%d" % winner]


async def test_marks_end_by_themselves(store: Store) -> None:
    """A mark stands for its own time, the values for theirs."""
    await store.set_once({"mark": {"a": b"1"}}, 60, mark_ttl=0.001)

    async def free() -> bool:
        return await store.set_once({"mark": {"a": b"2"}}, 60, mark_ttl=60) == [True]

    await wait_until(free)
    assert await store.get(["a"]) == [b"2"]


async def test_delete_counts_what_was_there(store: Store) -> None:
    """`delete` removes and says how many there were."""
    await store.set({"a": b"1", "b": b"2"}, 60)
    assert await store.delete(["a", "b", "c"]) == 2
    assert await store.get(["a", "b", "c"]) == [None] * 3
    assert await store.delete(["a"]) == 0


async def test_release_removes_only_its_own(store: Store) -> None:
    """`release` removes a key if it holds the value given, else leaves it."""
    await store.set({"lease": b"mine"}, 60)
    assert not await store.release("lease", b"theirs")
    assert await store.get(["lease"]) == [b"mine"]
    assert await store.release("lease", b"mine")
    assert not await store.release("lease", b"mine")


async def test_clear_takes_a_prefix_literally(store: Store) -> None:
    """`clear` removes every key that begins with the prefix and no other, whatever signs the prefix contains."""
    prefixes = ["n*:", "n?:", "[n]:", "n\\:", "n:"]
    for prefix in prefixes:
        await store.set({f"{prefix}{number}": b"1" for number in range(1200)}, 60)
        await store.get([f"{prefix}7"])
    for position, prefix in enumerate(prefixes):
        assert await store.clear(prefix) == 1200
        rest = prefixes[position + 1 :]
        assert store.peek([f"{prefix}7"]) in ([None], None)
        assert await store.get([f"{other}7" for other in rest]) == [b"1"] * len(rest)
    assert await store.clear("n") == 0


async def test_nothing_asked_is_nothing_done(store: Store) -> None:
    """No keys, no items: an empty answer."""
    assert await store.get([]) == []
    assert await store.set({}, 60) is None
    assert await store.add({}, 60) == []
    assert await store.delete([]) == 0


async def test_peek_agrees_with_get(store: Store) -> None:
    """`peek` answers all or nothing, and what it answers is what `get` answered."""
    await store.set({"a": b"1"}, 60)
    keys = ["a", "absent"]
    values = await store.get(keys)
    assert store.peek(keys) == (None if store.name == "valkey" else values)
    if store.name == "tiered":
        assert store.peek([*keys, "never read"]) is None
        assert store.statistics().hits == 2


async def test_an_epoch_is_known_once_connected(store: Store) -> None:
    """After the first call the epoch is known, and it stays while nothing has been lost."""
    assert store.name == "memory" or store.epoch is None
    await store.get(["a"])
    epoch = store.epoch
    assert epoch
    await store.set({"a": b"1"}, 60)
    assert store.epoch == epoch


async def test_hits_and_misses_are_counted(store: Store) -> None:
    """Figures count keys found and not found."""
    await store.set({"a": b"1"}, 60)
    before = store.statistics()
    await store.get(["a", "b", "c"])
    after = store.statistics()
    assert after.misses > before.misses
    assert (after.hits - before.hits) + (after.misses - before.misses) == 3


async def test_what_has_expired_is_counted_and_let_go(store: Store) -> None:
    """What nobody came by after its time is counted, held no longer once it is removed, and the rest stays."""
    lasting = {f"lasting {number}": b"x" for number in range(1500)}
    await store.set(lasting, 60)
    await store.set({"a": b"1", "b": b"2"}, 0.3)
    await store.get([*lasting, "a", "b"])
    held = store.statistics().entries
    expired = 0 if store.name == "valkey" else held - len(lasting)  # both, unless the machine stood still for a while

    async def passed() -> bool:
        return await store.expired() == expired

    await wait_until(passed)
    assert store.statistics().entries == held
    assert await store.expired(remove=True) == expired
    assert store.statistics().entries == held - expired
    assert await store.expired(remove=True) == 0
    assert await store.get(list(lasting)) == [b"x"] * 1500


async def test_closing_twice_is_closing_once(store: Store) -> None:
    """`aclose` may be called again, and before anything else was."""
    await store.aclose()
    await store.aclose()


# --- two clients ---------------------------------------------------------------------------------


async def test_what_one_has_written_the_other_reads(pair: tuple[Store, Store]) -> None:
    """When a write returns, a `get` by anyone sees it, and after a fence so does a `peek`."""
    one, other = pair
    for number in range(100):
        await other.get(["a", "b"])
        value = b"%d" % number
        await one.set({"a": value}, 60)
        assert await other.get(["a"]) == [value]
        await one.delete(["a"])
        await one.add({"b": value}, 60)
        await other.fence()
        assert other.peek(["a", "b"]) in ([None, value], None)
        await one.release("b", value)
        await other.fence()
        assert other.peek(["b"]) in ([None], None)
        assert await other.get(["b"]) == [None]


async def test_two_clients_agree_on_what_was_added(pair: tuple[Store, Store]) -> None:
    """Concurrent `add` calls by several clients have one winner."""
    values = [client.name.encode() + b"%d" % position for position, client in enumerate(pair)]
    calls = [client.add({f"k{n}": value}, 60) for n in range(20) for client, value in zip(pair, values, strict=True)]
    answers = await asyncio.gather(*calls)
    assert answers[::2] == answers[1::2]


async def test_clients_of_one_server_are_in_one_epoch(pair: tuple[Store, Store]) -> None:
    """The epoch belongs to the server's contents, not to the client."""
    await asyncio.gather(*(client.get(["a"]) for client in pair))
    assert pair[0].epoch == pair[1].epoch is not None


async def test_a_tracked_copy_follows_every_kind_of_write(valkey_url: str) -> None:
    """A copy, of a value or of its absence, is gone after a fence whatever changed the key."""
    reader, writer = TieredStore(valkey_url, valkey=PATIENT), ValkeyStore(valkey_url, settings=PATIENT)

    async def send(*command: str) -> None:
        await writer.call("test", [command])

    writes: list[Callable[[], object]] = [
        lambda: writer.set({"a": b"2"}, 60),
        lambda: writer.delete(["a"]),
        lambda: writer.add({"a": b"3"}, 60),
        lambda: writer.release("a", b"3"),
        lambda: send("SET", "a", "plain"),
        lambda: send("PEXPIRE", "a", "60000"),
        lambda: send("APPEND", "a", "more"),
        lambda: send("RENAME", "a", "b"),
        lambda: send("COPY", "b", "a"),
        lambda: send("FLUSHDB"),
        lambda: send("SET", "a", "again"),
        lambda: send("FLUSHALL"),
        lambda: writer.set({"a": b"4"}, 60),
        lambda: writer.clear("a"),
    ]
    try:
        for write in writes:
            await reader.get(["a"])
            assert reader.peek(["a"]) is not None
            await write()  # type: ignore[misc]
            await reader.fence()
            assert reader.peek(["a"]) is None
    finally:
        await reader.aclose()
        await writer.aclose()
