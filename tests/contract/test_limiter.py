"""What every limiter promises, run against each of them; the rules about two processes run where there can be two."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from tailrace.core.gcra import Rate, parse_rate
from tailrace.limits import (
    Claim,
    LeasedLimiter,
    Limit,
    Limiter,
    MemoryLimiter,
    ResilientLimiter,
    SharedBuckets,
    ValkeyLimiter,
    Verdict,
)
from tailrace.settings import ValkeySettings

# A shared machine may stop for longer than production would wait; none of these rules is about slowness.
PATIENT = ValkeySettings(timeout=10.0, connect_timeout=10.0)
KINDS = ["memory", "valkey", "leased", "resilient", "resilient leased"]
SLOW = Rate(10, 31 * 24 * 3600 * 1_000_000, 10)
"""Ten at once, and nothing that flows in while a test runs."""


def make(kind: str, url: str) -> Limiter:
    if kind == "memory":
        return MemoryLimiter()
    buckets = SharedBuckets(url, settings=PATIENT)
    exact, leased = ValkeyLimiter(buckets), LeasedLimiter(buckets, part=0.3, keep=60.0)
    if kind == "valkey":
        return exact
    return leased if kind == "leased" else ResilientLimiter(exact, leased, local=MemoryLimiter())


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def url(kind: str, request: pytest.FixtureRequest) -> str:
    return "" if kind == "memory" else str(request.getfixturevalue("valkey_url"))


@pytest.fixture
async def limiter(kind: str, url: str) -> AsyncIterator[Limiter]:
    limiter = make(kind, url)
    yield limiter
    await limiter.aclose()


@pytest.fixture
def slow(kind: str) -> Limit:
    return limit("slow", kind)


def limit(name: str, kind: str, rate: Rate = SLOW) -> Limit:
    return Limit(name, rate, "leased" if "leased" in kind else "exact")


async def ask(limiter: Limiter, *claims: Claim) -> Verdict:
    """As the layer asks."""
    return limiter.take_now(claims) or await limiter.take(claims)


async def test_a_burst_is_admitted_and_no_more(limiter: Limiter, slow: Limit) -> None:
    """One after another: the burst, then refusals that say when to come again."""
    verdicts = [await ask(limiter, Claim(slow, "a")) for _ in range(15)]
    assert [verdict.allowed for verdict in verdicts] == [True] * 10 + [False] * 5
    decision = verdicts[-1].decisions[0]
    assert decision is not None
    assert 0 < verdicts[-1].retry_after <= SLOW.interval
    assert decision.remaining == 0
    assert decision.reset <= SLOW.span


async def test_what_is_ready_decides_as_the_limiter_does(limiter: Limiter, kind: str, slow: Limit) -> None:
    """Of one claim and of two, by turns with others who make the same: one burst, and never a verdict that it has not
    taken."""
    other = limit("other", kind, Rate(7, SLOW.period))
    for claims, most in (
        ([Claim(slow, "a")], 10),
        ([Claim(slow, "b"), Claim(other, "b")], 7),
        ([Claim(slow, "c", 3)], 3),
    ):
        ready, allowed = limiter.ready(claims), 0
        for turn in range(12):
            verdict = (ready() if turn % 2 else None) or await ask(limiter, *claims)
            assert verdict.decided_by == (await ask(limiter, Claim(slow, "nobody"))).decided_by
            assert len(verdict.decisions) == len(claims)
            allowed += verdict.allowed
        assert allowed == most


async def test_a_burst_is_admitted_and_no_more_to_many_at_once(limiter: Limiter, slow: Limit) -> None:
    """Two hundred at once: exactly the burst."""
    verdicts = await asyncio.gather(*[ask(limiter, Claim(slow, "a")) for _ in range(200)])
    assert sum(verdict.allowed for verdict in verdicts) == 10


async def test_callers_and_limits_have_buckets_of_their_own(limiter: Limiter, kind: str, slow: Limit) -> None:
    """What one uses is not missing from another's, whatever they are called."""
    other = limit("slow:a", kind)
    claims = [Claim(slow, "a"), Claim(slow, "a:a"), Claim(other, "a"), Claim(slow, "ключ \n*")]
    for _ in range(10):
        for claim in claims:
            assert (await ask(limiter, claim)).allowed
    for claim in claims:
        assert not (await ask(limiter, claim)).allowed


async def test_a_cost_is_taken_whole_or_not(limiter: Limiter, slow: Limit) -> None:
    """Four of ten, twice; the two that are left are not enough for four, but for two."""
    costs = [4, 4, 4, 2, 1]
    assert [(await ask(limiter, Claim(slow, "a", cost))).allowed for cost in costs] == [True, True, False, True, False]


async def test_limits_together_are_all_or_nothing(limiter: Limiter, kind: str, slow: Limit) -> None:
    """What the narrow one refuses takes nothing from the wide one, also when it is asked first."""
    narrow = limit("narrow", kind, Rate(1, SLOW.period))
    for claims in ([Claim(slow, "a"), Claim(narrow, "a")], [Claim(narrow, "b"), Claim(slow, "b")]):
        assert (await ask(limiter, *claims)).allowed
        verdict = await ask(limiter, *claims)
        assert not verdict.allowed
        assert [d.allowed for d in verdict.decisions if d is not None] == [c.limit is slow for c in claims]
        caller = claims[0].caller
        assert [(await ask(limiter, Claim(slow, caller))).allowed for _ in range(10)] == [True] * 9 + [False]


async def test_limits_together_at_once(limiter: Limiter, kind: str, slow: Limit) -> None:
    """Fifty pairs at once: the narrower of the two decides how many, and the wider loses just as many."""
    narrow = limit("narrow", kind, Rate(4, SLOW.period))
    pair = [Claim(slow, "a"), Claim(narrow, "a")]
    verdicts = await asyncio.gather(*[ask(limiter, *pair) for _ in range(50)])
    assert sum(verdict.allowed for verdict in verdicts) == 4
    assert [(await ask(limiter, Claim(slow, "a"))).allowed for _ in range(7)] == [True] * 6 + [False]


async def test_units_flow_in_with_time(limiter: Limiter, kind: str) -> None:
    """After a refusal, the same request is granted once the time it was told has passed, and not before."""
    quick = limit("quick", kind, parse_rate("20/s", burst=1))
    assert (await ask(limiter, Claim(quick, "a"))).allowed
    refused = await ask(limiter, Claim(quick, "a"))
    assert not refused.allowed
    while not (verdict := await ask(limiter, Claim(quick, "a"))).allowed:
        await asyncio.sleep(verdict.retry_after / 1e6)
    first, last = refused.decisions[0], verdict.decisions[0]
    assert first is not None
    assert last is not None
    assert last.now - first.now >= first.retry_after


@pytest.mark.parametrize("kind", ["valkey", "resilient"], indirect=True)
async def test_two_exact_limiters_are_one(kind: str, url: str, slow: Limit) -> None:
    """Between two connections exactly the burst is admitted."""
    limiters = [make(kind, url), make(kind, url)]
    verdicts = await asyncio.gather(*[ask(limiters[n % 2], Claim(slow, "a")) for n in range(100)])
    assert sum(verdict.allowed for verdict in verdicts) == 10
    for each in limiters:
        await each.aclose()


@pytest.mark.parametrize("kind", ["leased", "resilient leased"], indirect=True)
async def test_two_leasing_limiters_never_admit_more_than_there_is(kind: str, url: str) -> None:
    """Units that one has in hand are not there for the other; what is left is not more than their slices."""
    wide = limit("wide", kind, Rate(100, SLOW.period, 100))
    limiters = [make(kind, url), make(kind, url)]
    verdicts = await asyncio.gather(*[ask(limiters[n % 2], Claim(wide, "a")) for n in range(400)])
    admitted = sum(verdict.allowed for verdict in verdicts)
    assert 100 - 2 * 30 <= admitted <= 100
    for each in limiters:
        await each.aclose()


@pytest.mark.parametrize("kind", ["leased"], indirect=True)
async def test_a_slice_is_given_back_when_it_is_too_old(url: str) -> None:
    """What was not used in time is there for the others again once more is asked for."""
    one, two = (LeasedLimiter(SharedBuckets(url, settings=PATIENT), part=0.5, keep=1e-6) for _ in range(2))
    wide = Limit("wide", Rate(100, SLOW.period, 100), "leased")
    assert (await ask(one, Claim(wide, "a"))).allowed  # has taken 50 and used 1
    assert (await ask(one, Claim(wide, "a"))).allowed  # gives 49 back and takes 49
    verdicts = [await ask(two, Claim(wide, "a")) for _ in range(40)]
    assert all(verdict.allowed for verdict in verdicts)
    await one.aclose()
    await two.aclose()


@pytest.mark.parametrize("kind", ["valkey", "leased"], indirect=True)
async def test_no_key_lives_longer_than_its_bucket_has_anything_in_it(url: str, limiter: Limiter, kind: str) -> None:
    """Every key expires when its bucket is full, give or take two milliseconds."""
    quick = limit("quick", kind, parse_rate("1/s", burst=10))
    for number in range(20):
        verdict = await ask(limiter, Claim(quick, str(number)))
        [decision] = verdict.decisions
        assert decision is not None
    buckets = SharedBuckets(url, settings=PATIENT)
    assert await buckets.connect()
    from tailrace.stores.resp3 import pack

    for number in range(20):
        [left] = await buckets.link.send(pack(["PTTL", buckets.key("quick", str(number))]), 1)
        assert 0 < left <= 10_000 + 2
    await buckets.aclose()
