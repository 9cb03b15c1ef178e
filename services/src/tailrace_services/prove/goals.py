"""Whether a proof reached what was asked of the service and what is aimed for here. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from tailrace.verify.driver import LoadResult
from tailrace.verify.statistics import percentile
from tailrace_services.prove.conditions import Crowd, Soak
from tailrace_services.prove.load import MixResult
from tailrace_services.prove.report import Goal
from tailrace_services.prove.subject import Endpoint
from tailrace_services.prove.timing import Timing

__all__ = [
    "above",
    "arrivals_goals",
    "below",
    "crowd_goals",
    "growth_goal",
    "mix_goals",
    "size_goals",
    "soak_goal",
    "timing_goals",
]


def timing_goals(endpoint: Endpoint, timing: Timing) -> Iterator[Goal]:
    """p95 with cold caches against what was asked; cold and warm against what is aimed for."""
    cold, warm = timing.cold_p95 * 1000, timing.warm_p95 * 1000
    yield below(f"{endpoint.name}, asked (cold)", endpoint.asked, cold, "ms")
    if endpoint.cold is not None:
        yield below(f"{endpoint.name}, cold", endpoint.cold, cold, "ms")
    if endpoint.warm is not None:
        yield below(f"{endpoint.name}, warm", endpoint.warm, warm, "ms")


def mix_goals(result: MixResult, wanted: Sequence[float], write_share: float) -> Iterator[Goal]:
    """Hit ratio and errors under the mix with writes."""
    ratio, waited = result.hit_ratio() or 0.0, result.collapsed_ratio() or 0.0
    for least in wanted:
        measured = f"{ratio:.1%}, {waited:.1%} by waiting for somebody else's"
        yield Goal(f"hit ratio, {write_share:.0%} writes", f"> {least:.0%}", measured, ratio > least)
    yield _no_errors("errors under the mix", result.load)


def arrivals_goals(result: MixResult, wanted: Sequence[float], write_share: float) -> Iterator[Goal]:
    """The same as users come: an answer that had to be waited for is no hit here."""
    pure = result.pure_ratio() or 0.0
    for least in wanted:
        name = f"hit ratio as users come, {write_share:.0%} writes"
        yield Goal(name, f"> {least:.0%}", f"{pure:.1%}, waiting not counted", pure > least)
    yield _no_errors("errors as users come", result.load)


def size_goals(endpoint: Endpoint, smaller: Mapping[str, float]) -> Iterator[Goal]:
    """Each coding, and what browsers get, against what was asked."""
    if endpoint.smaller is not None:
        wanted = f"> {endpoint.smaller:.0%} smaller"
        for coding, share in smaller.items():
            yield Goal(f"{endpoint.name}, {coding}", wanted, f"{share:.1%}", share >= endpoint.smaller)


def crowd_goals(crowd: Crowd) -> Iterator[Goal]:
    """A crowd is answered in time and without an error."""
    yield below(f"{crowd.users} users at once", 2000, crowd.p95 * 1000, "ms")
    yield _no_errors(f"{crowd.users} users at once: errors", crowd)


def growth_goal(fewer: Sequence[float], more: Sequence[float], name: str) -> Goal:
    """How much slower something is with more rows: the ratio of the p95s of two sets of seconds."""
    ratio = percentile(more, 0.95) / percentile(fewer, 0.95)
    return Goal(name, "< 1.5x", f"{ratio:.2f}x", ratio < 1.5)


def soak_goal(soak: Soak) -> Goal:
    """Memory after warm-up and at the end."""
    measured = f"{soak.growth:+.1%} ({soak.before / 2**20:.0f} to {soak.after / 2**20:.0f} MB)"
    return Goal(f"memory over {soak.seconds:.0f} s", "< 2 % growth", measured, soak.growth < 0.02)


def above(name: str, wanted: float, measured: float, unit: str) -> Goal:
    """``measured`` is to be more than ``wanted``."""
    return Goal(name, f"> {wanted:,g} {unit}", f"{measured:,.0f} {unit}", measured > wanted)


def below(name: str, wanted: float, measured: float, unit: str) -> Goal:
    """``measured`` is to be less than ``wanted``."""
    return Goal(name, f"< {wanted:g} {unit}", f"{measured:.2f} {unit}", measured < wanted)


def _no_errors(name: str, load: LoadResult | Crowd) -> Goal:
    """That all was answered; what went wrong by kind."""
    errors = sum(load.errors.values())
    kinds = f" ({', '.join(f'{kind} {count}' for kind, count in load.errors.items())})" if errors else ""
    return Goal(name, "0", f"{errors} of {load.requests:,}{kinds}", errors == 0)
