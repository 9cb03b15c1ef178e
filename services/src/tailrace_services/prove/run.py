"""One proof from beginning to end. Touches: everything through the phases.

The phases, by the names that ``--only`` takes: ``answers`` (at rest), ``timing``, ``throughput``, ``mix``, ``writes``
(answers while others write), ``outage``, ``crowd``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from random import Random

from tailrace.verify.statistics import percentile
from tailrace_services.prove import conditions, goals
from tailrace_services.prove.comparison import Verdicts, compare_at_rest, compare_under_writes
from tailrace_services.prove.databases import Databases
from tailrace_services.prove.load import WRITE_SHARE, MixResult, mix, throughput
from tailrace_services.prove.reference import reference_index
from tailrace_services.prove.report import Goal, Proof, row_of
from tailrace_services.prove.stage import Stage, stage
from tailrace_services.prove.subject import ENDPOINTS, SERVICE, Person, draw
from tailrace_services.prove.timing import Budget, Timing, time_endpoint

__all__ = ["PHASES", "Effort", "prove", "prove_growth"]

PHASES = ("answers", "timing", "throughput", "mix", "writes", "outage", "crowd")

PROVIDER_MS = 200
"""How long the voice provider takes for each call while times are measured, milliseconds."""

Told = Callable[[str, float], None]
"""Called with a phase and its share done (0..1)."""


@dataclass(frozen=True, slots=True)
class Effort:
    """How much of everything. ``users`` are compared; ``mix_users`` look at once in the mix."""

    users: int = 300
    budget: Budget = field(default_factory=Budget)
    throughput_seconds: float = 3.0
    mix_users: int = 50
    mix_seconds: float = 15.0
    writes_seconds: float = 20.0
    crowd_users: int = 500
    crowd_seconds: float = 10.0
    seed: int = 1


async def prove(
    databases: Databases,
    valkey_url: str,
    *,
    scale: str,
    only: Collection[str] = PHASES,
    effort: Effort | None = None,
    soak_seconds: float = 0.0,
    told: Told = lambda phase, share: None,
) -> Proof:
    """Run the phases of ``only``, in their order, and ``soak_seconds`` of soak if there are any.

    Raises:
        ServerFailedError: a server does not start.
    """
    async with stage(databases, valkey_url) as running:
        work = _Proving(running, databases.url, scale, effort or Effort(), told)
        for phase in PHASES:
            if phase in only:
                told(phase, 0.0)
                await getattr(work, phase)()
                told(phase, 1.0)
        if soak_seconds:
            await work.soak(soak_seconds)
        return work.proof()


async def prove_growth(
    fewer: Databases, more: Databases, valkey_url: str, told: Told = lambda phase, share: None
) -> Proof:
    """Time a cold overview of the same user, the one with the most calls, at two scales."""
    times: list[list[float]] = []
    for number, databases in enumerate((fewer, more)):
        async with stage(databases, valkey_url) as running:
            person = draw(running.site.people, 1, Random(1))[0]  # noqa: S311 - a sample, no secret
            times.append(await conditions.growth(running.site, ENDPOINTS[0], person))
            told("growth", (number + 1) / 2)
    proof = Proof(f"{fewer.calls:,} and {more.calls:,} calls", more.calls)
    proof.goals.append(goals.growth_goal(times[0], times[1], f"{fewer.calls:,} to {more.calls:,} calls"))
    proof.notes = [
        f"cold overview p95: {percentile(seconds, 0.95) * 1000:.2f} ms at {databases.calls:,} calls"
        for seconds, databases in zip(times, (fewer, more), strict=True)
    ]
    return proof


class _Proving:
    """The phases on one stage, and what they found."""

    def __init__(self, running: Stage, database: str, scale: str, effort: Effort, told: Told) -> None:
        self.stage, self.site = running, running.site
        self.database = database
        self.scale, self.effort, self.told = scale, effort, told
        self.random = Random(effort.seed)  # noqa: S311 - samples, no secrets
        self.people: Sequence[Person] = draw(self.site.people, effort.users, self.random)
        self.verdicts = Verdicts()
        self.timings: dict[str, Timing] = {}
        self.throughputs: dict[str, float] = {}
        self.mixed: MixResult | None = None
        self.goals: list[Goal] = []
        self.notes: list[str] = []

    async def answers(self) -> None:
        """After the bulk load, nobody writing."""
        done = 0

        def one_more() -> None:
            nonlocal done
            done += 1
            self.told("answers", done / len(self.people))

        async with reference_index(self.database):
            await compare_at_rest(self.site, self.people, self.verdicts, told=one_more)

    async def timing(self) -> None:
        """Baseline, cold and warm, with the provider as slow as in life."""
        await self.stage.provider.behave(latency_ms=PROVIDER_MS)
        try:
            for number, endpoint in enumerate(self.site.endpoints):
                timing = await time_endpoint(
                    self.site,
                    endpoint,
                    self.people[:50],
                    self.effort.budget,
                    told=lambda share, number=number: self.told(  # type: ignore[misc]
                        "timing", (number + share) / len(self.site.endpoints)
                    ),
                )
                self.timings[endpoint.name] = timing
                self.goals += goals.timing_goals(endpoint, timing)
        finally:
            await self.stage.provider.behave()

    async def throughput(self) -> None:
        """50 users at once, caches warm."""
        for number, endpoint in enumerate(self.site.endpoints):
            result = await throughput(self.site, endpoint, self.people, seconds=self.effort.throughput_seconds)
            self.throughputs[endpoint.name] = result.requests_per_second
            if result.errors:
                self.notes.append(f"errors at 50 users, {endpoint.name}: {dict(result.errors)}")
            self.told("throughput", (number + 1) / len(self.site.endpoints))

    async def mix(self) -> None:
        """Reads and writes as users make them."""
        self.mixed = await mix(
            self.site,
            self.people,
            users=self.effort.mix_users,
            seconds=self.effort.mix_seconds,
            random=self.random,
        )
        self.goals += goals.mix_goals(self.mixed, WRITE_SHARE)
        summary = self.mixed.load.total().summary()
        if summary is not None:
            self.notes.append(
                f"mix: {self.effort.mix_users} users, {self.mixed.load.requests_per_second:,.0f} requests/s, "
                f"p50 {summary.p50 * 1000:.1f} ms, p95 {summary.p95 * 1000:.1f} ms (the load shares the cores)"
            )

    async def writes(self) -> None:
        """Answers while others write."""
        before = len(self.verdicts.waits)
        async with reference_index(self.database):
            await compare_under_writes(
                self.site, self.people, self.verdicts, seconds=self.effort.writes_seconds, random=self.random
            )
        waits = self.verdicts.waits[before:]
        slowest = f"{len(waits)} were not, the slowest took {max(waits) * 1000:.0f} ms" if waits else "all were"
        self.notes.append(
            f"compared under {self.verdicts.writes:,} writes; own ones must show at once, those by raw SQL within 1 s "
            f"(of the answers, {slowest} there when first asked for)"
        )

    async def outage(self) -> None:
        """Agents while the provider is down."""
        endpoint = next(endpoint for endpoint in self.site.endpoints if endpoint.name == "agents")
        found = await conditions.outage(self.stage, endpoint, self.people[0])
        self.goals += goals.outage_goals(found)
        self.notes.append(
            f"provider down: {found.samples} agents answers of {len(self.people[0].agents)} agents, caches emptied "
            f"before each, from the first one within 100 ms on; the slowest until then took {found.first * 1000:.0f} ms"
        )

    async def crowd(self) -> None:
        """Many at once."""
        found = await conditions.crowd(self.site, self.effort.crowd_users, self.effort.crowd_seconds, self.random)
        self.goals += goals.crowd_goals(found)
        self.notes.append(
            f"{found.users} users at once, none pausing between requests: {found.requests_per_second:,.0f} requests/s"
        )

    async def soak(self, seconds: float) -> None:
        """Memory over a long run."""
        found = await conditions.soak(
            self.stage, list(self.people[:50]), seconds, self.random, lambda share: self.told("soak", share)
        )
        self.goals.append(goals.soak_goal(found))
        self.notes.append(f"soak: {found.requests:,} requests, {found.errors} errors")

    def proof(self) -> Proof:
        """Rows of everything that was found."""
        proof = Proof(self.scale, self.stage.databases.calls, goals=self.goals, notes=self.notes)
        proof.mismatches = self.verdicts.mismatches
        for endpoint in self.site.endpoints:
            name, timing = endpoint.name, self.timings.get(endpoint.name)
            if timing is not None:
                proof.samples[name] = (len(timing.before), len(timing.cold), len(timing.warm))
                if timing.cut:
                    proof.cut_off[name] = timing.cut
            row = row_of(
                SERVICE,
                endpoint,
                self.scale,
                timing,
                requests_per_second=self.throughputs.get(name),
                hit_ratio=self.mixed.hit_ratio(name) if self.mixed else None,
                compared=self.verdicts.compared.get(name, 0),
                equal=self.verdicts.equal.get(name, 0),
            )
            proof.rows.append(row)
        self._note_samples(proof)
        return proof

    def _note_samples(self, proof: Proof) -> None:
        if proof.samples:
            counts = ", ".join(f"{name} {before}/{cold}/{warm}" for name, (before, cold, warm) in proof.samples.items())
            proof.notes.append(f"samples before/cold/warm: {counts}; the provider takes {PROVIDER_MS} ms a call")
        for name, cut in proof.cut_off.items():
            limit = self.effort.budget.cutoff
            proof.notes.append(f"{name}: {cut} baseline requests were cut off after {limit:g} s and are shown as >")
        if self.verdicts.users:
            proof.notes.append(f"answers of {len(self.verdicts.users)} users were compared, every field")
