"""Versions of an API: which one a request means, and what is said of those that are going away. Pure.

    Versions(
        [Version("v1", deprecated=Deprecated(since, sunset=sunset, successor="v2")), Version("v2")],
        base="/api",
        aliases=[Alias("/tools", "/api/v1/tools", Deprecated(since, sunset=sunset))],
    )

Each version has a prefix of its own, so that one can be added or removed without touching another. A request names it
in its path, or in a header field, by name or by date: a client that was written on a day goes on getting what was
current on that day.

**Source:** RFC 9745 (Deprecation), RFC 8594 (Sunset), RFC 5829 section 3.4 (successor-version), RFC 9110 section 5.6.7
(dates).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from email.utils import formatdate

from tailrace.asgi.types import Header
from tailrace.core.links import Link, link_field, reference
from tailrace.errors import RequestError

__all__ = ["Alias", "Chosen", "Deprecated", "Version", "Versions", "lies_below"]

LIKE_A_VERSION = re.compile(r"[vV]\d{1,9}(\.\d{1,9}){0,3}|\d{4}-\d{2}-\d{2}", re.ASCII)
"""A first part of the path that names a version rather than a resource."""

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}", re.ASCII)
FIELD_NAME = re.compile(r"[A-Za-z0-9-]{1,64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Deprecated:
    """Something that is going away.

    Attributes:
        since: from when on it should not be used; may lie ahead. With a time zone.
        sunset: when it will stop to answer; not before ``since``.
        successor: name of the version to use instead. An alias's is what it stands for.
        documentation: URL of what clients should do.
        policy: URL of the rules by which things are retired.

    Raises:
        ValueError: a time has no zone, or the sunset comes first (RFC 9745 section 4).
    """

    since: datetime
    sunset: datetime | None = None
    successor: str | None = None
    documentation: str | None = None
    policy: str | None = None

    def __post_init__(self) -> None:
        if any(moment is not None and moment.utcoffset() is None for moment in (self.since, self.sunset)):
            raise ValueError("a deprecation's times need a time zone")
        if self.sunset is not None and self.sunset < self.since:
            raise ValueError("a sunset must not come before the deprecation")

    def fields(self, successor: str | None) -> list[Header]:
        """What responses say of it.

        Args:
            successor: path of the same resource in its successor.
        """
        links = [] if successor is None else [Link(reference(successor), "successor-version")]
        if self.documentation is not None:
            links.append(Link(self.documentation, "deprecation", "text/html"))
        if self.policy is not None:
            links.append(Link(self.policy, "sunset", "text/html"))
        said: list[Header] = [(b"deprecation", b"@%d" % int(self.since.timestamp()))]
        if self.sunset is not None:
            said.append((b"sunset", formatdate(self.sunset.timestamp(), usegmt=True).encode("ascii")))
        if links:
            said.append((b"link", link_field(links).encode("ascii")))
        return said


@dataclass(frozen=True, slots=True)
class Version:
    """One version.

    Attributes:
        name: as clients write it: ``v1``, ``2026-01-15``.
        prefix: of its paths; by default the base and the name.
        released: from this day on it is what a date means, until the next one. A name that is a date says so itself.
        deprecated: it is going away.
    """

    name: str
    prefix: str = ""
    released: date | None = None
    deprecated: Deprecated | None = None


@dataclass(frozen=True, slots=True)
class Alias:
    """An old path that stands for a new one, with everything below it.

    Attributes:
        path: the old one.
        target: the new one.
        deprecated: it is going away; None: it stays.
    """

    path: str
    target: str
    deprecated: Deprecated | None = None


@dataclass(frozen=True, slots=True)
class Chosen:
    """What a request means. Not to be changed: it is remembered.

    Attributes:
        version: None for an alias outside all versions.
        path: at which the application is asked.
        by_field: the header field decided, or its absence.
        apart: the answer must not be taken for one that was asked for otherwise at the same path.
        deprecated: what is going away, a version's name or an alias's path; None if nothing is.
        fields: what the response says of that.
    """

    version: str | None
    path: str
    by_field: bool
    apart: bool
    deprecated: str | None
    fields: Sequence[Header]


class Versions:
    """The versions of one API.

    Args:
        versions: all that there are.
        base: path below which they lie; what lies elsewhere has no version.
        aliases: old paths.
        field: request header field that names a version where the path does not; None: paths only.
        default: version of a request that names none, where ``field`` is used; None: it must name one.
        routed: True: the version that the field names is asked for at its own prefix. False: paths stay as they are,
            and the application asks the request's ``Exchange`` for its version.

    Raises:
        ValueError: two versions share a name or a prefix, one prefix lies below another, or a name is not known.
    """

    def __init__(
        self,
        versions: Sequence[Version],
        *,
        base: str = "/api",
        aliases: Sequence[Alias] = (),
        field: str | None = None,
        default: str | None = None,
        routed: bool = True,
    ) -> None:
        self.base = _checked_path(base)
        self.versions = tuple([_completed(version, self.base) for version in versions])
        self.aliases = tuple([Alias(_checked_path(a.path), _checked_path(a.target), a.deprecated) for a in aliases])
        self.field = field
        self.field_name = None if field is None else field.lower().encode("latin-1")
        self.default = default
        self.routed = routed
        self._by_name = {version.name: version for version in self.versions}
        self._dated = sorted([(v.released, v.name) for v in self.versions if v.released is not None], reverse=True)
        self._check()

    @property
    def names(self) -> list[str]:
        """What clients may ask for."""
        return list(self._by_name)

    def choose(self, path: str, named: bytes | None, *, must_name: bool = True) -> Chosen | None:
        """What a request means; None if it has nothing to do with versions.

        Args:
            path: without what the application is mounted at.
            named: value of the header field.
            must_name: False for requests that browsers make by themselves.

        Raises:
            RequestError: there is no such version: 404 if the path names it, else 400; or none is named. The message
                and ``data`` name those that there are.

        Cost: some comparisons of strings.
        """
        for alias in self.aliases:
            if lies_below(path, alias.path):
                return self._alias(alias, alias.target + path[len(alias.path) :])
        for version in self.versions:
            if self.routed and lies_below(path, version.prefix):
                return self._chosen(version, path, by_field=False)
        if not lies_below(path, self.base):
            return None
        rest = path[len(self.base) :]
        first, _, further = rest[1:].partition("/")
        if LIKE_A_VERSION.fullmatch(first):
            found = self._find(first, status=404)
            return self._chosen(found, found.prefix + (f"/{further}" if further else ""), by_field=False)
        if self.field is None or (named is None and self.default is None and not must_name):
            return None
        found = self._named(named)
        return self._chosen(found, found.prefix + rest if self.routed else path, by_field=True)

    def _chosen(self, version: Version, path: str, *, by_field: bool) -> Chosen:
        going = version.deprecated
        if going is None:
            return Chosen(version.name, path, by_field, not self.routed, None, [])
        successor = None
        if going.successor is not None and self.routed:
            successor = self._by_name[going.successor].prefix + path[len(version.prefix) :]
        return Chosen(version.name, path, by_field, True, version.name, going.fields(successor))

    def _alias(self, alias: Alias, path: str) -> Chosen:
        target = next((version for version in self.versions if lies_below(path, version.prefix)), None)
        name = None if target is None else target.name
        apart = target is not None and target.deprecated is not None
        if alias.deprecated is None:
            return (
                Chosen(name, path, False, apart, None, [])
                if target is None
                else self._chosen(target, path, by_field=False)
            )
        return Chosen(name, path, False, apart, alias.path, alias.deprecated.fields(path))

    def _named(self, named: bytes | None) -> Version:
        if named is not None:
            return self._find(named.decode("latin-1").strip(), status=400)
        if self.default is None:
            message = f"say which version you mean in {self.field}: {', '.join(self.names)}"
            raise RequestError(message, code="version_required", data={"supported": self.names})
        return self._by_name[self.default]

    def _find(self, name: str, *, status: int) -> Version:
        """The version of that name, or the newest that was released on that day or before."""
        found = self._by_name.get(name)
        if found is None and self._dated:
            day = _day(name)
            earlier = [known for released, known in self._dated if day is not None and released <= day]
            found = self._by_name[earlier[0]] if earlier else None
        if found is None:
            message = f"there is no such version; there is {', '.join(self.names)}"
            raise RequestError(message, status=status, code="unknown_version", data={"supported": self.names})
        return found

    def _check(self) -> None:
        if not self.versions or len(self._by_name) < len(self.versions):
            raise ValueError("versions need names of their own")
        for version in self.versions:
            if any(lies_below(version.prefix, other.prefix) for other in self.versions if other is not version):
                raise ValueError(f"the prefix of {version.name} lies below another version's")
            named = None if version.deprecated is None else version.deprecated.successor
            if named is not None and (named not in self._by_name or named == version.name):
                raise ValueError(f"{version.name} has a successor that is no other version: {named}")
        if self.default is not None and self.default not in self._by_name:
            raise ValueError(f"the default is no version: {self.default}")
        if self.field is not None and FIELD_NAME.fullmatch(self.field) is None:
            raise ValueError(f"not the name of a header field: {self.field}")
        if not self.routed and self.field is None:
            raise ValueError("without routing, versions are named in a header field: field=...")
        if any(lies_below(alias.target, alias.path) for alias in self.aliases):
            raise ValueError("an alias must not stand for something below itself")


def _completed(version: Version, base: str) -> Version:
    if NAME.fullmatch(version.name) is None:
        raise ValueError(f"a version's name has letters, digits, '.', '_' and '-': {version.name!r}")
    prefix = _checked_path(version.prefix or f"{base}/{version.name}")
    return Version(version.name, prefix, version.released or _day(version.name), version.deprecated)


def _checked_path(path: str) -> str:
    if not path.startswith("/") or path.endswith("/"):
        raise ValueError(f"a path begins with a slash and does not end in one: {path!r}")
    return path


def lies_below(path: str, prefix: str) -> bool:
    """True for the prefix itself and what lies below it, not for what only begins with the same letters."""
    return path.startswith(prefix) and (len(path) == len(prefix) or path[len(prefix)] == "/")


def _day(text: str) -> date | None:
    if len(text) != len("2026-01-15"):
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None
