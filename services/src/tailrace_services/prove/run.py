"""One proof from beginning to end. Touches: everything through the phases."""

from __future__ import annotations

from collections.abc import Collection
from random import Random

from tailrace.verify.statistics import percentile
from tailrace_services.prove import conditions, goals
from tailrace_services.prove.databases import Databases, mark_written
from tailrace_services.prove.phases import COMMON, Effort, Proving, Told
from tailrace_services.prove.report import Proof
from tailrace_services.prove.stage import stage
from tailrace_services.prove.subject import Subject, draw

__all__ = ["phases", "prove", "prove_growth"]

LAST = "crowd"
"""What disturbs most."""
WRITING = frozenset({"mix", "writes"})
"""What writes by itself, and not only where asking does."""


def phases(subject: Subject) -> list[str]:
    """The names of all that the subject goes through, in order."""
    return [*(name for name in COMMON if name != LAST), *subject.phases, LAST]


async def prove(
    subject: Subject,
    databases: Databases,
    valkey_url: str,
    *,
    scale: str,
    only: Collection[str] | None = None,
    effort: Effort | None = None,
    soak_seconds: float = 0.0,
    told: Told = lambda phase, share: None,
) -> Proof:
    """Run the phases of ``only`` (None: all), in their order, and ``soak_seconds`` of soak if there are any.

    Raises:
        ServerFailedError: a server does not start.
    """
    chosen = [phase for phase in phases(subject) if only is None or phase in only]
    if soak_seconds or not WRITING.isdisjoint(chosen) or any(endpoint.stores for endpoint in subject.endpoints):
        await mark_written(subject, databases)
    async with stage(subject, databases, valkey_url) as running:
        work = Proving(running, scale, effort or Effort(), told)
        for phase in chosen:
            await work.run(phase)
        if soak_seconds:
            await work.soak(soak_seconds)
        return work.proof()


async def prove_growth(
    subject: Subject,
    fewer: Databases,
    more: Databases,
    valkey_url: str,
    told: Told = lambda phase, share: None,
) -> Proof:
    """Time the subject's first endpoint, cold, of the one with the most rows at two scales."""
    endpoint = subject.endpoints[0]
    times: list[list[float]] = []
    for number, databases in enumerate((fewer, more)):
        async with stage(subject, databases, valkey_url) as running:
            person = draw(running.site.people, 1, Random(1))[0]  # noqa: S311 - a sample, no secret
            times.append(await conditions.growth(running.site, endpoint, person))
            told("growth", (number + 1) / 2)
    proof = Proof(subject.data.title, f"{fewer.size} and {more.size}", more.size)
    names = f"{fewer.size} to {more.size}"
    proof.goals.append(goals.growth_goal(times[0], times[1], f"cold {endpoint.name}, {names}"))
    proof.notes = [
        f"cold {endpoint.name} p95: {percentile(seconds, 0.95) * 1000:.2f} ms at {databases.size}"
        for seconds, databases in zip(times, (fewer, more), strict=True)
    ]
    return proof
