"""API keys and tokens of the desk's traders. Pure; see ``tailrace_services.identity``."""

from __future__ import annotations

from tailrace_services.identity.keys import ApiKeys
from tailrace_services.identity.tokens import Tokens

__all__ = ["KEYS", "TOKENS", "api_key", "new_api_key"]

KEYS = ApiKeys("td", "trading-desk")
TOKENS = Tokens("trading-desk")

api_key = KEYS.demonstration
new_api_key = KEYS.new
