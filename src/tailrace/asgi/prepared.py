"""What is remembered of requests to cached routes, so that the next one like it finds it ready. Pure but for the cache.

A request is known again by everything that its answer may depend on: target, host, identity, and the fields that vary.
Bounded; forgetting costs one preparation.
"""

from __future__ import annotations

from collections.abc import Hashable

from tailrace.asgi.cache_key import parsed_query, response_key, sorted_query, vary_digest
from tailrace.asgi.exchange import Exchange
from tailrace.asgi.instruments import Record
from tailrace.asgi.route_policy import Finish, Resolved
from tailrace.asgi.stored_response import StoredHead, decode_head, head_length
from tailrace.asgi.types import Header
from tailrace.cache import Cache
from tailrace.cache.lookup import Lookup
from tailrace.stores.held import Held

__all__ = ["Prepared", "PreparedRequests", "fields_of_hit"]

MOST = 4096
"""Most requests that are remembered."""


def fields_of_hit(age: float, ttl: float) -> list[Header]:
    """``Age`` and ``Cache-Status`` of a response from the store. **Source:** RFC 9111 section 5.1; RFC 9211."""
    return [(b"age", b"%d" % age), (b"cache-status", b"tailrace; hit; ttl=%d" % (ttl - age))]


class Prepared:
    """One kind of request: key, tags, and the head of the response last seen.

    Attributes:
        lookup: what to ask the cache.
        names: the request fields that are in the key.
        finish: what makes the body that is sent, where the stored one is not sent as it is.
        skip_until: monotonic time before which the application is asked at once.
        recorders: for each status, who is told of a hit.
        sent_as_it_is, to_who_accepts: the head of a response that is sent as it is stored to requests with this
            ``Accept-Encoding``; None while there is none.
    """

    __slots__ = (
        "_again",
        "_age",
        "_fields",
        "_fields_of",
        "_head",
        "_left",
        "_lines",
        "_lines_from",
        "_lines_ttl",
        "_lines_until",
        "_raw",
        "finish",
        "lookup",
        "names",
        "recorders",
        "resolved",
        "sent_as_it_is",
        "skip_until",
        "to_who_accepts",
    )

    def __init__(self, lookup: Lookup, resolved: Resolved, names: tuple[bytes, ...]) -> None:
        self.lookup = lookup
        self.resolved = resolved
        self.names = names
        self.finish: Finish | None = None if resolved.policy is None else resolved.policy.finish
        self.skip_until = 0.0
        self.recorders: dict[int, Record] = {}
        self.sent_as_it_is: StoredHead | None = None
        self.to_who_accepts: bytes | None = None
        self._raw = b""
        self._again: Held | None = None
        self._head: StoredHead | None = None
        self._fields: list[Header] = []
        self._fields_of: StoredHead | None = None
        self._age = self._left = 0
        self._lines = b""
        self._lines_ttl = self._lines_from = self._lines_until = -1.0

    def head_found(self, data: bytes) -> StoredHead | None:
        """``head_of`` what ``lookup`` gave just now, not compared byte by byte where that is what it gave before."""
        held = self.lookup.held
        if held is not None and held is self._again:
            return self._head
        head = self.head_of(data, self.lookup.start)
        self._again = held
        return head

    def head_of(self, data: bytes, start: int = 0) -> StoredHead | None:
        """The decoded head of the stored response that begins at ``start``, None if it is none.

        Decoded once while it stays the same, byte by byte.
        """
        head = self._head
        end = start + len(self._raw)
        if head is not None and data.startswith(self._raw, start) and len(data) - end == head.length:
            return head
        value = data[start:]
        size = head_length(value)
        if size is None:
            return None
        self._again = None
        self._raw = value[:size]
        self._head = decode_head(self._raw, len(value) - size)
        return self._head

    def fields(self, head: StoredHead, age: float, ttl: float) -> list[Header]:
        """The fields of a hit; made once a second. Not to be changed."""
        whole, left = int(age), int(ttl - age)
        if head is not self._fields_of or whole != self._age or left != self._left:
            self._fields_of, self._age, self._left = head, whole, left
            self._fields = [*head.headers, *fields_of_hit(age, ttl)]
        return self._fields

    def lines(self) -> bytes:
        """``fields_of_hit`` of what ``lookup`` gave just now, as HTTP/1.1 sends them; made about once a second."""
        age, ttl = self.lookup.age, self.lookup.ttl
        if ttl != self._lines_ttl or not self._lines_from <= age <= self._lines_until:
            whole, left = int(age), int(ttl - age)
            self._lines = b"age: %d\r\ncache-status: tailrace; hit; ttl=%d\r\n" % (whole, left)
            self._lines_ttl, self._lines_from = ttl, age
            # Up to where both figures stay as they are, but for a millisecond, where rounding makes that doubtful.
            until = min(whole + 1, ttl - left) - 0.001
            self._lines_until = until if age <= until and int(ttl - until) == left else age
        return self._lines


class PreparedRequests:
    """Finds what is remembered of a request, or makes it.

    Args:
        cache: which the look-ups ask.

    Attributes:
        monotonic: what tells the time that may be handed in to them.
    """

    def __init__(self, cache: Cache) -> None:
        self._cache = cache
        self.monotonic = cache.monotonic
        self._known: dict[Hashable, Prepared] = {}
        self._learned_vary: dict[str, tuple[bytes, ...]] = {}

    def use(self, cache: Cache) -> None:
        """Ask another cache from now on."""
        self._cache = cache
        self.monotonic = cache.monotonic
        self._known.clear()

    def known(self, exchange: Exchange, resolved: Resolved, identity: str | None) -> Prepared | None:
        """What is remembered of such a request."""
        names = self._learned_vary.get(resolved.template, resolved.vary) if self._learned_vary else resolved.vary
        known = self._known.get(self._request(exchange, names, identity))
        return known if known is not None and known.resolved is resolved and known.names is names else None

    def prepare(self, exchange: Exchange, resolved: Resolved, identity: str | None) -> Prepared:
        """The same, made if need be."""
        known = self.known(exchange, resolved, identity)
        if known is not None:
            return known
        scope, headers, policy = exchange.scope, exchange.headers, resolved.policy
        assert policy is not None
        names = self.vary(resolved)
        owner = None if policy.shared else identity
        digest = (vary_digest(headers, names),) if names else ()
        query = sorted_query(scope["query_string"], policy.query)
        key = response_key(scope, query, headers.get(b"host", b""), owner, digest, exchange.key_part)
        tags = policy.depends_on
        if callable(tags):
            tags = tuple(tags(owner, resolved.path_params, parsed_query(scope["query_string"])))
        if len(self._known) >= MOST:
            self._known.clear()
        lookup = self._cache.prepare(key, policy=resolved.cache_policy, depends_on=tags)
        prepared = self._known[self._request(exchange, names, identity)] = Prepared(lookup, resolved, names)
        return prepared

    def vary(self, resolved: Resolved) -> tuple[bytes, ...]:
        """The request fields that are in the keys of a route."""
        return self._learned_vary.get(resolved.template, resolved.vary)

    def learn(self, resolved: Resolved, names: tuple[bytes, ...]) -> None:
        """From now on ``names`` are in the route's keys. Bounded: by routes, and by the names one response may have."""
        self._learned_vary[resolved.template] = tuple(sorted({*self.vary(resolved), *names}))

    def _request(self, exchange: Exchange, names: tuple[bytes, ...], identity: str | None) -> Hashable:
        scope, headers = exchange.scope, exchange.headers
        request = (
            scope["path"],
            scope["query_string"],
            identity,
            headers.get(b"host"),
            scope.get("scheme"),
            exchange.root_path,
            exchange.key_part,
        )
        return (*request, *[headers.get(name) for name in names]) if names else request
