"""What the other side asked, and whether a representative answered. Pure.

**Source:** Schegloff and Sacks, "Opening up closings" (1973), for adjacency pairs: a question makes an answer due, and
its absence is noticed. An answer here is the next turn of a representative, among the three that follow, of eight words
at least.
"""

from __future__ import annotations

from dataclasses import dataclass

from tailrace_services.call_coach.analyst.conversation import Conversation, Turn
from tailrace_services.call_coach.analyst.questions import Question, questions

__all__ = ["Answer", "answers"]

WITHIN_TURNS = 3
SUBSTANTIAL_WORDS = 8


@dataclass(frozen=True, slots=True)
class Answer:
    """A question of the other side; ``turn`` answers it, or is None."""

    question: Question
    turn: Turn | None
    evidenced: bool


def answers(conversation: Conversation) -> list[Answer]:
    """One for each turn of the other side that ends with a question."""
    place = {turn.number: index for index, turn in enumerate(conversation.turns)}
    last = {question.turn.number: question for question in questions(conversation, of_rep=False)}
    found = []
    for number, question in last.items():
        following = conversation.turns[place[number] + 1 : place[number] + 1 + WITHIN_TURNS]
        said = [turn for turn in following if turn.side == "rep" and not conversation.is_backchannel(turn)]
        turn = next((each for each in said if len(each.words) >= SUBSTANTIAL_WORDS), None)
        evidenced = turn is not None and bool(conversation.lexicon.evidence.find(turn.text))
        found.append(Answer(question, turn, evidenced))
    return found
