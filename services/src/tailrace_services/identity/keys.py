"""API keys. Pure but for :meth:`ApiKeys.new`, which draws from the system's random source.

A key is ``<prefix>_<holder's id>_<40 hex characters>``: the id says which row to read, the rest proves who asks. Only
the SHA-256 of the whole key is stored; 160 random bits need no slow hash.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass

__all__ = ["ApiKeys", "hash_api_key", "verify_api_key"]

_REST = re.compile(r"_([1-9][0-9]{0,18})_[0-9a-f]{40}", re.ASCII)


@dataclass(frozen=True, slots=True)
class ApiKeys:
    """The keys of one service.

    Args:
        prefix: by which a lost key tells where it belongs.
        service: part of what demonstration keys are made from.
    """

    prefix: str
    service: str

    def demonstration(self, seed: int, holder_id: int) -> str:
        """The key of a generated holder: the same seed gives the same keys, so they protect demonstration data only.

        >>> keys = ApiKeys("vd", "voice-dashboard")
        >>> keys.demonstration(1, 1) == keys.demonstration(1, 1) != keys.demonstration(2, 1)
        True
        """
        secret = hashlib.sha256(f"{self.service} demonstration key {seed}:{holder_id}".encode()).hexdigest()[:40]
        return f"{self.prefix}_{holder_id}_{secret}"

    def new(self, holder_id: int) -> str:
        """A key nobody can derive, for a holder that is not generated."""
        return f"{self.prefix}_{holder_id}_{secrets.token_hex(20)}"

    def holder_of(self, key: str) -> int | None:
        """The holder a well-formed key claims to belong to; None for anything else.

        >>> keys = ApiKeys("vd", "voice-dashboard")
        >>> keys.holder_of(keys.demonstration(1, 42)), keys.holder_of("vd_1_short")
        (42, None)
        """
        match = _REST.fullmatch(key.removeprefix(self.prefix)) if key.startswith(self.prefix) else None
        holder_id = 0 if match is None else int(match[1])
        return holder_id if 0 < holder_id < 2**63 else None


def hash_api_key(key: str) -> str:
    """What is stored of a key: its SHA-256 as 64 hex characters."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def verify_api_key(key: str, stored_hash: str) -> bool:
    """True if ``key`` hashes to ``stored_hash``; takes the same time wherever they differ.

    >>> verify_api_key("vd_1_a", hash_api_key("vd_1_a")), verify_api_key("vd_1_b", hash_api_key("vd_1_a"))
    (True, False)
    """
    return hmac.compare_digest(hash_api_key(key).encode(), stored_hash.encode())
