"""Language models at an endpoint that speaks the Chat Completions protocol: where one is, and how it is asked.

Touches: sockets, through ``UpstreamClient``.

**Source:** OpenAI API reference, "Chat Completions": ``temperature``, which reasoning models refuse with a 400.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from pydantic import SecretStr

from tailrace.clock import Clock
from tailrace.errors import SettingsError, UpstreamRejectedError
from tailrace.events import Observer
from tailrace.settings import UpstreamSettings
from tailrace.upstream import Transport, UpstreamClient

__all__ = ["COMPLETIONS", "ChatSettings", "Sampling", "chat_client", "chosen_chat", "repeatable_by"]

T = TypeVar("T")

COMPLETIONS = "/chat/completions"
_log = logging.getLogger("tailrace_services")


@dataclass(frozen=True, slots=True)
class ChatSettings:
    """Where the model is.

    Args:
        base_url: up to and with the version, like ``https://host/v1``.
        model: its name there.
        api_key: sent as a bearer token; empty for an endpoint that asks for none.
        upstream: time limits, retries, breaker and bulkhead; a model takes seconds, so the limits are wider.
    """

    base_url: str
    model: str
    api_key: SecretStr
    upstream: UpstreamSettings = field(
        default_factory=lambda: UpstreamSettings(attempt_timeout=30.0, total_timeout=60.0, max_retries=1, concurrency=8)
    )


def chosen_chat(setting: str, url: str | None, model: str, api_key: SecretStr) -> ChatSettings | None:
    """The model that the environment names, if it names one.

    Args:
        setting: the variable of the URL; that of the model ends with MODEL.

    Raises:
        SettingsError: there is an endpoint, and no name of a model.
    """
    if url is None:
        return None
    if not model:
        raise SettingsError(f"{setting.removesuffix('URL')}MODEL: name the model at {setting}")
    return ChatSettings(url, model, api_key)


def chat_client(
    name: str,
    settings: ChatSettings,
    *,
    clock: Clock | None = None,
    observer: Observer | None = None,
    transport: Transport | None = None,
) -> UpstreamClient:
    """A client that shows the endpoint its key; ``aclose`` it.

    Args:
        name: of what is asked, in errors and figures.
        clock, observer, transport: as ``UpstreamClient``'s.
    """
    headers = {"content-type": "application/json", "accept": "application/json"}
    key = settings.api_key.get_secret_value()
    return UpstreamClient(
        name,
        settings.base_url,
        settings=settings.upstream,
        headers=headers | ({"authorization": f"Bearer {key}"} if key else {}),
        clock=clock,
        observer=observer,
        transport=transport,
    )


class Sampling:
    """What a model is asked about chance: its likeliest words, unless it turns out to be one that lets nobody choose.

    Args:
        model: its name, for the log.
    """

    def __init__(self, model: str) -> None:
        self._model = model
        self._fields: Mapping[str, float] = {"temperature": 0}

    async def ask(self, send: Callable[[Mapping[str, float]], Awaitable[T]]) -> T:
        """What ``send`` gives, given the request's fields about chance; without any, once a request was taken only so.

        Raises:
            Whatever ``send`` raises; a 400 only if there is one without the fields, too.

        Cost: one request; two for one that is refused with 400, as each is until the model has taken one without.
        """
        try:
            return await send(self._fields)
        except UpstreamRejectedError as error:
            if error.answered != 400 or not self._fields:
                raise
        found = await send({})
        if self._fields:
            self._fields = {}
            _log.warning("%s takes no temperature; from now on it is asked without one", self._model)
        return found


def repeatable_by(body: bytes) -> Mapping[str, str]:
    """Asking twice does no harm, and with a key the client may."""
    return {"idempotency-key": hashlib.sha256(body).hexdigest()}
