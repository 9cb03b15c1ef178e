"""How questions are answered, as the environment says. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from tailrace_services.chat_endpoint import ChatSettings, chosen_chat
from tailrace_services.settings import ServicesSettings

__all__ = ["AnswerOptions", "options_of"]


@dataclass(frozen=True, slots=True)
class AnswerOptions:
    """How questions are answered.

    Args:
        load_default: whether Python's own documentation is loaded in the background where nothing else was.
        threshold: least cosine of a question that another's answer is given to; None: the semantic cache's own.
        least_similarity: least cosine of a question and the passage nearest to it, 0..1; below it nothing was found.
        wrong_at_most: share of such answers that may be wrong; None: the threshold decides.
        questions_shared: whether all processes know what any was asked.
        chat: the language model that words answers; None: they are the passages' own sentences.
    """

    load_default: bool = False
    threshold: float | None = None
    least_similarity: float = 0.36
    wrong_at_most: float | None = None
    chat: ChatSettings | None = None
    questions_shared: bool = False


def options_of(settings: ServicesSettings) -> AnswerOptions:
    """The options that the settings ask for.

    Raises:
        SettingsError: there is an endpoint, and no name of a model.
    """
    chat = chosen_chat(
        "TAILRACE_SERVICES_ANSWER_CHAT_URL",
        settings.answer_chat_url,
        settings.answer_chat_model,
        settings.answer_chat_api_key,
    )
    return AnswerOptions(
        load_default=settings.default_documents,
        threshold=settings.answer_threshold,
        least_similarity=settings.answer_least_similarity,
        wrong_at_most=settings.answer_wrong_at_most,
        chat=chat,
        questions_shared=settings.answer_questions_shared,
    )
