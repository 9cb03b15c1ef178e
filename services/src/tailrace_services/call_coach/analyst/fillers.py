"""Filler words of the representatives, for each minute they speak. Pure.

**Source:** Clark and Fox Tree, "Using uh and um in spontaneous speaking", Cognition 84 (2002), for filled pauses; Laske
and DiGennaro Reed, "Um, so, like, do speech disfluencies matter?", Journal of Applied Behavior Analysis (2024), for
fillers a minute: up to five are not noticed, twelve are. "Like" counts between pauses only, where it is not a verb or
comparison.
"""

from __future__ import annotations

import re

from tailrace_services.call_coach.analyst.conversation import Conversation, Turn
from tailrace_services.call_coach.analyst.talk import speaking_ms

__all__ = ["fillers_in", "fillers_per_minute"]

_LIKE = re.compile(r"(?:^|[,.!?…]\s*)like,", re.IGNORECASE)


def fillers_per_minute(conversation: Conversation) -> float | None:
    """Fillers for each minute in which a representative speaks; None if none does."""
    spoken = speaking_ms(conversation)
    if not spoken:
        return None
    return sum(fillers_in(conversation, turn) for turn in conversation.of_rep()) * 60_000 / spoken


def fillers_in(conversation: Conversation, turn: Turn) -> int:
    """Filler words and phrases in one turn."""
    lexicon = conversation.lexicon
    found = len(lexicon.filled_pauses.find(turn.text)) + len(lexicon.discourse_fillers.find(turn.text))
    return found + len(_LIKE.findall(turn.text))
