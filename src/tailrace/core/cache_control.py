"""Cache-Control: parsed and written. Pure.

What cannot be understood never makes a response live longer: a duplicated directive counts with its most restrictive
value, a malformed time counts as 0, an unknown directive changes nothing.

**Source:** RFC 9111 sections 5.2 (directives), 4.2.1 (duplicates, invalid values) and 1.2.2 (delta-seconds); RFC 5861;
RFC 9213.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import http_sf

__all__ = ["CacheControl", "parse_cache_control", "parse_targeted"]

MAX_DELTA = 2**31
"""Times above this count as this (RFC 9111 section 1.2.2)."""

MAX_LENGTH = 8192
"""Bytes of a field value that are looked at. A longer one counts as ``no-store``."""

_ITEM = re.compile(r'(?:[^,"]|"(?:[^"\\]|\\.)*"?)+')
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')
_UNQUOTE = re.compile(r"\\(.)")
_TIMES = frozenset({"max-age", "s-maxage", "max-stale", "min-fresh", "stale-while-revalidate", "stale-if-error"})
_FIELD_LISTS = frozenset({"no-cache", "private"})
_FLAGS = frozenset(
    {
        "immutable",
        "must-revalidate",
        "must-understand",
        "no-store",
        "no-transform",
        "only-if-cached",
        "proxy-revalidate",
        "public",
    }
)


@dataclass(frozen=True, slots=True)
class CacheControl:
    """The directives of one message, request or response.

    Times are whole seconds, None when absent. ``max_stale`` is -1 for "any". ``no_cache_fields`` and ``private_fields``
    are the field names (lower case) of the qualified forms; then ``no_cache`` and ``private`` are true as well, since a
    recipient may always take the qualified form for the plain one.
    """

    no_store: bool = False
    no_cache: bool = False
    private: bool = False
    public: bool = False
    must_revalidate: bool = False
    proxy_revalidate: bool = False
    must_understand: bool = False
    no_transform: bool = False
    only_if_cached: bool = False
    immutable: bool = False
    max_age: int | None = None
    s_maxage: int | None = None
    max_stale: int | None = None
    min_fresh: int | None = None
    stale_while_revalidate: int | None = None
    stale_if_error: int | None = None
    no_cache_fields: frozenset[str] = field(default_factory=frozenset)
    private_fields: frozenset[str] = field(default_factory=frozenset)

    @property
    def shared_lifetime(self) -> int | None:
        """Seconds a shared cache may serve it: ``s-maxage``, else ``max-age``."""
        return self.max_age if self.s_maxage is None else self.s_maxage

    @property
    def for_all(self) -> bool:
        """True if a shared cache may answer requests with it that say who asks (RFC 9111 sections 3.5, 5.2.2.9)."""
        return self.public or self.s_maxage is not None

    @property
    def forbids_stale(self) -> bool:
        """True if a shared cache may not serve it stale (RFC 9111 section 4.2.4)."""
        return self.must_revalidate or self.proxy_revalidate or self.no_cache or self.s_maxage is not None

    def __str__(self) -> str:
        """The field value, directives in a fixed order.

        >>> str(CacheControl(private=True, max_age=60))
        'private, max-age=60'
        """
        parts = [name.replace("_", "-") for name in _FLAG_ATTRIBUTES if getattr(self, name)]
        for name in ("no_cache", "private"):
            if getattr(self, name):
                names = ", ".join(sorted(getattr(self, name + "_fields")))
                parts.append(f'{name.replace("_", "-")}="{names}"' if names else name.replace("_", "-"))
        for name in _TIME_ATTRIBUTES:
            value = getattr(self, name)
            if value is not None:
                parts.append("max-stale" if value < 0 else f"{name.replace('_', '-')}={value}")
        return ", ".join(parts)


_FLAG_ATTRIBUTES = tuple(sorted(name.replace("-", "_") for name in _FLAGS))
_TIME_ATTRIBUTES = tuple(sorted(name.replace("-", "_") for name in _TIMES))
_NOTHING = CacheControl()


def parse_cache_control(values: Iterable[bytes] | bytes | None) -> CacheControl:
    """The directives of one message.

    Args:
        values: the field's value, or the values of all its field lines; None when it is absent.

    Never raises, whatever the bytes. Cost: linear in the length.

    >>> parse_cache_control(b'max-age="10", max-age=5, private="set-cookie"').max_age
    5
    """
    if values is None:
        return _NOTHING
    joined = values if isinstance(values, bytes) else b",".join(values)
    if not joined:
        return _NOTHING
    if len(joined) > MAX_LENGTH:
        return CacheControl(no_store=True)
    found: dict[str, object] = {}
    for name, value in _directives(joined.decode("latin-1")):
        _take(found, name.lower(), value)
    return CacheControl(**found)  # type: ignore[arg-type]


def parse_targeted(value: bytes | None) -> CacheControl | None:
    """The directives of a targeted field such as ``CDN-Cache-Control``; None if it is absent, empty or invalid, so that
    ``Cache-Control`` counts.

    A directive of the wrong type counts as absent; a wrong number of seconds as 0.

    **Source:** RFC 9213 section 2; RFC 9651 section 3.2 (dictionaries).

    >>> parse_targeted(b"max-age=60, no-store=?0") == CacheControl(max_age=60)
    True
    """
    if not value or len(value) > MAX_LENGTH:
        return None
    try:
        members: Any = http_sf.parse(value, tltype="dictionary")
    except http_sf.StructuredFieldError:
        return None
    found: dict[str, object] = {}
    for name, (item, _) in members.items():
        if name in _TIMES and type(item) is int:
            found[name.replace("-", "_")] = min(max(item, 0), MAX_DELTA)
        elif name == "max-stale" and item is True:
            found["max_stale"] = -1
        elif name in _FLAGS and item is True:
            found[name.replace("-", "_")] = True
        elif name in _FIELD_LISTS and (item is True or type(item) is str):
            _take(found, name, None if item is True else item)
    return CacheControl(**found) if members else None  # type: ignore[arg-type]


def _directives(text: str) -> Iterable[tuple[str, str | None]]:
    """Name and value of each list member. A value that is not as specified becomes "", which no time is."""
    for item in _ITEM.findall(text):
        name, equals, value = item.strip().partition("=")
        if not _TOKEN.fullmatch(name.rstrip()):
            continue
        if not equals:
            yield name, None
        elif (quoted := _QUOTED.fullmatch(value)) is not None:
            yield name.rstrip(), _UNQUOTE.sub(r"\1", quoted[1])
        else:
            yield name.rstrip(), value if name == name.rstrip() and _TOKEN.fullmatch(value) else ""


def _take(found: dict[str, object], name: str, value: str | None) -> None:
    attribute = name.replace("-", "_")
    if name in _FLAGS:
        found[attribute] = True
    elif name in _FIELD_LISTS:
        names = frozenset(part.strip().lower() for part in (value or "").split(",") if part.strip())
        # One plain occurrence makes the whole directive plain: it is the wider prohibition.
        earlier = found.get(attribute + "_fields")
        plain = not names or (attribute in found and not earlier)
        found[attribute] = True
        found[attribute + "_fields"] = frozenset() if plain else names | (earlier or frozenset())  # type: ignore[operator]
    elif name == "max-stale":
        seconds = -1 if value is None else _seconds(value)
        known = found.get(attribute)
        found[attribute] = seconds if known is None or known == -1 else known if seconds == -1 else min(known, seconds)  # type: ignore[call-overload]
    elif name == "min-fresh":
        found[attribute] = max(_seconds(value), found.get(attribute, 0))  # type: ignore[call-overload]
    elif name in _TIMES:
        found[attribute] = min(_seconds(value), found.get(attribute, MAX_DELTA))  # type: ignore[call-overload]


def _seconds(value: str | None) -> int:
    if value is None or not value.isascii() or not value.isdigit():
        return 0
    return MAX_DELTA if len(value) > 10 else min(int(value), MAX_DELTA)
