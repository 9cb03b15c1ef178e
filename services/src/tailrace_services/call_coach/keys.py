"""API keys and tokens of those who ask. Pure; see ``tailrace_services.identity``."""

from __future__ import annotations

from tailrace_services.identity.keys import ApiKeys
from tailrace_services.identity.tokens import Tokens

__all__ = ["KEYS", "TOKENS", "api_key"]

KEYS = ApiKeys("cc", "call-coach")
TOKENS = Tokens("call-coach")

api_key = KEYS.demonstration
