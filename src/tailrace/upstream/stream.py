"""One response on its way through: its head first, then its body piece by piece. Pure; ``llhttp`` does the parsing.

**Source:** RFC 9112 sections 6 (bodies) and 7 (chunks, trailers); RFC 9110 section 15 (statuses);
RFC 2068 section 19.7.1.1 (Keep-Alive).
"""

from __future__ import annotations

import math
import re
from types import ModuleType

from tailrace.upstream.http1 import LARGEST_HEAD, MalformedResponseError, ResponseFraming

__all__ = ["StreamReader"]

_CONTINUE = 100
_KEPT = re.compile(rb"timeout=(\d{1,9})", re.IGNORECASE)


class StreamReader(ResponseFraming):
    """Hands on what arrives, in order and unchanged.

    Attributes:
        continued: a 100 has come: the request's body is wanted.
        headed: the head is there: ``status`` and ``pairs``.
        keep_for: seconds for which the server keeps the connection behind it (``Keep-Alive``), less one for the way.
        held: bytes of the body that nobody has taken yet.
        trailers: fields behind the body.
    """

    __slots__ = ("_pieces", "_silent", "continued", "headed", "held", "keep_for", "trailers")

    def __init__(self, parsing: ModuleType, *, method: str) -> None:
        super().__init__(parsing, method=method)
        self._pieces: list[bytes] = []
        self._silent = 0
        self.continued = self.headed = False
        self.held = 0
        self.keep_for = math.inf
        self.trailers: list[tuple[bytes, bytes]] = []

    def feed(self, data: bytes) -> bool:
        """Take bytes; True once the response is whole.

        Raises:
            MalformedResponseError: it is no response, or one whose end cannot be told.
        """
        self._silent += len(data)
        return super().feed(data)

    def take(self) -> bytes:
        """What of the body has come since last time."""
        pieces, self._pieces, self.held = self._pieces, [], 0
        return b"".join(pieces)

    def _interim(self) -> None:
        if self.status == _CONTINUE:
            self.continued = True
        elif self.status == 101:
            raise MalformedResponseError("another protocol, which nobody asked for")

    def _begin(self) -> None:
        if not 200 <= self.status <= 599:
            raise MalformedResponseError("a status that there is not")
        codings = [value.lower() for name, value in self.pairs if name.lower() == b"transfer-encoding"]
        if codings not in ([], [b"chunked"]):
            raise MalformedResponseError("a transfer coding that was not asked for")
        for name, value in self.pairs:
            hint = _KEPT.search(value) if name.lower() == b"keep-alive" else None
            if hint is not None:
                self.keep_for = int(hint[1]) - 1.0
        self.headed = True
        self._silent = 0

    def _take(self, body: bytes) -> None:
        self._pieces.append(body)
        self.held += len(body)
        self._silent = 0

    def _trailer(self, name: bytes, value: bytes) -> None:
        self.trailers.append((name, value))

    def _bound(self) -> None:
        super()._bound()
        if self._silent > LARGEST_HEAD:
            raise MalformedResponseError("chunks or trailers of more words than content")
