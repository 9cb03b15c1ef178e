"""Patience: how long representatives wait before they answer. Pure.

**Source:** Gong's interaction statistic "Patience": the time a seller waits after the customer has finished; the floor
transfer offset of Heldner and Edlund, "Pauses, gaps and overlaps in conversations" (2010), cut off at zero, since who
overlaps does not wait. The median, because offsets are skewed and a long search for words is not patience.
"""

from __future__ import annotations

from statistics import median

from tailrace_services.call_coach.analyst.conversation import Conversation

__all__ = ["patience", "waits"]


def patience(conversation: Conversation) -> float | None:
    """Median wait in seconds; None if no representative ever answers."""
    found = waits(conversation)
    return median(wait for _, wait in found) / 1000 if found else None


def waits(conversation: Conversation) -> list[tuple[int, int]]:
    """For each answer of a representative: the number of the turn, and the milliseconds waited, 0 when overlapping.

    An answer is a turn right behind one of the other side. Back channels, of either side, are no part of this.
    """
    found = []
    before = None
    reached = 0
    for turn in conversation.turns:
        if conversation.is_backchannel(turn):
            continue
        if turn.side == "rep":
            if before is not None and before.side != "rep":
                found.append((turn.number, max(0, turn.start_ms - reached)))
        else:
            reached = max(reached, turn.end_ms)
        before = turn
    return found
