"""Objections, and how they were responded to. Pure.

**Source:** Gong Labs on 67,149 sales meetings: those who succeed wait longer, acknowledge and ask back where others
answer at once; the acknowledge, explore, respond sequence of sales training. An objection is a turn of the prospect
with a phrase of doubt; its response is the next turn of a representative that says more than a back channel, among the
four that follow.
"""

from __future__ import annotations

from dataclasses import dataclass

from tailrace_services.call_coach.analyst.conversation import Conversation, Turn

__all__ = ["Objection", "objections"]

WITHIN_TURNS = 4
"""Turns within which a response must come."""


@dataclass(frozen=True, slots=True)
class Objection:
    """An objection and its response. Without a response, the rest is False and None.

    Attributes:
        acknowledged: the response takes the concern up in words.
        explored: it asks back.
        evidenced: it tells of customers, examples or numbers.
        wait_ms: from the objection's end to the response, 0 when overlapping.
    """

    turn: Turn
    response: Turn | None
    acknowledged: bool
    explored: bool
    evidenced: bool
    wait_ms: int | None

    @property
    def handled(self) -> bool:
        """Whether the response does at least one of the three."""
        return self.acknowledged or self.explored or self.evidenced


def objections(conversation: Conversation) -> list[Objection]:
    """All of them, in order."""
    return [
        _paired(conversation, index, turn)
        for index, turn in enumerate(conversation.turns)
        if turn.side == "prospect" and not turn.text.rstrip().endswith("?")
        if conversation.lexicon.objections.find(turn.text)
    ]


def _paired(conversation: Conversation, index: int, turn: Turn) -> Objection:
    following = conversation.turns[index + 1 : index + 1 + WITHIN_TURNS]
    response = next((each for each in following if each.side == "rep" and not conversation.is_backchannel(each)), None)
    if response is None:
        return Objection(turn, None, False, False, False, None)
    lexicon = conversation.lexicon
    return Objection(
        turn,
        response,
        acknowledged=bool(lexicon.acknowledgements.find(response.text)),
        explored="?" in response.text,
        evidenced=bool(lexicon.evidence.find(response.text)),
        wait_ms=max(0, response.start_ms - turn.end_ms),
    )
