"""Interactivity: how often the talk goes back and forth. Pure.

**Source:** Gong's interaction statistic "Interactivity", from the number of switches between seller and customer; here
simply switches a minute between the sides, back channels left out, so that "mm-hmm" does not make a dialogue.
"""

from __future__ import annotations

from itertools import pairwise

from tailrace_services.call_coach.analyst.conversation import Conversation

__all__ = ["switches_per_minute"]


def switches_per_minute(conversation: Conversation) -> float | None:
    """Changes of side for each minute from the first word to the last; None if there is no time between them."""
    span = conversation.span_ms
    if not span:
        return None
    sides = [turn.side == "rep" for turn in conversation.turns if not conversation.is_backchannel(turn)]
    return sum(before != after for before, after in pairwise(sides)) * 60_000 / span
