"""Where stored responses lie: found by target and by what they vary on, ended by stamps. Touches: the store.

For each target there is a list of what its responses vary on, and for each of these one response for the values that a
request sent. A target has a stamp, as has each group; a response carries those that were there before it was asked for,
so one that was on its way while its target was changed is invalid from birth, on whatever process
(``docs/explanation/freshness.md``). A group is not known before the response names it, so of groups there is one stamp
more, for all: if that changed meanwhile, the response is not kept.

What ``No-Vary-Search`` says of a response holds for its path: the rules are noted there, and what a rule makes
equivalent has one place more, whose responses carry the path's stamp.

**Source:** RFC 9111 sections 2 and 4 (keys), 4.1 (Vary), 4.4 (invalidation); RFC 9875 (groups); No-Vary-Search.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from tailrace.asgi.headers import token_list
from tailrace.asgi.http_cache.invalidation import Invalidation
from tailrace.asgi.http_cache.parts import is_part, span_within
from tailrace.asgi.http_cache.places import (
    ANY_GROUP,
    MAX_KINDS,
    Kind,
    Place,
    fitting,
    group_tag,
    kind_of,
    kinds_of,
    listed_kinds,
    path_tag,
    response_name,
    ruled_target,
    stamp_names,
    target_tag,
    unversioned,
)
from tailrace.asgi.http_cache.stored import StoredResponse
from tailrace.cache import Cache
from tailrace.core.freshness import STAMP_BYTES, current
from tailrace.core.no_vary_search import SearchVariation, parse_no_vary_search
from tailrace.errors import StoreUnavailableError

__all__ = ["Found", "Shelf"]

REMEMBERED = 256
SMALL = 64 * 1024
"""Most targets and responses, and bytes of one, of which something is remembered beside the store, whose bounds would
otherwise be none; forgetting costs one decoding."""

MAX_RULES = 4
"""Different ``No-Vary-Search`` of one path that are remembered; the newest go first."""


@dataclass(frozen=True, slots=True)
class Stamps:
    """Those of a target, of all that has its path, and of any group, before anything was asked for."""

    target: bytes
    path: bytes
    group: bytes


@dataclass(frozen=True, slots=True)
class Found:
    """What lies on the shelf for a request.

    Attributes:
        responses: those that match it, the newest first.
        parts: what of them has some of the body only.
        others: there are some for other requests to the same target.
        target, prefix, kinds: where it was looked for.
        stamps: as they were.
    """

    responses: tuple[StoredResponse, ...]
    others: bool
    target: str
    prefix: str
    kinds: tuple[Kind, ...]
    stamps: Stamps
    parts: tuple[StoredResponse, ...] = ()

    def for_request(self, ranged: bool, request: Mapping[bytes, bytes], now: float) -> Found:
        """The same, with those among ``responses`` that may answer it: parts only if they have what it asks for.

        Args:
            ranged: it is a GET that asks for a range.
        """
        parts = tuple([each for each in self.responses if is_part(each)])
        if not parts:
            return self
        fit = [each for each in self.responses if not is_part(each) or (ranged and span_within(each, request, now))]
        return replace(self, responses=tuple(fit), parts=parts)


class Shelf:
    """Finds, keeps and ends stored responses.

    Args:
        cache: in whose store and namespace; nothing here depends on its database.
    """

    def __init__(self, cache: Cache) -> None:
        self._store = cache.store
        self._keyspace = cache.keyspace
        self._longest = cache.stamps.ttl
        self._most = cache.settings.max_value_bytes
        self._invalidation = Invalidation(self._store, self._prefix, self._longest)
        self._places: dict[str, Place] = {}
        self._read: dict[str, tuple[bytes, bytes, StoredResponse]] = {}

    def find_now(self, target: str, headers: Mapping[bytes, bytes]) -> Found | None:
        """What ``find`` gives, if this process holds all of it; else None.

        Cost: 4 microseconds where nothing varies.

        Raises:
            StoreUnavailableError: the store is not connected.
        """
        place = self._place(target)
        found = None if self._invalidation.owing else self._store.peek(place.names)
        if found is None or None in found[2:]:
            return None
        names = self._names(place, found[0], headers)
        others = self._others(place, found[1])
        if others:
            lists = self._store.peek([other.names[0] for other in others])
            if lists is None:
                return None
            names += [
                name
                for other, listed in zip(others, lists, strict=True)
                for name in self._names(other, listed, headers)
            ]
        data = self._store.peek(names) if names else []
        if data is None:
            return None
        entries = self._entries(names, data)
        if any(len(response.tags) > 1 for _, response in entries):
            return None  # groups have stamps of their own
        stamps = Stamps(*found[2:])  # type: ignore[arg-type]
        now = {place.tag: stamps.target, place.path: stamps.path}
        valid = [response for carried, response in entries if carried == now.get(response.tags[0])]
        return _found(place, valid, stamps)

    async def find(self, target: str, headers: Mapping[bytes, bytes]) -> Found:
        """Look for what a request with these header fields may be answered with.

        Raises:
            StoreUnavailableError: the store is down or slow.

        Cost: 2 round trips, one more each where groups are named and where ``No-Vary-Search`` is; none while this
        process holds all of it.
        """
        if self._invalidation.owing:
            await self._invalidation.settle()
        place = self._place(target)
        [listed, ruled, *held] = await self._get(place.names)
        stamps = Stamps(*await self._complete(place.prefix, (place.tag, place.path, ANY_GROUP), held))
        names = self._names(place, listed, headers)
        others = self._others(place, ruled)
        if others:
            lists = await self._get([other.names[0] for other in others])
            for other, its in zip(others, lists, strict=True):
                names += self._names(other, its, headers)
        entries = self._entries(names, await self._get(names) if names else [])
        known: dict[str, bytes | None] = {place.tag: stamps.target, place.path: stamps.path}
        groups = sorted({tag for _, response in entries for tag in response.tags} - known.keys())
        if groups:
            known |= zip(groups, await self._get(stamp_names(place.prefix, groups)), strict=True)
        valid = [
            response for carried, response in entries if current(carried, [known.get(tag) for tag in response.tags])
        ]
        return _found(place, valid, stamps)

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
        tags = tuple(dict.fromkeys(group_tag(found.target, name) for name in groups))
        of_groups: list[bytes] = []
        if tags:
            names = stamp_names(prefix, [ANY_GROUP, *tags])
            [any_group, *of_groups] = await self._complete(prefix, (ANY_GROUP, *tags), await self._get(names))
            if any_group != found.stamps.group:
                return False
        place, kinds, stamp = self._place(found.target), found.kinds, found.stamps.target
        tag = place.tag
        rule = parse_no_vary_search(response.fields.get(b"no-vary-search"))
        if rule is not None:
            stamp, tag = found.stamps.path, place.path
            place = await self._rule(place, rule)
            kinds = kinds_of((await self._get(place.names[:1]))[0])
        kind = kind_of(token_list(response.fields.get(b"vary")), request)
        carried = (1 + len(tags)).to_bytes(2, "big") + stamp + b"".join(of_groups)
        data = carried + replace(response, tags=(tag, *tags)).to_bytes()
        if len(data) > self._most:
            return False
        await self._store.set({response_name(prefix, place.digest, kind, request): data}, min(ttl, self._longest))
        if not kinds or kinds[0] != kind:
            kinds = (kind, *[each for each in kinds if each != kind])[:MAX_KINDS]
            await self._store.set({place.names[0]: listed_kinds(kinds)}, self._longest)
        return True

    async def end(self, targets: Sequence[str], groups: Sequence[str] = ()) -> None:
        """End the life of everything stored for ``targets``, and of what is in ``groups`` of the first one's origin.

        Raises:
            StoreUnavailableError: the store is down or slow; other processes may still serve what it holds.
        """
        tags = [tag for target in map(unversioned, targets) for tag in (target_tag(target), path_tag(target))]
        if groups:
            tags += [*[group_tag(targets[0], name) for name in groups], ANY_GROUP]
        await self._invalidation.invalidate(tags)

    async def aclose(self) -> None:
        """End what runs in the background."""
        await self._invalidation.aclose()

    async def _rule(self, place: Place, rule: SearchVariation) -> Place:
        """The place of what ``rule`` makes equivalent to ``place``, after noting the rule for the path."""
        [ruled] = await self._get(place.names[1:2])
        text = str(rule).encode("ascii")
        rules = [each for each in (ruled or b"").split(b"\n") if each]
        if not rules or rules[0] != text:
            rules = [text, *[each for each in rules if each != text]][:MAX_RULES]
            await self._store.set({place.names[1]: b"\n".join(rules)}, self._longest)
        return self._place(ruled_target(place.target, rule))

    def _others(self, place: Place, ruled: bytes | None) -> tuple[Place, ...]:
        """The places of what the path's rules make equivalent."""
        if ruled != place.ruled:
            rules = [parse_no_vary_search(text) for text in (ruled or b"").split(b"\n", MAX_RULES)[:MAX_RULES]]
            place.ruled = ruled
            place.others = tuple(self._place(ruled_target(place.target, rule)) for rule in rules if rule is not None)
        return place.others

    def _place(self, target: str) -> Place:
        prefix = self._prefix()
        place = self._places.get(target)
        if place is None or place.prefix != prefix:
            digest, tag, path = target_tag(target), target_tag(unversioned(target)), path_tag(unversioned(target))
            names = [f"{prefix}v:{digest}", f"{prefix}n:{path}", *stamp_names(prefix, [tag, path, ANY_GROUP])]
            if len(self._places) >= REMEMBERED:
                self._places.clear()
            plain = response_name(prefix, digest, (), {})
            place = self._places[target] = Place(target, digest, tag, path, prefix, names, plain)
        return place

    def _names(self, place: Place, listed: bytes | None, headers: Mapping[bytes, bytes]) -> list[str]:
        """The keys of the responses that may match."""
        if listed != place.listed:
            place.listed, place.kinds = listed, kinds_of(listed)
        return [
            response_name(place.prefix, place.digest, kind, headers) if kind else place.plain
            for kind in fitting(place.kinds, headers)
        ]

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
        """The stamps, after making those that are missing: all as the store has them then, late copies or not."""
        if None not in found:
            return list(found)  # type: ignore[arg-type]
        names = stamp_names(prefix, tags)
        return await self._store.add({name: os.urandom(STAMP_BYTES) for name in names}, self._longest)


def _found(place: Place, valid: list[StoredResponse], stamps: Stamps) -> Found:
    if len(valid) > 1:
        valid.sort(key=lambda response: response.received, reverse=True)
    return Found(tuple(valid), bool(place.kinds), place.target, place.prefix, place.kinds, stamps)


def _split(data: bytes) -> tuple[bytes, StoredResponse] | None:
    """The stamps that an entry carries, and its response; None for what is no entry."""
    if len(data) < 2:
        return None
    end = 2 + int.from_bytes(data[:2], "big") * STAMP_BYTES
    response = StoredResponse.from_bytes(data[end:])
    return None if response is None or not response.tags else (data[2:end], response)
