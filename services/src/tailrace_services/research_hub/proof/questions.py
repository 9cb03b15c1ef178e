"""Questions about the posts: as they were answered, found anew, and found among those answered. Touches: the network.

What is timed as what is said by the answer itself (``Semantic-Cache``), so nothing passes for what it is not.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from tailrace.errors import TailraceError
from tailrace.verify.client import Connections, Request
from tailrace.verify.statistics import percentile
from tailrace_services.prove.goals import below
from tailrace_services.prove.phases import Proving
from tailrace_services.prove.report import Goal
from tailrace_services.prove.site import Site
from tailrace_services.research_hub.api.research import OUTCOME

__all__ = ["ERRANDS", "WORDINGS", "Asked", "goals_of", "questions"]

ERRANDS = (
    *("train for a marathon", "learn to program", "choose an index fund", "sharpen a kitchen knife"),
    *("fix a flat tyre", "bake sourdough bread", "grow tomatoes on a balcony", "repair a leaking tap"),
    *("travel through Japan by train", "take better portraits", "stop a phone battery from draining"),
    *("negotiate a higher salary", "teach a dog to sit", "play the guitar as an adult", "paint a room"),
    *("sleep through the night", "write a short story", "clean a coffee machine", "mount a bicycle rack"),
    *("prepare for an interview", "make a database faster", "brew beer at home", "build a wooden table"),
    *("start a small company", "swim faster", "insulate an old house", "read more books", "hang a heavy mirror"),
    *("set up a home network", "pack light for a week"),
)
"""What is asked how to do, each once in either wording."""
WORDINGS = ("How do I {errand}?", "how can I {errand} please")
"""The first time, and once that was answered."""
ORIGINALS = 3
"""Questions that the original is asked: it reads every post for each."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Seconds of every answer. ``before``: the original's; ``found``: the others', by what they say of themselves."""

    before: Sequence[float]
    found: Mapping[str, Sequence[float]]


class NotAnsweredError(TailraceError):
    """A question got no answer."""

    code = "not_answered"


async def questions(proving: Proving) -> None:
    """The phase of the proof."""
    cutoff = proving.effort.budget.cutoff
    asked = await _measure(proving.site, cutoff)
    proving.goals += goals_of(asked)
    told = ", ".join(
        f"{outcome} {percentile(seconds, 0.5) * 1000:.1f} ms ({len(seconds)})"
        for outcome, seconds in sorted(asked.found.items())
    )
    proving.notes.append(
        f"questions: the original took {percentile(asked.before, 0.5) * 1000:,.0f} ms ({len(asked.before)}, given up "
        f"after {cutoff:g} s), here by Semantic-Cache, medians: {told}"
    )


async def _measure(site: Site, cutoff: float) -> Asked:
    """Each errand in either wording, one after the other; the models have been loaded before."""
    before, found = [], defaultdict[str, list[float]](list)
    for service in (site.baseline, site.optimised):
        await _ask(service, "What is the answer?", timeout=None)
    for errand in ERRANDS[:ORIGINALS]:
        before.append((await _ask(site.baseline, WORDINGS[0].format(errand=errand), timeout=cutoff))[1])
        if before[-1] >= cutoff:
            await site.restart_baseline()
            break
    await site.empty_caches()
    for wording in WORDINGS:
        for errand in ERRANDS:
            outcome, seconds = await _ask(site.optimised, wording.format(errand=errand), timeout=None)
            found[outcome].append(seconds)
    return Asked(before, found)


async def _ask(service: Connections, question: str, *, timeout: float | None) -> tuple[str, float]:
    """What an answer says of itself, and its seconds; ``timeout`` seconds where it takes longer."""
    body = json.dumps({"q": question}).encode()
    request = Request("questions", "/query/rag", "POST", {"Content-Type": "application/json"}, body)
    exchange = await service.exchange(request, timeout=timeout)
    if timeout is not None and exchange.error == "timeout":
        return "timeout", timeout
    if exchange.response is None or exchange.response.status != 200:
        raise NotAnsweredError(f"{question!r}: {exchange.error or exchange.response}")
    return exchange.response.header(OUTCOME.lower()) or "", exchange.latency


def goals_of(asked: Asked) -> Iterator[Goal]:
    """What was asked of an answer, and what is aimed for where it is retrieved and where one like it was given."""
    for outcome, name, wanted in (
        ("miss", "questions, asked (retrieved)", 150),
        ("miss", "questions, retrieved", 40),
        ("similar", "questions, like one that was answered", 8),
    ):
        if asked.found.get(outcome):
            yield below(name, wanted, percentile(asked.found[outcome], 0.95) * 1000, "ms")
