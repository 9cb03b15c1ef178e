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


class Shelf:
    """Finds, keeps and ends stored responses.

    Args:
        cache: in whose store and namespace; nothing here depends on its database.
    """

    def __init__(self, cache: Cache) -> None:
        self._store = cache.store
        self._keyspace = cache.keyspace
        self._longest = cache.stamps.ttl

    async def find(self, target: str, headers: Mapping[bytes, bytes]) -> Found:
        """Look for what a request with these header fields may be answered with.

        Raises:
            StoreUnavailableError: the store is down or slow.

        Cost: 2 round trips, 3 where groups are named; none while this process holds all of it.
        """
        prefix = self._prefix()
        digest = _digest(target)
        [listed, *stamps] = await self._get([f"{prefix}v:{digest}", *_stamp_names(prefix, [digest, ANY_GROUP])])
        kinds = _kinds(listed)
        known = dict(zip((digest, ANY_GROUP), await self._complete(prefix, (digest, ANY_GROUP), stamps), strict=True))
        names = [_name(prefix, digest, kind, headers) for kind in kinds]
        entries = [_split(data) for data in (await self._get(names) if names else [])]
        wanted = {tag for entry in entries if entry is not None for tag in entry[1].tags} - known.keys()
        if wanted:
            ordered = sorted(wanted)
            held = await self._get(_stamp_names(prefix, ordered))
            known |= {tag: stamp for tag, stamp in zip(ordered, held, strict=True) if stamp is not None}
        valid = [
            response
            for carried, response in (entry for entry in entries if entry is not None)
            if current(carried, [known.get(tag) for tag in response.tags])
        ]
        valid.sort(key=lambda response: response.received, reverse=True)
        return Found(tuple(valid), bool(kinds), target, prefix, kinds, known[digest] + known[ANY_GROUP])

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
