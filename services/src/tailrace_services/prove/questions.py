"""Questions about texts: as they were answered, found anew, and found among those answered. Touches: the network.

What is timed as what is said by the answer itself (``Semantic-Cache``), so nothing passes for what it is not.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tailrace.errors import TailraceError
from tailrace.verify.client import Connections, Request
from tailrace.verify.statistics import percentile
from tailrace_services.prove.phases import Proving

__all__ = ["Asked", "NotAnsweredError", "ask_in_turn", "say"]

ORIGINALS = 3
"""Questions that the original is asked: it reads every text for each."""
OUTCOME = "semantic-cache"


@dataclass(frozen=True, slots=True)
class Asked:
    """Seconds of every answer. ``before``: the original's; ``found``: the others', by what they say of themselves."""

    before: Sequence[float]
    found: Mapping[str, Sequence[float]]


class NotAnsweredError(TailraceError):
    """A question got no answer."""

    code = "not_answered"


async def ask_in_turn(proving: Proving, path: str, *wordings: Sequence[str]) -> Asked:
    """Every question, one after the other; the models have been loaded before.

    Args:
        proving: what is asked.
        path: where.
        wordings: of the same questions; the original is asked the first few in the first.

    Raises:
        NotAnsweredError: one got no answer.
    """
    site, cutoff = proving.site, proving.effort.budget.cutoff
    before, found = [], defaultdict[str, list[float]](list)
    for service in (site.baseline, site.optimised):
        await _ask(service, path, "What is the answer?", timeout=None)
    for question in wordings[0][:ORIGINALS]:
        before.append((await _ask(site.baseline, path, question, timeout=cutoff))[1])
        if before[-1] >= cutoff:
            await site.restart_baseline()
            break
    await site.empty_caches()
    for wording in wordings:
        for question in wording:
            outcome, seconds = await _ask(site.optimised, path, question, timeout=None)
            found[outcome].append(seconds)
    return Asked(before, found)


def say(asked: Asked, cutoff: float) -> str:
    """All of it, for people to read."""
    told = ", ".join(
        f"{outcome} {percentile(seconds, 0.5) * 1000:.1f} ms ({len(seconds)})"
        for outcome, seconds in sorted(asked.found.items())
    )
    return (
        f"questions: the original took {percentile(asked.before, 0.5) * 1000:,.0f} ms ({len(asked.before)}, given up "
        f"after {cutoff:g} s), here by Semantic-Cache, medians: {told}"
    )


async def _ask(service: Connections, path: str, question: str, *, timeout: float | None) -> tuple[str, float]:
    """What an answer says of itself, and its seconds; ``timeout`` seconds where it takes longer."""
    body = json.dumps({"q": question}).encode()
    request = Request("questions", path, "POST", {"Content-Type": "application/json"}, body)
    exchange = await service.exchange(request, timeout=timeout)
    if timeout is not None and exchange.error == "timeout":
        return "timeout", timeout
    if exchange.response is None or exchange.response.status != 200:
        raise NotAnsweredError(f"{question!r}: {exchange.error or exchange.response}")
    return exchange.response.header(OUTCOME) or "", exchange.latency
