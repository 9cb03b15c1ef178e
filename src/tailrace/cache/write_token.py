"""The token that a client gets with its write and shows with its next reads. Pure but for the clock handed in.

    base64url( life (8 bytes) | expires (float64) | first 16 bytes of HMAC-SHA256(secret, life and expires) )

``life`` is a digest that names the store and the database in which the write was stamped, all zero when it was not. A
process that lives with the same ones needs a fence to see the stamps; any other has to go past its cache. The token
says only "wrote lately", so a stolen one gives nothing away; it is signed so that nobody can make reads expensive.
"""

from __future__ import annotations

import hmac
import math
import struct
from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import blake2b
from typing import Literal

from tailrace.clock import Clock

__all__ = ["WriteTokens"]

PAYLOAD = struct.Struct("!8sd")
SIGNATURE_BYTES = 16
TOKEN_CHARACTERS = 43
NOWHERE = bytes(8)
"""The life of what was not stamped."""


class WriteTokens:
    """Issues and reads tokens.

    Args:
        secret: shared by all processes that serve the same clients.
        ttl: seconds for which a token counts; longer than the freshness bound plus the skew between machines' clocks,
            since after it the bound alone makes the client's write visible.
        life: names the store and the database that this process lives with; None while it is cut off from either.
    """

    __slots__ = ("_clock", "_issued", "_life", "_places", "_secret", "life", "ttl")

    def __init__(self, secret: bytes, ttl: float, clock: Clock, life: str | None = "") -> None:
        self._secret = secret
        self._clock = clock
        self._life = NOWHERE if life is None else blake2b(life.encode(), digest_size=len(NOWHERE)).digest()
        self.life = life
        self.ttl = ttl
        self._places = [self._sign(life).hex()[:8] for life in (self._life, NOWHERE)]
        self._issued: dict[bool, tuple[float, str]] = {}

    def issue(self, *, unstamped: bool = False) -> str:
        """A token for a client that wrote; ``unstamped`` when the write's stamps could not be written.

        It counts for ``ttl`` seconds from the end of this second of the clock, so all that are issued within one are
        the same, and signed once.
        """
        expires = math.floor(self._clock.now()) + 1 + self.ttl
        known = self._issued.get(unstamped)
        if known is not None and known[0] == expires:
            return known[1]
        payload = PAYLOAD.pack(NOWHERE if unstamped else self._life, expires)
        token = urlsafe_b64encode(payload + self._sign(payload)).decode().rstrip("=")
        self._issued[unstamped] = expires, token
        return token

    def place(self, *, unstamped: bool = False) -> str:
        """Eight characters that name what a token is about: tokens of one place may replace each other.

        Others must not: a client may have written to several services of one host, or to one of them before and after
        its store failed.
        """
        return self._places[unstamped]

    def read(self, token: str) -> Literal["none", "fence", "bypass"]:
        """What a request with this token must do first. Forged, damaged and expired ones count as none.

        ``bypass``: the write was not stamped, or not in the store and the database that this process lives with.
        """
        if len(token) > TOKEN_CHARACTERS or not token.isascii():
            return "none"
        try:
            data = urlsafe_b64decode(token + "=" * (-len(token) % 4))
        except ValueError:
            return "none"
        payload, signature = data[: PAYLOAD.size], data[PAYLOAD.size :]
        if len(payload) < PAYLOAD.size or not hmac.compare_digest(signature, self._sign(payload)):
            return "none"
        life, expires = PAYLOAD.unpack(payload)
        if self._clock.now() >= expires:
            return "none"
        return "fence" if life == self._life != NOWHERE else "bypass"

    def _sign(self, payload: bytes) -> bytes:
        return hmac.digest(self._secret, payload, "sha256")[:SIGNATURE_BYTES]
