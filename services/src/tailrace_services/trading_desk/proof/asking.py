"""Questions like others that were answered, from many at once: how many a second get those answers, vectors included.

Each is in words that nobody has used, so that none is answered by its own text or by a vector that is remembered. What
is counted is what answers say of themselves (``Semantic-Cache``). Touches: the network.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from tailrace.verify.client import Exchange, Request
from tailrace_services.prove.goals import above
from tailrace_services.prove.phases import Proving
from tailrace_services.prove.report import Goal

__all__ = ["Together", "ask_together", "rate_goals", "reworded", "say_together"]

BEGINNINGS = ("How could I", "How would I", "How do you", "How can I", "How to", "How do I")
ENDINGS = ("exactly?", "please?", "please, exactly?", "exactly, please?")
ASKERS = 10
COMPARED = re.compile(
    r'^tailrace_semantic_comparisons_total\{[^}]*how="audited"[^}]*outcome="(\w+)"[^}]*\} (\S+)', re.MULTILINE
)


@dataclass(slots=True)
class Together:
    """How questions were answered, and the seconds that all of them took."""

    seconds: float = 0.0
    outcomes: Counter[str] = field(default_factory=Counter)
    compared: Counter[str] = field(default_factory=Counter)
    """Of those that got another's answer, how many were computed all the same, by whether that answer was right."""

    @property
    def rate(self) -> float:
        """Similar hits a second."""
        return self.outcomes["similar"] / self.seconds if self.seconds else 0.0


def reworded(errands: Sequence[str]) -> Iterator[str]:
    """Each errand in many words; all errands in the same words before any in the next."""
    for ending in ENDINGS:
        for beginning in BEGINNINGS:
            for errand in errands:
                yield f"{beginning} {errand} {ending}"


async def ask_together(proving: Proving, questions: Iterable[str]) -> Together:
    """Each of the questions once, by ``ASKERS`` who never pause."""
    together, waiting = Together(), iter([_request(question) for question in questions])
    optimised = proving.site.optimised

    async def ask() -> None:
        for request in waiting:
            together.outcomes[_outcome(await optimised.exchange(request))] += 1

    began = optimised.clock.monotonic()
    await asyncio.gather(*(ask() for _ in range(ASKERS)))
    together.seconds = optimised.clock.monotonic() - began
    metrics = await optimised.send(Request("metrics", "/metrics"))
    for outcome, count in COMPARED.findall(metrics.body.decode()):
        together.compared[outcome] += int(float(count))
    return together


def rate_goals(together: Together) -> Iterator[Goal]:
    """What is aimed for, and that nothing failed."""
    asked, failed = together.outcomes.total(), together.outcomes["failed"]
    yield above(f"questions like answered ones, {ASKERS} at once", 250, together.rate, "req/s")
    yield Goal("questions at once: errors", "0", f"{failed} of {asked:,}", failed == 0)


def say_together(together: Together) -> str:
    """All of it, for people to read."""
    told = ", ".join(f"{outcome} {count}" for outcome, count in sorted(together.outcomes.items()))
    right, wrong = together.compared["right"], together.compared["wrong"]
    return (
        f"questions by {ASKERS} at once, each in words of its own: {told}, in {together.seconds:.1f} s; of the similar "
        f"hits so far {right + wrong} were compared with fresh answers, and {wrong} found wrong (/metrics)"
    )


def _request(question: str) -> Request:
    body = json.dumps({"q": question}).encode()
    return Request("questions", "/query", "POST", {"Content-Type": "application/json"}, body)


def _outcome(exchange: Exchange) -> str:
    if exchange.response is None or exchange.response.status != 200:
        return "failed"
    return exchange.response.header("semantic-cache") or "unknown"
