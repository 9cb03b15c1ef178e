"""Bearer tokens: an API key exchanged for something short-lived. Pure: time and secret are arguments.

A token is a JWT whose only accepted header is the one this module writes, so there is no algorithm to confuse. It names
the key's holder and a fingerprint of the API key's hash: a new API key ends the tokens made with the old one.

**Source:** RFC 7515 (JWS compact serialisation), RFC 7519 (JWT), RFC 8725 (best current practices).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from dataclasses import dataclass

__all__ = ["TOKEN_TTL", "Claims", "Tokens"]

TOKEN_TTL = 900
"""Seconds for which a token is accepted."""

LONGEST = 1024
"""Characters; a longer token is not looked at."""


@dataclass(frozen=True, slots=True)
class Claims:
    """What a genuine token says. ``expires`` in seconds since 1970."""

    holder_id: int
    key: str
    expires: int


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


HEADER = _encode(b'{"alg":"HS256","typ":"JWT"}')


def _signature(signed: str, secret: bytes) -> str:
    return _encode(hmac.digest(secret, signed.encode(), "sha256"))


@dataclass(frozen=True, slots=True)
class Tokens:
    """The tokens of one service.

    Args:
        audience: the service's name; no other accepts its tokens.
    """

    audience: str

    def fingerprint(self, key_hash: str) -> str:
        """Tells whether a token was made with the API key that hashes to ``key_hash``; says nothing else about it."""
        return hashlib.sha256(f"{self.audience} token {key_hash}".encode()).hexdigest()[:16]

    def issue(self, holder_id: int, key_hash: str, secret: bytes, now: float) -> str:
        """A token for the holder of a key, good for :data:`TOKEN_TTL` seconds from ``now``."""
        claims = {
            "aud": self.audience,
            "sub": str(holder_id),
            "key": self.fingerprint(key_hash),
            "exp": int(now) + TOKEN_TTL,
        }
        signed = f"{HEADER}.{_encode(json.dumps(claims, separators=(',', ':')).encode())}"
        return f"{signed}.{_signature(signed, secret)}"

    def read(self, token: str, secret: bytes, now: float) -> Claims | None:
        """What ``token`` says; None if it is forged, altered, expired or not one of ours.

        >>> tokens = Tokens("voice-dashboard")
        >>> token = tokens.issue(7, "0" * 64, b"secret", now=1000.0)
        >>> tokens.read(token, b"secret", now=1000.0).holder_id
        7
        >>> tokens.read(token, b"secret", now=1000.0 + TOKEN_TTL) is None
        True
        >>> tokens.read(token, b"another", now=1000.0) is None
        True
        >>> Tokens("call-coach").read(token, b"secret", now=1000.0) is None
        True
        """
        if len(token) > LONGEST or not token.isascii():
            return None
        signed, _, signature = token.rpartition(".")
        header, _, payload = signed.partition(".")
        # The signature covers the header as well, but an unknown header is refused whoever signed it.
        if header != HEADER or not hmac.compare_digest(signature, _signature(signed, secret)):
            return None
        try:
            claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
            read = Claims(int(claims["sub"]), str(claims["key"]), int(claims["exp"]))
        except (ValueError, KeyError, TypeError, binascii.Error):
            return None
        return read if claims.get("aud") == self.audience and now < read.expires else None
