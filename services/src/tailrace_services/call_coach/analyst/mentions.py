"""Turns that mention next steps, prices, or competitors. Pure.

**Source:** keyword trackers of conversation intelligence, as Gong's help describes them: a list of words and phrases,
and the moments where one is said. A next step is dated if the same turn names a day, which is what makes it a
commitment.
"""

from __future__ import annotations

from tailrace_services.call_coach.analyst.conversation import Conversation, Turn

__all__ = ["competitor_mentions", "dated_next_steps", "next_steps", "pricing_mentions"]


def next_steps(conversation: Conversation) -> list[Turn]:
    """Turns of either side in which something is agreed or offered for after the call."""
    return [turn for turn in conversation.turns if conversation.lexicon.next_steps.find(turn.text)]


def dated_next_steps(conversation: Conversation) -> list[Turn]:
    """Those that name a day."""
    return [turn for turn in next_steps(conversation) if conversation.lexicon.dates.find(turn.text)]


def pricing_mentions(conversation: Conversation) -> list[Turn]:
    """Turns of either side about price, cost or budget."""
    return [turn for turn in conversation.turns if conversation.lexicon.pricing.find(turn.text)]


def competitor_mentions(conversation: Conversation) -> list[Turn]:
    """Turns of either side that name a competitor, or the competition."""
    lexicon = conversation.lexicon
    return [
        turn
        for turn in conversation.turns
        if lexicon.competitors.find(turn.text) or lexicon.competition.find(turn.text)
    ]
