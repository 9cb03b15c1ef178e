"""From the voice provider's JSON to the service's own view of a configuration. Pure.

The provider may leave out anything and add anything; what is missing or of another type than promised becomes null, so
one odd agent never spoils an answer.

**Source:** the provider's public contract of ``GET /v1/convai/agents/{agent_id}``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, TypeVar

from tailrace_services.voice_dashboard.api.schemas import AgentConfiguration

__all__ = ["configuration_view"]

T = TypeVar("T")


def _inside(payload: object, *path: str) -> object:
    for name in path:
        if not isinstance(payload, dict):  # which JSON objects are; to ask for a Mapping takes ten times as long
            return None
        payload = payload.get(name)
    return payload


def _of(kind: type[T], value: object) -> T | None:
    # True is an int to Python, never to the provider.
    return value if isinstance(value, kind) and not isinstance(value, bool) else None


def _number(value: object) -> float | None:
    found = value if isinstance(value, int | float) and not isinstance(value, bool) else None
    return float(found) if found is not None and abs(found) < 1e300 and math.isfinite(found) else None


def _names(values: object, key: str | None = None) -> list[str]:
    listed = values if isinstance(values, list) else []
    named = [_inside(value, key) if key else value for value in listed]
    return [name for name in named if isinstance(name, str)]


def configuration_view(payload: Mapping[str, Any]) -> AgentConfiguration:
    """What is shown of the provider's ``payload``.

    >>> configuration_view({"name": "Front desk", "conversation_config": {"agent": {"language": "en"}}}).language
    'en'
    """
    agent = _inside(payload, "conversation_config", "agent")
    prompt = _inside(agent, "prompt")
    speech = _inside(payload, "conversation_config", "tts")
    conversation = _inside(payload, "conversation_config", "conversation")
    return AgentConfiguration(
        name=_of(str, payload.get("name")),
        language=_of(str, _inside(agent, "language")),
        first_message=_of(str, _inside(agent, "first_message")),
        prompt=_of(str, _inside(prompt, "prompt")),
        llm=_of(str, _inside(prompt, "llm")),
        temperature=_number(_inside(prompt, "temperature")),
        max_tokens=_of(int, _inside(prompt, "max_tokens")),
        voice_id=_of(str, _inside(speech, "voice_id")),
        tts_model=_of(str, _inside(speech, "model_id")),
        stability=_number(_inside(speech, "stability")),
        similarity_boost=_number(_inside(speech, "similarity_boost")),
        speed=_number(_inside(speech, "speed")),
        max_duration_seconds=_of(int, _inside(conversation, "max_duration_seconds")),
        tools=_names(_inside(prompt, "tools"), "name"),
        tags=_names(payload.get("tags")),
    )
