"""Where stored responses lie: found by target and by what they vary on, ended by stamps. Touches: the store.

For each target there is a list of what its responses vary on, and for each of these one response for the values that a
request sent. A target has a stamp, as has each group; a response carries those that were there before it was asked for,
so one that was on its way while its target was changed is invalid from birth, on whatever process
(``docs/explanation/freshness.md``). A group is not known before the response names it, so of groups there is one stamp
more, for all: if that changed meanwhile, the response is not kept.

**Source:** RFC 9111 sections 2 and 4 (keys), 4.1 (Vary), 4.4 (invalidation); RFC 9875 (groups).
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b

from tailrace.asgi.cache_key import vary_digest
from tailrace.asgi.headers import token_list
from tailrace.asgi.http_cache.stored import StoredResponse
from tailrace.cache import Cache
from tailrace.core.freshness import STAMP_BYTES, current
from tailrace.errors import StoreUnavailableError

__all__ = ["Found", "Shelf"]

MAX_KINDS = 8
"""Different ``Vary`` of one target that are remembered; the newest go first."""

ANY_GROUP = "group"

REMEMBERED = 256
SMALL = 64 * 1024
"""Most targets and responses, and bytes of one, of which something is remembered beside the store, whose bounds would
otherwise be none; forgetting costs one decoding."""


@dataclass(frozen=True, slots=True)
class Found:
    """What lies on the shelf for a request.

    Attributes:
        responses: those that match it, the newest first.
        others: there are some for other requests to the same target.
        target, prefix, kinds: where it was looked for.
        stamps: of the target and of any group, joined, before anything was asked for.
    """

    responses: tuple[StoredResponse, ...]
    others: bool
    target: str
    prefix: str
    kinds: tuple[tuple[bytes, ...], ...]
    stamps: bytes


@dataclass(slots=True)
class _Place:
    """What is remembered of a target. ``names``: of the list of kinds, and of the stamps of target and groups."""

    digest: str
    prefix: str
    names: list[str]
    listed: bytes | None = None
    kinds: tuple[tuple[bytes, ...], ...] = ()
    plain: str = ""


class Shelf:
    """Finds, keeps and ends stored responses.

    Args:
        cache: in whose store and namespace; nothing here depends on its database.
    """

    def __init__(self, cache: Cache) -> None:
        self._store = cache.store
        self._keyspace = cache.keyspace
        self._longest = cache.stamps.ttl
        self._places: dict[str, _Place] = {}
        self._read: dict[str, tuple[bytes, bytes, StoredResponse]] = {}

    def find_now(self, target: str, headers: Mapping[bytes, bytes]) -> Found | None:
        """What ``find`` gives, if this process holds all of it; else None.

        Cost: 4 microseconds where nothing varies.

        Raises:
            StoreUnavailableError: the store is not connected.
        """
        place = self._place(target)
        found = self._store.peek(place.names)
        if found is None or found[1] is None or found[2] is None:
            return None
        names = self._names(place, found[0], headers)
        data = self._store.peek(names) if names else []
        if data is None:
            return None
        entries = self._entries(names, data)
        if any(len(response.tags) > 1 for _, response in entries):
            return None  # groups have stamps of their own
        valid = [response for carried, response in entries if carried == found[1]]
        return _found(place, valid, found[1] + found[2], target)

    async def find(self, target: str, headers: Mapping[bytes, bytes]) -> Found:
        """Look for what a request with these header fields may be answered with.

        Raises:
            StoreUnavailableError: the store is down or slow.

        Cost: 2 round trips, 3 where groups are named; none while this process holds all of it.
        """
        place = self._place(target)
        [listed, *stamps] = await self._get(place.names)
        tags = (place.digest, ANY_GROUP)
        mine, any_group = await self._complete(place.prefix, tags, stamps)
        names = self._names(place, listed, headers)
        entries = self._entries(names, await self._get(names) if names else [])
        known: dict[str, bytes | None] = {place.digest: mine}
        groups = sorted({tag for _, response in entries for tag in response.tags} - known.keys())
        if groups:
            known |= zip(groups, await self._get(_stamp_names(place.prefix, groups)), strict=True)
        valid = [
            response for carried, response in entries if current(carried, [known.get(tag) for tag in response.tags])
        ]
        return _found(place, valid, mine + any_group, target)

    async def keep(
        self, found: Found, response: StoredResponse, request: Mapping[bytes, bytes], groups: Sequence[str], ttl: float
    ) -> bool:
        """Keep ``response`` for ``ttl`` seconds, unless its target or a group was changed since ``found``.

        Args:
            found: what ``find`` gave before the response was asked for.
            request: the header fields that it was made for.
            groups: that the response names, those of its origin.

        Returns:
            False if it was not kept.

        Raises:
            StoreUnavailableError: the store is down or slow.
        """
        prefix = self._prefix()
        if prefix != found.prefix:
            return False
        digest = _digest(found.target)
        tags = (digest, *dict.fromkeys(_group(found.target, name) for name in groups))
        now = await self._complete(
            prefix, (ANY_GROUP, *tags[1:]), await self._get(_stamp_names(prefix, [ANY_GROUP, *tags[1:]]))
        )
        target_stamp, any_group = found.stamps[:STAMP_BYTES], found.stamps[STAMP_BYTES:]
        if now[0] != any_group:
            return False
        kind = tuple(sorted(set(token_list(response.fields.get(b"vary")))))
        carried = target_stamp + b"".join(now[1:])
        data = len(tags).to_bytes(2, "big") + carried + _tagged(response, tags).to_bytes()
        kinds = (kind, *[each for each in found.kinds if each != kind])[:MAX_KINDS]
        listed = b"\n".join([b",".join(each) or b"-" for each in kinds])
        seconds = min(ttl, self._longest)
        await self._store.set({_name(prefix, digest, kind, request): data}, seconds)
        if kinds != found.kinds:
            await self._store.set({f"{prefix}v:{digest}": listed}, self._longest)
        return True

    async def end(self, targets: Sequence[str], groups: Sequence[str] = ()) -> None:
        """End the life of everything stored for ``targets``, and of what is in ``groups`` of the first one's origin.

        Raises:
            StoreUnavailableError: the store is down or slow; what it holds may still be served.
        """
        prefix = self._prefix()
        tags = [_digest(target) for target in targets]
        if groups:
            tags += [*[_group(targets[0], name) for name in groups], ANY_GROUP]
        stamps = {name: os.urandom(STAMP_BYTES) for name in _stamp_names(prefix, tags)}
        await self._store.set(stamps, self._longest)

    def _place(self, target: str) -> _Place:
        prefix = self._prefix()
        place = self._places.get(target)
        if place is None or place.prefix != prefix:
            digest = _digest(target)
            names = [f"{prefix}v:{digest}", *_stamp_names(prefix, [digest, ANY_GROUP])]
            if len(self._places) >= REMEMBERED:
                self._places.clear()
            place = self._places[target] = _Place(digest, prefix, names)
            place.plain = _name(prefix, digest, (), {})
        return place

    def _names(self, place: _Place, listed: bytes | None, headers: Mapping[bytes, bytes]) -> list[str]:
        """The keys of the responses that may match."""
        if listed != place.listed:
            place.listed, place.kinds = listed, _kinds(listed)
        return [_name(place.prefix, place.digest, kind, headers) if kind else place.plain for kind in place.kinds]

    def _entries(self, names: Sequence[str], found: Sequence[bytes | None]) -> list[tuple[bytes, StoredResponse]]:
        """The stamps carried and the response of each; decoded once while the store gives the same bytes."""
        entries = []
        for name, data in zip(names, found, strict=True):
            if data is None:
                continue
            known = self._read.get(name)
            if known is None or known[0] is not data:
                split = _split(data)
                if split is None:
                    continue
                known = (data, *split)
                if len(data) <= SMALL:
                    if len(self._read) >= REMEMBERED:
                        self._read.clear()
                    self._read[name] = known
            entries.append(known[1:])
        return entries

    def _prefix(self) -> str:
        prefix = self._keyspace.prefix(database=False)
        if prefix is None:
            raise StoreUnavailableError("the store is not connected")
        return prefix + "h:"

    async def _get(self, names: Sequence[str]) -> Sequence[bytes | None]:
        return self._store.peek(names) or await self._store.get(names)

    async def _complete(self, prefix: str, tags: Sequence[str], found: Sequence[bytes | None]) -> list[bytes]:
        """The stamps, after making those that are missing."""
        if None not in found:
            return list(found)  # type: ignore[arg-type]
        names = _stamp_names(prefix, tags)
        return await self._store.add({name: os.urandom(STAMP_BYTES) for name in names}, self._longest)


def _found(place: _Place, valid: list[StoredResponse], stamps: bytes, target: str) -> Found:
    if len(valid) > 1:
        valid.sort(key=lambda response: response.received, reverse=True)
    return Found(tuple(valid), bool(place.kinds), target, place.prefix, place.kinds, stamps)


def _digest(target: str) -> str:
    return blake2b(target.encode("utf-8", "surrogatepass"), digest_size=20).hexdigest()


def _group(target: str, name: str) -> str:
    """A group's tag: groups of different origins have nothing to do with each other (RFC 9875 section 2)."""
    origin = "/".join(target.split("/", 3)[:3])
    return f"{ANY_GROUP}:{_digest(f'{origin} {name}')}"


def _stamp_names(prefix: str, tags: Sequence[str]) -> list[str]:
    return [f"{prefix}s:{tag}" for tag in tags]


def _name(prefix: str, digest: str, kind: tuple[bytes, ...], headers: Mapping[bytes, bytes]) -> str:
    """The key of the response to a request that sent these values in the fields that ``kind`` names."""
    normal = {name: _normal(headers[name]) for name in kind if name in headers}
    values = blake2b(b",".join(kind) + b"\n" + vary_digest(normal, kind), digest_size=16).hexdigest()
    return f"{prefix}e:{digest}:{values}"


def _normal(value: bytes) -> bytes:
    """Blanks around the members of a list mean nothing (RFC 9110 section 5.6.1)."""
    return b",".join([part.strip(b" \t") for part in value.split(b",")])


def _kinds(listed: bytes | None) -> tuple[tuple[bytes, ...], ...]:
    if not listed:
        return ()
    return tuple(() if line == b"-" else tuple(line.split(b",")) for line in listed.split(b"\n"))


def _split(data: bytes | None) -> tuple[bytes, StoredResponse] | None:
    """The stamps that an entry carries, and its response."""
    if data is None or len(data) < 2:
        return None
    end = 2 + int.from_bytes(data[:2], "big") * STAMP_BYTES
    response = StoredResponse.from_bytes(data[end:])
    return None if response is None else (data[2:end], response)


def _tagged(response: StoredResponse, tags: tuple[str, ...]) -> StoredResponse:
    return StoredResponse(
        response.status,
        response.headers,
        response.body,
        response.received,
        response.initial_age,
        response.lifetime,
        tags,
    )
