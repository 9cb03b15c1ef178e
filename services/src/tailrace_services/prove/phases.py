"""The parts of a proof, on one stage. Touches: everything through the modules that measure and compare.

By the names that ``--only`` takes: ``answers`` (at rest), ``sizes``, ``timing``, ``throughput``, ``mix``, ``writes``
(answers while others write), what a service has of its own, ``crowd``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field
from random import Random
from typing import Any

from tailrace_services.prove import conditions, goals
from tailrace_services.prove.comparison import Verdicts, compare_at_rest, compare_under_writes
from tailrace_services.prove.load import WRITE_SHARE, MixResult, mix, throughput
from tailrace_services.prove.machine import ProcessorTime, processor_time
from tailrace_services.prove.reference import reference_indexes
from tailrace_services.prove.report import Goal, Proof, row_of
from tailrace_services.prove.stage import Stage
from tailrace_services.prove.subject import draw
from tailrace_services.prove.timing import Budget, Timing, time_endpoint

__all__ = ["COMMON", "Effort", "Proving", "Told"]

Told = Callable[[str, float], None]
"""Called with a phase and its share done (0..1)."""

OFTEN = 0.5
"""As users come, they ask this often of what the server could answer: a service that is well has as much in reserve."""
WORTH_TELLING = 0.01
"""Share of the processor time from which 95th percentiles show that it was stolen."""


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


class Proving:
    """The phases on one stage, and what they found. A subject's own phases add their goals, notes and rows."""

    def __init__(self, running: Stage, scale: str, effort: Effort, told: Told) -> None:
        self.stage, self.site, self.subject = running, running.site, running.site.subject
        self.scale, self.effort, self.told = scale, effort, told
        self.random = Random(effort.seed)  # noqa: S311 - samples, no secrets
        self.people: Sequence[Any] = draw(self.site.people, effort.users, self.random)
        self.verdicts = Verdicts()
        self.endpoints = [*self.subject.endpoints]
        """What has a row; phases of a subject's own may add to it."""
        self.timings: dict[str, Timing] = {}
        self.throughputs: dict[str, float] = {}
        self.mixed: MixResult | None = None
        self.goals: list[Goal] = []
        self.notes: list[str] = [*self.subject.notes]

    async def run(self, phase: str) -> None:
        """One phase, by its name; one that the subject has not is left out.

        Raises:
            ServerFailedError: a server does not come back.
            TailraceError: something else that ends the proof.
        """
        self.told(phase, 0.0)
        if phase in self.subject.phases:
            await self.subject.phases[phase](self)
        elif phase in COMMON:
            await COMMON[phase](self)
        self.told(phase, 1.0)

    async def answers(self) -> None:
        """After the bulk load, nobody writing."""
        async with self._reference():
            await compare_at_rest(self.site, self.people, self.verdicts, told=lambda share: self.told("answers", share))

    async def timing(self) -> None:
        """Baseline, cold and warm, with what is called as slow as in life."""
        simulation, before = self.stage.simulation, processor_time()
        async with simulation.as_in_life() if simulation else nullcontext():
            for number, endpoint in enumerate(self.subject.endpoints):
                timing = await time_endpoint(
                    self.site,
                    endpoint,
                    self.people[:50],
                    self.effort.budget,
                    told=lambda share, number=number: self.told(  # type: ignore[misc]
                        "timing", (number + share) / len(self.subject.endpoints)
                    ),
                )
                self.timings[endpoint.name] = timing
                self.goals += goals.timing_goals(endpoint, timing)
        self._note_stolen(before, processor_time())

    def _note_stolen(self, before: ProcessorTime | None, after: ProcessorTime | None) -> None:
        stolen = after.stolen_since(before) if before and after else 0.0
        if stolen >= WORTH_TELLING:
            self.notes.append(
                f"while times were measured, {stolen:.0%} of the processor time this machine wanted was "
                "given to others by its host: the slowest requests are slower for it"
            )

    async def throughput(self) -> None:
        """50 users at once, caches warm."""
        for number, endpoint in enumerate(self.subject.endpoints):
            result = await throughput(self.site, endpoint, self.people, seconds=self.effort.throughput_seconds)
            self.throughputs[endpoint.name] = result.requests_per_second
            if endpoint.rate is not None:
                self.goals.append(
                    goals.above(f"{endpoint.name}, 50 users", endpoint.rate, result.requests_per_second, "req/s")
                )
            if result.errors:
                self.notes.append(f"errors at 50 users, {endpoint.name}: {dict(result.errors)}")
            self.told("throughput", (number + 1) / len(self.subject.endpoints))

    async def sizes(self) -> None:
        """How much smaller compression makes answers."""
        for endpoint in self.subject.endpoints:
            measured = await conditions.sizes(self.site, endpoint, self.people[:20])
            self.goals += goals.size_goals(endpoint, measured)
            if measured:
                smaller = ", ".join(f"{coding} {share:.1%}" for coding, share in measured.items())
                self.notes.append(f"{endpoint.name}: answers smaller by {smaller}")

    async def mix(self) -> None:
        """Reads and writes: by users who never pause, and then, half as many a second, as users come."""
        wanted, effort = self.subject.hit_ratios, self.effort
        self.mixed = flood = await self._mix()
        self.goals += goals.mix_goals(flood, wanted, WRITE_SHARE)
        self._note_mix(f"{effort.mix_users} users who never pause", flood)
        self.told("mix", 0.5)
        arrivals = await self._mix(max(1.0, OFTEN * flood.load.requests_per_second))
        self.goals += goals.arrivals_goals(arrivals, wanted, WRITE_SHARE)
        self._note_mix("as users come, half as many a second", arrivals)

    async def _mix(self, rate: float | None = None) -> MixResult:
        effort = self.effort
        users, seconds = effort.mix_users, effort.mix_seconds
        return await mix(self.site, self.people, users=users, seconds=seconds, random=self.random, rate=rate)

    def _note_mix(self, who: str, found: MixResult) -> None:
        summary = found.load.total().summary()
        if summary is not None:
            self.notes.append(
                f"mix: {who}: {found.load.requests_per_second:,.0f} requests/s, "
                f"p50 {summary.p50 * 1000:.1f} ms, p95 {summary.p95 * 1000:.1f} ms, "
                f"{found.pure_ratio() or 0:.1%} hits, {found.collapsed_ratio() or 0:.1%} waited for somebody else's "
                "(the load shares the cores)"
            )

    async def writes(self) -> None:
        """Answers while others write."""
        before = len(self.verdicts.waits)
        async with self._reference():
            await compare_under_writes(
                self.site, self.people, self.verdicts, seconds=self.effort.writes_seconds, random=self.random
            )
        waits = self.verdicts.waits[before:]
        slowest = f"{len(waits)} were not, the slowest took {max(waits) * 1000:.0f} ms" if waits else "all were"
        self.notes.append(
            f"compared under {self.verdicts.writes:,} writes; own ones must show at once, those by raw SQL within 1 s "
            f"(of the answers, {slowest} there when first asked for)"
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

    def _reference(self) -> AbstractAsyncContextManager[None]:
        return reference_indexes(self.stage.databases.url, self.subject.reference_indexes)

    def proof(self) -> Proof:
        """Rows of everything that was found."""
        title, size = self.subject.data.title, self.stage.databases.size
        proof = Proof(title, self.scale, size, goals=self.goals, notes=self.notes)
        proof.mismatches = self.verdicts.mismatches
        for endpoint in self.endpoints:
            name, timing = endpoint.name, self.timings.get(endpoint.name)
            if timing is not None:
                proof.samples[name] = (len(timing.before), len(timing.cold), len(timing.warm))
                if timing.cut:
                    proof.cut_off[name] = timing.cut
            row = row_of(
                self.subject.name,
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
            proof.notes.append(f"samples before/cold/warm: {counts}")
        for name, cut in proof.cut_off.items():
            limit = self.effort.budget.cutoff
            proof.notes.append(f"{name}: {cut} baseline requests were cut off after {limit:g} s and are shown as >")
        if self.verdicts.users:
            proof.notes.append(f"answers of {len(self.verdicts.users)} users were compared, every field")


COMMON: Mapping[str, Callable[[Proving], Awaitable[None]]] = {
    "answers": Proving.answers,
    "sizes": Proving.sizes,
    "timing": Proving.timing,
    "throughput": Proving.throughput,
    "mix": Proving.mix,
    "writes": Proving.writes,
    "crowd": Proving.crowd,
}
"""What every service goes through, in this order."""
