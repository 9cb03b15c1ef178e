"""API keys and tokens of those who ask. Pure; see ``tailrace_services.identity``.

The number in a key is its row's in ``api_keys``, so that a user may have several.
"""

from __future__ import annotations

from tailrace_services.identity.keys import ApiKeys
from tailrace_services.identity.tokens import Tokens

__all__ = ["KEYS", "TOKENS", "api_key"]

KEYS = ApiKeys("rh", "research-hub")
TOKENS = Tokens("research-hub")

api_key = KEYS.demonstration
