"""The cache's pure parts: entries, phases of a life, tokens, the horizon."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.cache import CachePolicy
from tailrace.cache.early_refresh import Phase, phase
from tailrace.cache.entry import HEADER, Entry, decode, encode
from tailrace.cache.write_token import WriteTokens
from tailrace.core.freshness import STAMP_BYTES, Horizon, current, with_table, with_wide
from tailrace.testing.clock import FakeClock

stamps = st.integers(0, 8).flatmap(lambda n: st.binary(min_size=n * STAMP_BYTES, max_size=n * STAMP_BYTES))


@given(stamps, st.floats(0, 1e10), st.floats(0, 1e6, width=32), st.floats(0, 1e3, width=32), st.binary(max_size=200))
def test_an_entry_survives_its_stored_form(carried: bytes, at: float, ttl: float, cost: float, value: bytes) -> None:
    """decode(encode(entry)) is the entry."""
    entry = Entry(carried, at, ttl, cost, value)
    assert decode(encode(entry)) == entry


@given(st.binary(max_size=100))
def test_no_bytes_make_decoding_fail(data: bytes) -> None:
    """What is damaged or foreign is a miss, never an error."""
    entry = decode(data)
    assert entry is None or len(data) >= HEADER.size


def test_a_cut_entry_is_a_miss() -> None:
    """An entry without all of its stamps is not taken for one with fewer."""
    whole = encode(Entry(b"s" * STAMP_BYTES * 3, 1.0, 1.0, 1.0, b""))
    assert decode(whole[:-1]) is None


@pytest.mark.parametrize(
    ("age", "expected"),
    [(0, Phase.FRESH), (9.9, Phase.FRESH), (10, Phase.STALE), (14.9, Phase.STALE), (15, Phase.EXPIRED)],
)
def test_phases_by_age(age: float, expected: Phase) -> None:
    """Fresh below ttl, stale for stale_while_revalidate after it, then expired."""
    policy = CachePolicy("p", ttl=10, stale_while_revalidate=5, early_refresh=0)
    assert phase(Entry(b"", 100.0, 10.0, 1.0, b""), policy, 100.0 + age, 0.5) is expected


def test_early_refresh_grows_likely_with_cost_and_towards_the_end() -> None:
    """XFetch: refreshes where cost * beta * -ln(chance) reaches what is left of the life."""
    policy = CachePolicy("p", ttl=10)
    entry = Entry(b"", 0.0, 10.0, 2.0, b"")
    assert phase(entry, policy, 9.0, 0.5) is Phase.REFRESH  # 2 * 0.69 >= 1
    assert phase(entry, policy, 8.0, 0.5) is Phase.FRESH  # 2 * 0.69 < 2
    assert phase(Entry(b"", 0.0, 10.0, 0.001, b""), policy, 9.0, 0.5) is Phase.FRESH


def test_a_clock_that_went_back_makes_nothing_fresher() -> None:
    """An entry from the future has age 0."""
    policy = CachePolicy("p", ttl=10, early_refresh=0)
    assert phase(Entry(b"", 1000.0, 10.0, 0.0, b""), policy, 0.0, 0.5) is Phase.FRESH


@pytest.mark.parametrize("wrong", [{"ttl": 0}, {"ttl": -1}, {"ttl": 1, "jitter": 1}, {"ttl": 1, "stale_if_error": -1}])
def test_a_policy_that_makes_no_sense_is_refused(wrong: dict[str, float]) -> None:
    """With a message that names the policy."""
    with pytest.raises(ValueError, match="'p'"):
        CachePolicy("p", **wrong)


def test_tokens_say_what_they_were_issued_for_until_they_expire() -> None:
    """A token counts for ttl seconds, and for no more than one beyond."""
    clock = FakeClock()
    clock.step(0.75)
    tokens = WriteTokens(b"secret", 10.0, clock)
    fence, bypass = tokens.issue(), tokens.issue(unstamped=True)
    clock.step(10.0)
    assert (tokens.read(fence), tokens.read(bypass)) == ("fence", "bypass")
    clock.step(1.0)
    assert (tokens.read(fence), tokens.read(bypass)) == ("none", "none")


@given(st.lists(st.floats(0, 3), max_size=20))
def test_no_token_counts_for_less_than_its_time(pauses: list[float]) -> None:
    """Tokens of one second are the same; each still counts for ttl seconds from when it was issued."""
    clock = FakeClock()
    tokens = WriteTokens(b"secret", 2.0, clock)
    for pause in pauses:
        clock.step(pause)
        begun, token = clock.now(), tokens.issue()
        assert tokens.read(token) == "fence"
        later = FakeClock()
        later.step(begun + 1.999 - later.now())
        assert WriteTokens(b"secret", 2.0, later).read(token) == "fence"


@given(st.text(max_size=60))
def test_no_text_is_taken_for_a_token(text: str) -> None:
    """Neither an error nor a fence for what nobody signed."""
    assert WriteTokens(b"secret", 10.0, FakeClock()).read(text) == "none"


@given(st.integers(0, 8 * 32 - 1))
def test_a_changed_token_is_forged(bit: int) -> None:
    """Every bit counts: life, time and signature."""
    tokens = WriteTokens(b"secret", 10.0, FakeClock())
    data = bytearray(urlsafe_b64decode(tokens.issue() + "=="))
    data[bit // 8] ^= 1 << bit % 8
    assert tokens.read(urlsafe_b64encode(bytes(data)).decode().rstrip("=")) == "none"


def test_a_token_of_another_secret_is_forged() -> None:
    """Secrets separate installations."""
    clock = FakeClock()
    assert WriteTokens(b"one", 10.0, clock).read(WriteTokens(b"two", 10.0, clock).issue()) == "none"


def test_stamps_are_current_only_when_all_are_there_and_equal() -> None:
    """A missing stamp is never equal to anything."""
    a, b = b"a" * STAMP_BYTES, b"b" * STAMP_BYTES
    assert current(a + b, [a, b])
    assert not current(a + b, [a, None])
    assert not current(a + b, [b, a])
    assert not current(b"", [None])
    assert current(b"", [])


def test_wide_tags_come_with_keyed_ones() -> None:
    """An answer about one user's calls depends on what changes all calls at once."""
    assert with_wide(["calls:user_id=1", "calls:user_id=2", "agents"]) == (
        "agents",
        "calls:*",
        "calls:user_id=1",
        "calls:user_id=2",
    )


def test_a_table_comes_with_its_keys() -> None:
    """Who wrote a key's rows wrote the table's."""
    assert with_table(["calls:user_id=a:b", "agents:*", "users"]) == (
        "agents",
        "agents:*",
        "calls",
        "calls:user_id=a:b",
        "users",
    )
    assert with_table([]) == ()


class Passes:
    """A simple truth to compare the horizon with: remembers every pass."""

    def __init__(self) -> None:
        self.passes: list[tuple[float, set[int]]] = []

    def observe(self, started: float, unsettled: frozenset[int]) -> float:
        for _, rows in self.passes:
            rows &= unsettled
        self.passes.append((started, set(unsettled)))
        return max((began for began, rows in self.passes if not rows), default=float("-inf"))


@given(st.lists(st.frozensets(st.integers(0, 5), max_size=4), max_size=30))
def test_the_horizon_never_runs_ahead_and_gets_there(looks: list[frozenset[int]]) -> None:
    """It is never later than the newest settled pass, and equals it whenever a look finds nothing unsettled."""
    horizon, truth = Horizon(), Passes()
    for moment, unsettled in enumerate(looks):
        expected = truth.observe(float(moment), unsettled)
        horizon.observe(float(moment), unsettled)
        assert horizon.reached <= expected
        assert len(horizon.waiting) <= 2
        if not unsettled:
            assert horizon.reached == expected == float(moment)


def test_rows_of_others_hold_the_horizon_until_they_are_gone() -> None:
    """A pass counts from its start once every row it saw has been settled by whoever held it."""
    horizon = Horizon()
    horizon.observe(1.0, frozenset({7}))
    assert not horizon.trusted(1.0, 0.5)
    horizon.observe(2.0, frozenset({7, 8}))
    horizon.observe(3.0, frozenset({8}))
    assert horizon.reached == 1.0
    horizon.observe(4.0, frozenset({9}))
    assert horizon.reached == 3.0
    assert horizon.trusted(3.5, 0.5)
    assert not horizon.trusted(3.6, 0.5)
