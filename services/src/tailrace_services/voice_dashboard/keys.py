"""API keys of the service's users. Pure but for :func:`new_api_key`, which draws from the system's random source.

A key is ``vd_<user id>_<40 hex characters>``: the id says which row to read, the rest proves who asks. Only the SHA-256
of the whole key is stored; 160 random bits need no slow hash.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets

__all__ = ["api_key", "hash_api_key", "new_api_key", "user_id_of", "verify_api_key"]

_KEY = re.compile(r"vd_([1-9][0-9]{0,18})_[0-9a-f]{40}", re.ASCII)


def api_key(seed: int, user_id: int) -> str:
    """The key of a generated user: the same seed gives the same keys, so they protect demonstration data only.

    >>> api_key(1, 1) == api_key(1, 1) != api_key(2, 1)
    True
    >>> user_id_of(api_key(1, 42))
    42
    """
    secret = hashlib.sha256(f"voice-dashboard demonstration key {seed}:{user_id}".encode()).hexdigest()[:40]
    return f"vd_{user_id}_{secret}"


def new_api_key(user_id: int) -> str:
    """A key nobody can derive, for a user that is not generated."""
    return f"vd_{user_id}_{secrets.token_hex(20)}"


def hash_api_key(key: str) -> str:
    """What is stored of a key: its SHA-256 as 64 hex characters."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def verify_api_key(key: str, stored_hash: str) -> bool:
    """True if ``key`` hashes to ``stored_hash``; takes the same time wherever they differ.

    >>> verify_api_key(api_key(1, 1), hash_api_key(api_key(1, 1)))
    True
    >>> verify_api_key(api_key(1, 2), hash_api_key(api_key(1, 1)))
    False
    """
    return hmac.compare_digest(hash_api_key(key).encode(), stored_hash.encode())


def user_id_of(key: str) -> int | None:
    """The user a well-formed key claims to belong to; None for anything else.

    >>> user_id_of("vd_1_short") is None
    True
    """
    match = _KEY.fullmatch(key)
    if match is None:
        return None
    user_id = int(match[1])
    return user_id if user_id < 2**63 else None
