"""Questions about the posts: what is asked, and what is wanted of the answers. Touches: the network, the database."""

from __future__ import annotations

from collections.abc import Iterator

from tailrace.verify.statistics import percentile
from tailrace_services.prove.goals import below
from tailrace_services.prove.phases import Proving
from tailrace_services.prove.questions import Asked, ask_in_turn, say
from tailrace_services.prove.report import Goal
from tailrace_services.research_hub.proof.vectors import say_vectors

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


async def questions(proving: Proving) -> None:
    """The phase of the proof."""
    wordings = ([wording.format(errand=errand) for errand in ERRANDS] for wording in WORDINGS)
    asked = await ask_in_turn(proving, "/query/rag", *wordings)
    proving.goals += goals_of(asked)
    proving.notes.append(say(asked, proving.effort.budget.cutoff))
    proving.notes.append(await say_vectors(proving.stage.databases.url))


def goals_of(asked: Asked) -> Iterator[Goal]:
    """What was asked of an answer, and what is aimed for where it is retrieved and where one like it was given."""
    for outcome, name, wanted in (
        ("miss", "questions, asked (retrieved)", 150),
        ("miss", "questions, retrieved", 40),
        ("similar", "questions, like one that was answered", 8),
    ):
        if asked.found.get(outcome):
            yield below(name, wanted, percentile(asked.found[outcome], 0.95) * 1000, "ms")
