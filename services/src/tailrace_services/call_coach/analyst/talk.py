"""Talk-to-listen ratio: how much of the talking the representatives did. Pure.

**Source:** Gong Labs, "Mastering the talk-to-listen ratio in sales calls": the time a seller speaks against the time
the seller listens, 43 : 57 among those who win. Silence counts for neither side.
"""

from __future__ import annotations

from collections.abc import Iterable

from tailrace_services.call_coach.analyst.conversation import Conversation, Turn

__all__ = ["listening_ms", "speaking_ms", "talk_share"]


def talk_share(conversation: Conversation) -> float | None:
    """Representatives' share of all speaking time, 0..1; None if nobody speaks."""
    talked, listened = speaking_ms(conversation), listening_ms(conversation)
    return talked / (talked + listened) if talked + listened else None


def speaking_ms(conversation: Conversation) -> int:
    """Milliseconds in which a representative speaks; two at once count once."""
    return _covered(conversation.of_rep())


def listening_ms(conversation: Conversation) -> int:
    """Milliseconds in which somebody else speaks; two at once count once."""
    return _covered(conversation.of_others())


def _covered(turns: Iterable[Turn]) -> int:
    """Length of the union of the turns, which come in order of their start."""
    total = reached = 0
    for turn in turns:
        total += max(0, turn.end_ms - max(turn.start_ms, reached))
        reached = max(reached, turn.end_ms)
    return total
