"""How questions are answered, as the environment says. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from tailrace_services.settings import ServicesSettings

__all__ = ["AnswerOptions", "options_of"]


@dataclass(frozen=True, slots=True)
class AnswerOptions:
    """How questions are answered.

    Args:
        load_default: whether Python's own documentation is loaded in the background where nothing else was.
        threshold: least cosine of a question that another's answer is given to; None: the semantic cache's own.
        wrong_at_most: share of such answers that may be wrong; None: the threshold decides.
    """

    load_default: bool = False
    threshold: float | None = None
    wrong_at_most: float | None = None


def options_of(settings: ServicesSettings) -> AnswerOptions:
    """The options that the settings ask for."""
    return AnswerOptions(settings.default_documents, settings.answer_threshold, settings.answer_wrong_at_most)
