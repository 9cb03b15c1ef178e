"""Questions asked, and how many of them are open. Pure.

**Source:** Gong Labs on 519,000 discovery calls (questions per call, best at 11 to 14; phrases that invite long
answers); for open and closed questions, Dohrenwend, "Some effects of open and closed questions on respondents' answers"
(1965): an open question leaves the answer's words to the other, a closed one asks to confirm, choose or name.
"""

from __future__ import annotations

from dataclasses import dataclass

from tailrace_services.call_coach.analyst.conversation import Conversation, Turn, sentences, words
from tailrace_services.call_coach.analyst.lexicon import Lexicon

__all__ = ["Question", "questions"]


@dataclass(frozen=True, slots=True)
class Question:
    """A question; ``open`` if it cannot be answered by yes, no, or a number."""

    turn: Turn
    text: str
    open: bool


def questions(conversation: Conversation, *, of_rep: bool) -> list[Question]:
    """Questions of one side, in order: sentences that end with a question mark, and invitations to tell.

    Tags like "right?" ask for nothing and do not count.
    """
    turns = conversation.of_rep() if of_rep else conversation.of_others()
    return [question for turn in turns for question in _in_turn(turn, conversation.lexicon)]


def _in_turn(turn: Turn, lexicon: Lexicon) -> list[Question]:
    found = []
    for sentence in sentences(turn.text):
        clauses = [_stripped(clause, lexicon) for clause in sentence.split(",")]
        invites = any(lexicon.invitations.starts(clause) for clause in clauses)
        asks = sentence.rstrip("\"')]").endswith("?")
        if not (asks or invites) or " ".join(words(sentence)) in lexicon.tag_questions:
            continue
        is_open = invites or any(
            lexicon.open_starters.starts(clause) and not lexicon.closed_what.starts(clause) for clause in clauses
        )
        found.append(Question(turn, sentence, is_open))
    return found


def _stripped(clause: str, lexicon: Lexicon) -> str:
    """``clause`` without the words that only lead up to it."""
    clause = clause.strip().lower()
    while connective := lexicon.question_connectives.starts(clause):
        rest = clause[len(connective) :].lstrip(" ,-–—")
        if not rest or rest == clause:
            break
        clause = rest
    return clause
