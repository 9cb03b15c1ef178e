"""The token that a client gets with its write and shows with its next reads. Pure but for the clock handed in.

    base64url( kind (1 byte) | expires (float64) | first 16 bytes of HMAC-SHA256(secret, kind and expires) )

It says only "wrote lately", so a stolen one gives nothing away; it is signed so that nobody can make reads expensive.
"""

from __future__ import annotations

import hmac
import struct
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Literal

from tailrace.clock import Clock

__all__ = ["WriteTokens"]

PAYLOAD = struct.Struct("!cd")
SIGNATURE_BYTES = 16
TOKEN_CHARACTERS = 36
FENCE, BYPASS = b"f", b"b"


class WriteTokens:
    """Issues and reads tokens.

    Args:
        secret: shared by all processes that serve the same clients.
        ttl: seconds for which a token counts; longer than the freshness bound plus the skew between machines' clocks,
            since after it the bound alone makes the client's write visible.
    """

    __slots__ = ("_clock", "_secret", "ttl")

    def __init__(self, secret: bytes, ttl: float, clock: Clock) -> None:
        self._secret = secret
        self._clock = clock
        self.ttl = ttl

    def issue(self, *, unstamped: bool = False) -> str:
        """A token for a client that wrote; ``unstamped`` when the write's stamps could not be written."""
        payload = PAYLOAD.pack(BYPASS if unstamped else FENCE, self._clock.now() + self.ttl)
        return urlsafe_b64encode(payload + self._sign(payload)).decode().rstrip("=")

    def read(self, token: str) -> Literal["none", "fence", "bypass"]:
        """What a request with this token must do first. Forged, damaged and expired ones count as none."""
        if len(token) > TOKEN_CHARACTERS or not token.isascii():
            return "none"
        try:
            data = urlsafe_b64decode(token + "=" * (-len(token) % 4))
        except ValueError:
            return "none"
        payload, signature = data[: PAYLOAD.size], data[PAYLOAD.size :]
        if len(payload) < PAYLOAD.size or not hmac.compare_digest(signature, self._sign(payload)):
            return "none"
        kind, expires = PAYLOAD.unpack(payload)
        if self._clock.now() >= expires:
            return "none"
        return "bypass" if kind == BYPASS else "fence"

    def _sign(self, payload: bytes) -> bytes:
        return hmac.digest(self._secret, payload, "sha256")[:SIGNATURE_BYTES]
