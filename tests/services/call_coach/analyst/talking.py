"""Conversations for the tests, written as lines."""

from __future__ import annotations

from tailrace_services.call_coach.analyst import Conversation, Turn

SIDES = {"R": "rep", "S": "rep", "P": "prospect", "Q": "prospect", "X": "partner"}


def talk(*lines: str) -> Conversation:
    """Turns out of lines like ``"R 0.5-2 Hello there."``: who, from when to when in seconds, what.

    R and S are representatives, P and Q prospects, X a partner.
    """
    turns = []
    for number, line in enumerate(lines, 1):
        speaker, times, text = line.split(" ", 2)
        start, end = (round(float(time) * 1000) for time in times.split("-"))
        turns.append(Turn(number, speaker, SIDES[speaker], start, end, text))
    return Conversation.of(turns)
