"""Interruptions: taking the floor while somebody else has it. Pure.

**Source:** Zimmerman and West, "Sex roles, interruptions and silences in conversation" (1975): an interruption cuts
deep into the other's turn, an overlap only touches its end; Levinson and Torreira, "Timing in turn-taking" (2015), on
how near to its end most turns are taken over. Deep is here more than half a second before the end; who interrupts
says more than a back channel and is still speaking when the other has stopped.
"""

from __future__ import annotations

from tailrace_services.call_coach.analyst.conversation import Conversation, Turn

__all__ = ["DEEP_MS", "interruptions"]

DEEP_MS = 500
"""An overlap up to this is not an interruption."""


def interruptions(conversation: Conversation, *, by_rep: bool) -> list[Turn]:
    """The turns that interrupt the other side."""
    found = []
    # Whoever holds the floor on each side: the turn that reaches furthest so far.
    reached: dict[bool, Turn] = {}
    for turn in conversation.turns:
        of_rep = turn.side == "rep"
        other = reached.get(not of_rep)
        if (
            of_rep == by_rep
            and other is not None
            and turn.start_ms > other.start_ms
            and other.end_ms - turn.start_ms > DEEP_MS
            and turn.end_ms > other.end_ms
            and not conversation.is_backchannel(turn)
        ):
            found.append(turn)
        if of_rep not in reached or turn.end_ms > reached[of_rep].end_ms:
            reached[of_rep] = turn
    return found
