"""The names under which stored responses lie, and what is remembered of them. Pure.

    {prefix}v:{target}           what the responses to a target vary on
    {prefix}n:{path}             what queries the path's responses do not depend on
    {prefix}e:{target}:{values}  the response for the values that a request sent
    {prefix}s:{tag}              the stamp of a target, a path or a group
    {prefix}l:{stamp}            the lease of who asks the origin for a target (``leading``)

**Source:** RFC 9111 sections 2 and 4.1 (keys, Vary); RFC 9875 section 2 (groups); No-Vary-Search.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b

from tailrace.asgi.cache_key import vary_digest
from tailrace.core.no_vary_search import SearchVariation

__all__ = [
    "ANY_GROUP",
    "MAX_KINDS",
    "Kind",
    "Place",
    "fitting",
    "group_tag",
    "kind_of",
    "kinds_of",
    "listed_kinds",
    "path_tag",
    "response_name",
    "ruled_target",
    "stamp_names",
    "target_tag",
    "unversioned",
]

Kind = tuple[bytes, ...]
"""The names that a response's ``Vary`` has, sorted."""

MAX_KINDS = 8
"""Different ``Vary`` of one target that are remembered; the newest go first."""

CASELESS = frozenset({b"accept-charset", b"accept-encoding", b"accept-language"})
"""Fields whose members mean the same in upper and lower case (RFC 9110 sections 8.3.2, 8.4.1 and 8.5.1)."""

SINGLE = frozenset({b"authorization", b"cookie", b"user-agent"})
"""Fields that are no lists, although their values may have commas."""

SAID_ELSEWHERE = frozenset(
    {
        b"forwarded",
        b"front-end-https",
        b"x-forwarded-host",
        b"x-forwarded-port",
        b"x-forwarded-prefix",
        b"x-forwarded-proto",
        b"x-forwarded-scheme",
        b"x-forwarded-server",
        b"x-forwarded-ssl",
        b"x-host",
        b"x-http-method",
        b"x-http-method-override",
        b"x-method-override",
        b"x-original-host",
        b"x-original-url",
        b"x-rewrite-url",
        b"x-url-scheme",
    }
)
"""Fields by which a request says that it was sent elsewhere, or otherwise, than it seems. Applications believe them and
never say so in ``Vary``; without them in the key, whoever sends one decides what all others are answered."""

ANY_GROUP = "group"
"""The tag of all groups together."""


@dataclass(slots=True)
class Place:
    """What is remembered of a target.

    ``tag``: of its stamp, which is that of all its versions. ``names``: of the list of kinds, of the rules for
    the path's queries, and of the stamps of target, path and groups.
    ``others``: the places of what a rule makes equivalent.
    """

    target: str
    digest: str
    tag: str
    path: str
    prefix: str
    names: list[str]
    plain: str
    listed: bytes | None = None
    kinds: tuple[Kind, ...] = ()
    ruled: bytes | None = None
    others: tuple[Place, ...] = ()


def ruled_target(target: str, rule: SearchVariation) -> str:
    """One name for all targets that ``rule`` makes equivalent; no URI has a blank in it."""
    path, _, query = target.partition("?")
    return f"{path}?{rule.normal(query)} {rule}"


def path_tag(target: str) -> str:
    """A tag of everything that has the target's path, whatever its query."""
    return target_tag(target.partition("?")[0] + "?")


def target_tag(target: str) -> str:
    """The tag of one target, which names it in keys as well: 40 hexadecimal digits."""
    return blake2b(target.encode("utf-8", "surrogatepass"), digest_size=20).hexdigest()


def unversioned(target: str) -> str:
    """The URI without the version that a header field named: a write to one version ends the others too (4.4).

    >>> unversioned("http://a.example/b?c v2")
    'http://a.example/b?c'
    """
    return target.partition(" ")[0]


def group_tag(target: str, name: str) -> str:
    """A group's tag: groups of different origins have nothing to do with each other (RFC 9875 section 2)."""
    origin = "/".join(target.split("/", 3)[:3])
    return f"{ANY_GROUP}:{target_tag(f'{origin} {name}')}"


def stamp_names(prefix: str, tags: Sequence[str]) -> list[str]:
    """The keys of the stamps of ``tags``."""
    return [f"{prefix}s:{tag}" for tag in tags]


def response_name(prefix: str, digest: str, kind: Kind, headers: Mapping[bytes, bytes]) -> str:
    """The key of the response to a request that sent these values in the fields that ``kind`` names."""
    normal = {name: _normal(name, headers[name]) for name in kind if name in headers}
    values = blake2b(b",".join(kind) + b"\n" + vary_digest(normal, kind), digest_size=16).hexdigest()
    return f"{prefix}e:{digest}:{values}"


def kind_of(vary: Sequence[bytes], request: Mapping[bytes, bytes]) -> Kind:
    """What the response to this request varies on, where its ``Vary`` names these fields."""
    names = set(vary)
    return tuple(sorted(names if SAID_ELSEWHERE.isdisjoint(request) else names | SAID_ELSEWHERE))


def fitting(kinds: Sequence[Kind], request: Mapping[bytes, bytes]) -> Sequence[Kind]:
    """Those that tell responses to this request from others'."""
    if SAID_ELSEWHERE.isdisjoint(request):
        return kinds
    return [kind for kind in kinds if SAID_ELSEWHERE.issubset(kind)]


def _normal(name: bytes, value: bytes) -> bytes:
    """One value for all that mean the same; blanks around the members of a list do not (RFC 9110 section 5.6.1).

    In quotes they do, and in fields that are no lists.
    """
    if name == b"forwarded":  # which tells who asked, too, and by way of whom
        pairs = [pair.strip(b" \t") for pair in value.replace(b",", b";").split(b";")]
        return b";".join([pair for pair in pairs if pair[:5].lower() == b"host=" or pair[:6].lower() == b"proto="])
    if b'"' in value or name in SINGLE:
        return value
    value = b",".join([part.strip(b" \t") for part in value.split(b",")])
    return value.lower() if name in CASELESS else value


def kinds_of(listed: bytes | None) -> tuple[Kind, ...]:
    """The kinds in a list as ``listed_kinds`` writes it."""
    if not listed:
        return ()
    return tuple(() if line == b"-" else tuple(line.split(b",")) for line in listed.split(b"\n", MAX_KINDS)[:MAX_KINDS])


def listed_kinds(kinds: Sequence[Kind]) -> bytes:
    """The kinds as they are kept: a line for each.

    >>> kinds_of(listed_kinds([(), (b"accept", b"x")]))
    ((), (b'accept', b'x'))
    """
    return b"\n".join([b",".join(kind) or b"-" for kind in kinds])
