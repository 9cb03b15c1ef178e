"""Metrics: an observer that turns events into figures. Pure but for the clock handed in.

One instance an application; it is called for every event, so a recording is a dictionary look-up and an addition.
Memory is bounded, since that of each family is.
"""

from __future__ import annotations

import os
from bisect import bisect_left
from collections.abc import Callable
from functools import partial
from typing import Any

from tailrace import events
from tailrace.clock import Clock, SystemClock
from tailrace.events import Event, Observer
from tailrace.observe.catalogue import CATALOGUE
from tailrace.observe.family import Family, Series, shown
from tailrace.observe.jobs import recorders_of_jobs
from tailrace.observe.merging import Part
from tailrace.observe.sharing import SharedFigures
from tailrace.observe.streams import recorders_of_semantic, recorders_of_streams
from tailrace.observe.timeseries import recorders_of_timeseries
from tailrace.observe.window import RequestWindow

__all__ = ["Metrics", "fan_out"]

CIRCUIT_STATES = ("closed", "open", "half_open")


class Metrics:
    """The observer that counts.

    Args:
        clock: monotonic time; the horizon's age goes on growing when no relay pass ends.
        window: seconds for which requests are remembered one by one, as far as quantiles need it.

    Cost: 0.3-0.6 microseconds an event.
    """

    def __init__(self, *, clock: Clock | None = None, window: float = 300.0) -> None:
        self._clock = clock or SystemClock()
        self.window = RequestWindow(seconds=window)
        self.families = {metric.name: Family(metric) for metric in CATALOGUE}
        self.shared: SharedFigures | None = None
        self._horizon: tuple[float, float] | None = None
        self._recorders = self._make_recorders()

    def __call__(self, event: Event) -> None:
        """Record ``event``; unknown kinds are ignored."""
        recorder = self._recorders.get(type(event))
        if recorder is not None:
            recorder(event)

    def __getitem__(self, name: str) -> Family:
        """The family of the metric ``name``."""
        return self.families[name]

    # --- instruments: what events would record, for those who record again and again -----------------

    def requests(self, method: str, route: str, status: int, cache: str | None) -> Callable[[float, int], None]:
        """What records requests as ``RequestFinished`` would, told seconds and bytes of the body."""
        return self._finishing(method, route, status, cache, [0.0, 0.0])

    def hits(self, route: str, cache: str, status: int) -> Callable[[float, int], None]:
        """What records hits of the response cache as ``CacheLookedUp`` and ``RequestFinished`` would."""
        looked_up = self["tailrace.cache.lookup.duration"].of((cache, "hit"))
        return self._finishing("GET", route, status, "hit", looked_up)

    def _finishing(
        self, method: str, route: str, status: int, cache: str | None, looked_up: Series
    ) -> Callable[[float, int], None]:
        duration = self["http.server.request.duration"].of((method, route, status))
        bounds = self["http.server.request.duration"].bounds
        sent = self["tailrace.http.response.bytes"].of((route,))
        cached = [0.0] if cache is None else self["tailrace.response_cache.requests"].of((route, cache))
        remember = self.window.recorder(route, status)

        def record(seconds: float, size: int) -> None:
            duration[0] += seconds
            duration[bisect_left(bounds, seconds) + 1] += 1
            sent[0] += size
            cached[0] += 1
            looked_up[1] += 1  # a hit takes less than the first bound; else these are nobody's
            remember(seconds)

        return record

    def compressions(self, encoding: str) -> Callable[[int, int], None]:
        """What records compressed responses as ``ResponseCompressed`` would, told the bytes before and after."""
        labels = (encoding,)
        compressed = self["tailrace.compression.responses"].of(labels)
        before = self["tailrace.compression.original.bytes"].of(labels)
        after = self["tailrace.compression.encoded.bytes"].of(labels)

        def record(original: int, encoded: int) -> None:
            compressed[0] += 1
            before[0] += original
            after[0] += encoded

        return record

    def decisions(self, limit: str, allowed: bool, decided_by: str) -> Callable[[], None]:
        """What records decisions of a rate limit as ``LimitDecided`` would."""
        decided = self["tailrace.limit.decisions"].of(_decision(limit, allowed, decided_by))

        def record() -> None:
            decided[0] += 1

        return record

    def record_store(self, name: str, *, entries: int, size: int, evictions: int) -> None:
        """Take over what a store says of itself; ``size`` in bytes."""
        self["tailrace.store.entries"].set((name,), entries)
        self["tailrace.store.bytes"].set((name,), size)
        self["tailrace.store.evictions"].set((name,), evictions)

    def record_limits(self, *, buckets: int, evictions: int) -> None:
        """Take over what the limiter says of itself."""
        self["tailrace.limit.buckets"].set((), buckets)
        self["tailrace.limit.evictions"].set((), evictions)

    def settle(self) -> None:
        """Bring gauges that change with time alone up to date; called before figures are shown."""
        if self._horizon is not None:
            age, seen = self._horizon
            self["tailrace.freshness.horizon.age"].set((), age + self._clock.monotonic() - seen)

    def share(self, shared: SharedFigures) -> None:
        """Count where the other processes of the application see it; before the first request, once."""
        self.shared = shared
        for name, family in self.families.items():
            family.move(partial(shared.allocate, name))

    def part(self) -> Part:
        """What this process has counted."""
        figures = {
            name: {shown(labels): list(series) for labels, series in each.series.items()}
            for name, each in self.families.items()
            if each.series
        }
        return Part(str(os.getpid()), figures)

    def _make_recorders(self) -> dict[type[Event], Callable[[Any], None]]:
        return {
            **self._of_requests(),
            **self._of_compression(),
            **recorders_of_streams(self.families),
            **recorders_of_semantic(self.families),
            **recorders_of_timeseries(self.families),
            **recorders_of_jobs(self.families),
            **self._of_caches(),
            **self._of_limits(),
            **self._of_database(),
            **self._of_upstreams(),
        }

    def _of_requests(self) -> dict[type[Event], Callable[[Any], None]]:
        duration = self["http.server.request.duration"].observe
        sent = self["tailrace.http.response.bytes"].add
        cached = self["tailrace.response_cache.requests"].add

        def request_finished(event: events.RequestFinished) -> None:
            duration((event.method, event.route, event.status), event.duration)
            sent((event.route,), event.response_bytes)
            self.window.record(event.route, event.status, event.duration)
            if event.cache is not None:
                cached((event.route, event.cache))

        limit = self["tailrace.shedding.limit"].set
        admitted = self["tailrace.shedding.admitted"].set
        waiting = self["tailrace.shedding.waiting"].set
        waited = self["tailrace.shedding.wait_time"].observe
        shed = self["tailrace.shedding.refusals"].add
        deprecated = self["tailrace.versioning.deprecated.requests"].add

        def concurrency_measured(event: events.ConcurrencyMeasured) -> None:
            limit((), event.limit)
            admitted((), event.admitted)
            waiting((), event.waiting)

        return {
            events.RequestFinished: request_finished,
            events.DeprecatedUsed: lambda e: deprecated((e.name, e.route)),
            events.RequestAdmitted: lambda e: waited((), e.wait),
            events.RequestShed: lambda e: shed((e.reason,)),
            events.ConcurrencyMeasured: concurrency_measured,
        }

    def _of_compression(self) -> dict[type[Event], Callable[[Any], None]]:
        compressed = self["tailrace.compression.responses"].add
        original = self["tailrace.compression.original.bytes"].add
        encoded = self["tailrace.compression.encoded.bytes"].add

        def response_compressed(event: events.ResponseCompressed) -> None:
            labels = (event.encoding,)
            compressed(labels)
            original(labels, event.original_bytes)
            encoded(labels, event.encoded_bytes)

        return {events.ResponseCompressed: response_compressed}

    def _of_caches(self) -> dict[type[Event], Callable[[Any], None]]:
        looked_up = self["tailrace.cache.lookup.duration"].observe
        computed = self["tailrace.cache.compute.duration"].observe
        computed_bytes = self["tailrace.cache.computed.bytes"].add
        refused = self["tailrace.cache.fills.refused"].add
        bypassed = self["tailrace.cache.bypasses"].add
        bumped = self["tailrace.freshness.tags.bumped"].add
        bump = self["tailrace.freshness.bump.duration"].observe
        fence = self["tailrace.freshness.fence.duration"].observe
        depth = self["tailrace.freshness.outbox.depth"].set
        epochs = self["tailrace.freshness.epoch.changes"].add
        called = self["tailrace.store.operation.duration"].observe
        connected = self["tailrace.store.connected"].set

        def value_computed(event: events.ValueComputed) -> None:
            computed((event.cache, event.background), event.duration)
            computed_bytes((event.cache,), event.value_bytes)

        def tags_bumped(event: events.TagsBumped) -> None:
            bumped((event.source,), event.count)
            bump((event.source,), event.duration)

        def horizon_advanced(event: events.HorizonAdvanced) -> None:
            self._horizon = (event.age, self._clock.monotonic())
            depth((), event.outbox_depth)

        return {
            events.CacheLookedUp: lambda e: looked_up((e.cache, e.status), e.duration),
            events.ValueComputed: value_computed,
            events.CacheFillRefused: lambda e: refused((e.cache, e.reason)),
            events.CacheBypassed: lambda e: bypassed((e.cache, e.reason)),
            events.TagsBumped: tags_bumped,
            events.Fenced: lambda e: fence((), e.duration),
            events.HorizonAdvanced: horizon_advanced,
            events.EpochChanged: lambda e: epochs((e.part,)),
            events.StoreCalled: lambda e: called((e.store, e.operation, e.error), e.duration),
            events.StoreConnectionChanged: lambda e: connected((e.store,), float(e.connected)),
        }

    def _of_limits(self) -> dict[type[Event], Callable[[Any], None]]:
        decided = self["tailrace.limit.decisions"].add
        lost = self["tailrace.limit.state.losses"].add
        return {
            events.LimitDecided: lambda e: decided(_decision(e.limit, e.allowed, e.decided_by)),
            events.LimitStateLost: lambda e: lost((e.store,)),
        }

    def _of_database(self) -> dict[type[Event], Callable[[Any], None]]:
        wait = self["db.client.connection.wait_time"].observe
        use = self["db.client.connection.use_time"].observe
        count = self["db.client.connection.count"].set
        limit = self["db.client.connection.max"].set
        statement = self["db.client.operation.duration"].observe
        retries = self["tailrace.db.transaction.retries"].add
        folded = self["tailrace.rollups.differences.folded"].add
        pending = self["db.client.connection.pending_requests"].set
        timed_out = self["db.client.connection.timeouts"].add
        found = self["tailrace.db.connection.findings"].add
        lag = self["tailrace.replica.lag"].set
        usable = self["tailrace.replica.usable"].set
        not_cached = self["tailrace.query_cache.refusals"].add
        audited = self["tailrace.query_cache.audits"].add

        def pool_measured(event: events.PoolMeasured) -> None:
            count((event.pool, "used"), event.in_use)
            count((event.pool, "idle"), max(0, event.size - event.in_use))
            limit((event.pool,), event.limit)
            pending((event.pool,), event.waiting)

        def replica_measured(event: events.ReplicaMeasured) -> None:
            lag((event.replica,), event.lag)
            usable((event.replica,), float(event.usable))

        return {
            events.ReplicaMeasured: replica_measured,
            events.ConnectionCheckedOut: lambda e: wait((e.pool,), e.wait),
            events.ConnectionCheckedIn: lambda e: use((e.pool,), e.held),
            events.PoolMeasured: pool_measured,
            events.PoolTimedOut: lambda e: timed_out((e.pool,)),
            events.ConnectionHeld: lambda e: found((e.pool, e.kind, e.site)),
            events.StatementFinished: lambda e: statement((e.pool, e.operation, e.error), e.duration),
            events.Folded: lambda e: folded((), e.count),
            events.TransactionRetried: lambda e: retries((e.pool, e.reason)),
            events.QueryNotCached: lambda e: not_cached((e.cache, e.reason)),
            events.QueryAudited: lambda e: audited((e.cache, e.outcome)),
        }

    def _of_upstreams(self) -> dict[type[Event], Callable[[Any], None]]:
        called = self["tailrace.upstream.call.duration"].observe
        failed = self["tailrace.upstream.attempts.failed"].add
        state = self["tailrace.upstream.circuit.state"].set
        refused = self["tailrace.upstream.bulkhead.refusals"].add
        fallbacks = self["tailrace.upstream.fallbacks"].add

        def circuit_changed(event: events.CircuitChanged) -> None:
            for name in CIRCUIT_STATES:
                state((event.dependency, name), float(name == event.state))

        return {
            events.UpstreamCalled: lambda e: called((e.dependency, e.outcome), e.duration),
            events.AttemptFailed: lambda e: failed((e.dependency, e.reason)),
            events.CircuitChanged: circuit_changed,
            events.BulkheadRefused: lambda e: refused((e.dependency,)),
            events.FallbackUsed: lambda e: fallbacks((e.dependency, e.reason)),
        }


def _decision(limit: str, allowed: bool, decided_by: str) -> tuple[str, str, str]:
    """The labels of a rate limit's decision."""
    return limit, "admitted" if allowed else "refused", decided_by


def fan_out(*observers: Observer | None) -> Observer | None:
    """One observer for all of them; None when there is none."""
    present = [observer for observer in observers if observer is not None]
    if len(present) < 2:
        return present[0] if present else None
    first, *others = present

    def observe(event: Event, /) -> None:
        first(event)
        for other in others:
            other(event)

    return observe
