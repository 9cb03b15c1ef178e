"""What the simulated provider holds: agents made from their ids. Pure.

The shape is that of ``GET /v1/convai/agents/{agent_id}`` and ``GET /v1/convai/agents``; the values are a function of
the id alone, so every run, and every process, gives the same. **Source:** the provider's public API reference and the
response models of its official Python SDK (``GetAgentResponseModel``, ``GetAgentsPageResponseModel``).
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from hashlib import blake2b
from typing import Any

__all__ = ["Catalogue", "agent_body", "agent_summary"]

KNOWN_ID = re.compile(r"agent_[A-Za-z0-9_-]{1,94}")
"""Every id of this form is an agent's; any other is unknown."""

_CREATED = 1_700_000_000
_PURPOSES = ("Front desk", "Appointments", "Renewals", "Collections", "Surveys", "Support", "Dispatch", "Onboarding")
_LANGUAGES = ("en", "de", "es", "fr", "pt", "it", "nl", "pl")
_LLMS = ("gemini-2.5-flash", "gpt-4o-mini", "claude-sonnet-4", "gpt-4.1")
_TTS_MODELS = ("eleven_flash_v2_5", "eleven_turbo_v2_5", "eleven_multilingual_v2")
_TOOLS = ("end_call", "transfer_to_number", "language_detection", "skip_turn")


def _numbers(agent_id: str) -> list[int]:
    return list(blake2b(agent_id.encode(), digest_size=16).digest())


def _voice(numbers: list[int]) -> str:
    return bytes(numbers[:10]).hex()


def _name(agent_id: str, numbers: list[int]) -> str:
    return f"{_PURPOSES[numbers[0] % len(_PURPOSES)]} {agent_id.removeprefix('agent_')}"


def _access() -> dict[str, Any]:
    return {
        "is_creator": True,
        "creator_name": "Simulated Workspace",
        "creator_email": "owner@example.com",
        "role": "admin",
    }


def _updated(numbers: list[int]) -> int:
    return _CREATED + numbers[1] * 86_400 + numbers[2] * 60


def agent_summary(agent_id: str) -> dict[str, Any]:
    """The agent as the list shows it."""
    numbers = _numbers(agent_id)
    return {
        "agent_id": agent_id,
        "name": _name(agent_id, numbers),
        "voice_id": _voice(numbers),
        "tags": ["production"] if numbers[3] % 2 else ["staging", "voice"],
        "created_at_unix_secs": _CREATED,
        "updated_at_unix_secs": _updated(numbers),
        "access_info": _access(),
        "last_call_time_unix_secs": None,
        "archived": False,
    }


def _parameters(tool: str) -> dict[str, Any]:
    return {"system_tool_type": tool} | ({"transfers": []} if tool == "transfer_to_number" else {})


def _agent(agent_id: str) -> dict[str, Any]:
    numbers = _numbers(agent_id)
    summary = agent_summary(agent_id)
    return {
        "agent_id": agent_id,
        "name": summary["name"],
        "conversation_config": {
            "asr": {
                "quality": "high",
                "provider": "elevenlabs",
                "user_input_audio_format": "pcm_16000",
                "keywords": [],
            },
            "turn": {"turn_timeout": float(5 + numbers[5] % 10), "silence_end_call_timeout": -1.0},
            "tts": _speech(numbers),
            "conversation": {
                "text_only": False,
                "max_duration_seconds": 300 + 60 * (numbers[10] % 10),
                "client_events": ["audio", "interruption"],
            },
            "language_presets": {},
            "vad": {"background_voice_detection": False},
            "agent": _behaviour(numbers),
        },
        "metadata": {"created_at_unix_secs": _CREATED, "updated_at_unix_secs": summary["updated_at_unix_secs"]},
        "platform_settings": {"archived": False},
        "phone_numbers": [],
        "access_info": _access(),
        "tags": summary["tags"],
    }


def _speech(numbers: list[int]) -> dict[str, Any]:
    return {
        "model_id": _TTS_MODELS[numbers[6] % len(_TTS_MODELS)],
        "voice_id": _voice(numbers),
        "agent_output_audio_format": "pcm_16000",
        "optimize_streaming_latency": 3,
        "stability": round(0.3 + numbers[7] % 50 / 100, 2),
        "speed": round(0.9 + numbers[8] % 20 / 100, 2),
        "similarity_boost": round(0.6 + numbers[9] % 30 / 100, 2),
    }


def _behaviour(numbers: list[int]) -> dict[str, Any]:
    purpose = _PURPOSES[numbers[0] % len(_PURPOSES)].lower()
    tools = [
        {"type": "system", "name": name, "description": "", "params": _parameters(name)}
        for position, name in enumerate(_TOOLS)
        if numbers[4] >> position & 1
    ]
    return {
        "first_message": f"Hello, this is {purpose}. How can I help you today?",
        "language": _LANGUAGES[numbers[11] % len(_LANGUAGES)],
        "dynamic_variables": {"dynamic_variable_placeholders": {}},
        "prompt": {
            "prompt": f"You handle {purpose} calls. Be brief, be kind, and confirm every number twice.",
            "llm": _LLMS[numbers[12] % len(_LLMS)],
            "temperature": round(numbers[13] % 10 / 10, 1),
            "max_tokens": -1,
            "tool_ids": [],
            "mcp_server_ids": [],
            "knowledge_base": [],
            "tools": tools,
        },
    }


@lru_cache(maxsize=20_000)
def agent_body(agent_id: str) -> bytes | None:
    """The body of ``GET /v1/convai/agents/{agent_id}``; None: unknown."""
    if KNOWN_ID.fullmatch(agent_id) is None:
        return None
    return json.dumps(_agent(agent_id), separators=(",", ":")).encode()


class Catalogue:
    """The agents that the list shows: the first ``agents_each`` of each of the first ``users``."""

    def __init__(self, users: int = 3, agents_each: int = 50) -> None:
        ids = [f"agent_{user:05d}_{n:03d}" for user in range(1, users + 1) for n in range(1, agents_each + 1)]
        self._agents = [agent_summary(agent_id) for agent_id in ids]

    def page(
        self, *, size: int, start: int, search: str = "", sort_by: str = "created_at", descending: bool = True
    ) -> tuple[list[dict[str, Any]], bool]:
        """Agents from position ``start`` on, at most ``size``, and whether more follow."""
        wanted = search.casefold()
        found = [agent for agent in self._agents if wanted in agent["name"].casefold()]
        field = {"name": "name", "updated_at": "updated_at_unix_secs"}.get(sort_by, "created_at_unix_secs")
        found.sort(key=lambda agent: (agent[field], agent["agent_id"]), reverse=descending)
        return found[start : start + size], start + size < len(found)
