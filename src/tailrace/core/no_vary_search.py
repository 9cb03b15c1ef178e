"""No-Vary-Search: which parameters of a query a response does not depend on. Pure.

Two targets that differ in nothing else have one response. What cannot be understood means that all of the query counts,
as without the field.

**Source:** draft-ietf-httpbis-no-vary-search-05, sections on parsing and on equivalence modulo search variation; WHATWG
URL, application/x-www-form-urlencoded parsing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, unquote_plus, urlencode

import http_sf

__all__ = ["SearchVariation", "parse_no_vary_search"]

MAX_LENGTH = 4096
MAX_NAMES = 64


@dataclass(frozen=True, slots=True)
class SearchVariation:
    """What of a query counts.

    Attributes:
        order: whether the order of parameters with different names does.
        ignored: names of parameters that do not count; None: none does but for ``counted``.
        counted: names of those that do where ``ignored`` is None.
    """

    order: bool = True
    ignored: frozenset[str] | None = frozenset()
    counted: frozenset[str] = frozenset()

    def normal(self, query: str) -> str:
        """What is left of ``query``: the same for all that are equivalent.

        >>> SearchVariation(order=False, ignored=frozenset({"utm"})).normal("b=2&utm=x&a=1&a=0")
        'a=1&a=0&b=2'
        """
        pairs = [pair for pair in parse_qsl(query, keep_blank_values=True) if self._counts(pair[0])]
        return urlencode(pairs if self.order else sorted(pairs, key=lambda pair: pair[0]))

    def _counts(self, name: str) -> bool:
        return name in self.counted if self.ignored is None else name not in self.ignored

    def __str__(self) -> str:
        """One text for one variation, from which ``parse_no_vary_search`` makes it again."""
        parts = [] if self.order else ["key-order"]
        if self.ignored is None:
            parts.append("params")
            parts += [f"except={_written(self.counted)}"] if self.counted else []
        elif self.ignored:
            parts.append(f"params={_written(self.ignored)}")
        return ", ".join(parts)


def parse_no_vary_search(value: bytes | None) -> SearchVariation | None:
    """What the field says; None if all of the query counts.

    >>> str(parse_no_vary_search(b'params=("b" "a"), key-order'))
    'key-order, params=("a" "b")'
    """
    if not value or len(value) > MAX_LENGTH:
        return None
    try:
        members: Any = http_sf.parse(value, tltype="dictionary")
    except http_sf.StructuredFieldError:
        return None
    order = members.get("key-order", (False, {}))[0]
    params = members.get("params", (False, {}))[0]
    excepted = members["except"][0] if "except" in members else None
    if type(order) is not bool:
        return None
    if type(params) is bool:
        counted = frozenset[str]() if excepted is None else _names(excepted)
        if counted is None or (excepted is not None and not params):
            return None
        found = SearchVariation(not order, None if params else frozenset(), counted)
    else:
        ignored = _names(params)
        if ignored is None or excepted is not None:
            return None
        found = SearchVariation(not order, ignored)
    return None if found == SearchVariation() else found


def _names(inner: Any) -> frozenset[str] | None:
    """The names in an inner list of strings; None if it is something else."""
    if not isinstance(inner, list) or len(inner) > MAX_NAMES:
        return None
    names = [item for item, _ in inner]
    if not all(type(name) is str for name in names):
        return None
    return frozenset(unquote_plus(name) for name in names)


def _written(names: frozenset[str]) -> str:
    return "(" + " ".join(f'"{_quoted(name)}"' for name in sorted(names)) + ")"


def _quoted(name: str) -> str:
    return urlencode({name: ""})[:-1]
