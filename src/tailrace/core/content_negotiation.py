"""Which content coding answers a request, and in which media type. Pure.

What a client refused is never sent to it: a coding named twice counts with its lowest weight, and one whose weight
cannot be read counts as refused, ``identity`` excepted. Without ``Accept-Encoding``, or with one that is too long to be
honest, the answer is sent as it is.

``identity;q=0`` with nothing else that we have leaves no acceptable answer; RFC 9110 section 12.4.1 lets a server send
one regardless, and that says more to the client than a 406 without content.

**Source:** RFC 9110 sections 12.4.2 (weights), 12.4.3 (wildcard), 12.5.1 (Accept), 12.5.3 (Accept-Encoding), 8.4.1.3
(x-gzip).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

__all__ = ["IDENTITY", "Choice", "asked_for", "choose_encoding", "parse_accept_encoding"]

IDENTITY = "identity"
"""The representation as it is."""

MAX_LENGTH = 1024
"""Bytes of a field value that are looked at. A longer one counts as absent; browsers send about 30."""

ALIASES = {"x-gzip": "gzip", "x-compress": "compress"}

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_WEIGHT = re.compile(r"[qQ]=(?:(0)(?:\.(\d{0,3}))?|1(?:\.0{0,3})?)")


@dataclass(frozen=True, slots=True)
class Choice:
    """What to send.

    Attributes:
        encoding: name of the content coding, or ``identity``.
        identity_allowed: False if the client refused the representation as it is, so that even what is better left
            alone has to be encoded.
    """

    encoding: str
    identity_allowed: bool = True


_AS_IT_IS = Choice(IDENTITY)


def parse_accept_encoding(value: bytes) -> dict[str, int]:
    """The weight of each coding named, in thousandths, 0 for what is refused; names in lower case, without aliases.

    Never raises, whatever the bytes. Cost: linear in the length.

    >>> parse_accept_encoding(b"gzip;q=0.5, x-GZIP;q=0.8, br ; q=1.000, zstd;q=2")
    {'gzip': 500, 'br': 1000, 'zstd': 0}
    """
    weights: dict[str, int] = {}
    for member in value.decode("latin-1").split(","):
        name, parameter, weight = (part.strip(" \t") for part in member.partition(";"))
        if not _TOKEN.fullmatch(name):
            continue
        name = ALIASES.get(name.lower(), name.lower())
        thousandths = _thousandths(weight) if parameter else 1000
        if thousandths is None:
            if name == IDENTITY:
                continue
            thousandths = 0
        weights[name] = min(thousandths, weights.get(name, 1000))
    return weights


def choose_encoding(value: bytes | None, available: Sequence[str]) -> Choice:
    """The coding that the client likes best; of those it likes equally, the first of ``available``.

    Args:
        value: of ``Accept-Encoding``, several lines joined; None when it is absent.
        available: the codings at hand, the server's favourite first, without ``identity``.

    A coding that the client names, or takes by ``*``, comes before the representation as it is, unless the client gives
    ``identity`` itself more weight.

    >>> choose_encoding(b"gzip, deflate, br, zstd", ("zstd", "br", "gzip")).encoding
    'zstd'
    >>> choose_encoding(b"gzip;q=0, *;q=0.1", ("gzip",)).encoding
    'identity'
    """
    if not value or len(value) > MAX_LENGTH:
        return _AS_IT_IS
    weights = parse_accept_encoding(value)
    best, best_weight = IDENTITY, 0
    for encoding in available:
        weight = weights.get(encoding, weights.get("*", 0))
        if weight > best_weight:
            best, best_weight = encoding, weight
    identity = _identity_weight(weights)
    return Choice(IDENTITY if identity is not None and identity > best_weight else best, identity != 0)


def asked_for(value: bytes | None, media_type: str, usual: str) -> bool:
    """Whether a client asks for ``media_type`` by name, and does not like the ``usual`` one better.

    For a representation that nobody should get who has not heard of it: a wildcard does not ask for it. Never raises,
    whatever the bytes.

    Args:
        value: of ``Accept``, several lines joined; None when it is absent.
        media_type, usual: in lower case, without parameters.

    >>> asked_for(b"application/json, application/problem+json", "application/problem+json", "application/json")
    True
    >>> asked_for(b"application/json, application/problem+json;q=0.5", "application/problem+json", "application/json")
    False
    >>> asked_for(b"*/*", "application/problem+json", "application/json")
    False
    """
    if not value or len(value) > MAX_LENGTH:
        return False
    weights: dict[str, int] = {}
    for member in value.decode("latin-1").lower().split(","):
        name, *parameters = (part.strip(" \t") for part in member.split(";"))
        weight = next((parameter for parameter in parameters if parameter.startswith("q=")), "q=1")
        weights[name] = max(weights.get(name, 0), _thousandths(weight) or 0)
    return weights.get(media_type, 0) > 0 and weights[media_type] >= weights.get(usual, 0)


def _identity_weight(weights: Mapping[str, int]) -> int | None:
    """What the client says of the representation as it is; None if it says nothing, which allows it."""
    return weights.get(IDENTITY, weights.get("*"))


def _thousandths(weight: str) -> int | None:
    matched = _WEIGHT.fullmatch(weight)
    if matched is None:
        return None
    return int((matched[2] or "").ljust(3, "0")) if matched[1] else 1000
