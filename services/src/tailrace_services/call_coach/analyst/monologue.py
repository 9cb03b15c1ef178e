"""Longest monologue: the longest time one person held the floor. Pure.

**Source:** Gong's interaction statistics "Longest Monologue" (of the seller) and "Longest Customer Story": the longest
stretch of speech that nobody interrupts. Back channels of listeners do not interrupt (Yngve 1970), nor do the speaker's
own pauses up to three seconds; the stretch runs from its first word to its last.
"""

from __future__ import annotations

from dataclasses import dataclass

from tailrace_services.call_coach.analyst.conversation import Conversation

__all__ = ["LAPSE_MS", "Monologue", "longest_monologue"]

LAPSE_MS = 3000
"""Silence that ends a monologue."""


@dataclass(frozen=True, slots=True)
class Monologue:
    """A stretch of one speaker; ``first_turn`` is the number of the turn it begins with."""

    speaker: str
    first_turn: int
    start_ms: int
    end_ms: int

    @property
    def length_ms(self) -> int:
        """From the first word to the last."""
        return self.end_ms - self.start_ms


def longest_monologue(conversation: Conversation, *, of_rep: bool) -> Monologue | None:
    """The longest of one side, the earlier of two that are equal; None if that side says nothing."""
    longest: Monologue | None = None
    current: Monologue | None = None
    for turn in conversation.turns:
        goes_on = current is not None and turn.speaker == current.speaker and turn.start_ms - current.end_ms <= LAPSE_MS
        if current is not None and goes_on:
            current = Monologue(turn.speaker, current.first_turn, current.start_ms, max(current.end_ms, turn.end_ms))
        elif current is not None and conversation.is_backchannel(turn):
            continue
        else:
            current = Monologue(turn.speaker, turn.number, turn.start_ms, turn.end_ms)
        own = (turn.side == "rep") == of_rep
        if own and (longest is None or current.length_ms > longest.length_ms):
            longest = current
    return longest
