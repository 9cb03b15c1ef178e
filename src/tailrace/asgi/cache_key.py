"""Keys of stored responses: everything a response depends on, without confusion. Pure.

Each part is preceded by its length, so no two different requests give the same bytes; the digest keeps what is in them
out of the store, its logs and ``MONITOR``. The query is compared as it was sent, in the order of parameter names: two
spellings of one query may be stored twice, but never does one request receive the other's answer.

**Source:** RFC 9111 section 4 (cache key), RFC 3986 section 6.2.2 (what may be taken for equal).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from urllib.parse import parse_qsl, unquote_plus

__all__ = ["parsed_query", "response_key", "sorted_query", "vary_digest"]

KEY_BYTES = 20
"""Bytes of a key's digest: no collision is to be expected before 2**80 responses, nor can one be made."""


def sorted_query(query: bytes, names: Sequence[str] | None) -> list[bytes]:
    """The parameters by name, those of one name in the order sent; only ``names`` unless it is None.

    >>> sorted_query(b"b=2&a=1&a=0", None)
    [b'a=1', b'a=0', b'b=2']
    """
    pairs = [pair for pair in query.split(b"&") if pair]
    if names is not None:
        pairs = [pair for pair in pairs if unquote_plus(pair.partition(b"=")[0].decode("latin-1")) in names]
    return sorted(pairs, key=lambda pair: pair.partition(b"=")[0])


def parsed_query(query: bytes) -> dict[str, str]:
    """The parameters by decoded name; of several with one name, the last."""
    return dict(parse_qsl(query.decode("latin-1"), keep_blank_values=True, max_num_fields=None))


def response_key(
    scope: Mapping[str, object],
    query: Sequence[bytes],
    host: bytes,
    identity: str | None,
    vary: Sequence[bytes | None],
    further: str | None = None,
) -> str:
    """The key of the response to a GET.

    Args:
        scope: of the request.
        query: as ``sorted_query`` gives it.
        host: the ``Host`` field; responses may contain links made from it.
        identity: whose response it is, None for everyone's.
        vary: request header values that the response depends on, in the order of their sorted names.
        further: what else it depends on, such as the version of the API that the request means.
    """
    target = [str(scope.get(name, "")).encode("utf-8", "surrogatepass") for name in ("scheme", "root_path", "path")]
    parts: list[bytes | None] = [*target, host]
    parts += [None if part is None else part.encode("utf-8", "surrogatepass") for part in (identity, further)]
    parts += [b"%d" % len(query), *query, b"%d" % len(vary), *vary]
    framed = b"".join([b"-;" if part is None else b"%d:%s;" % (len(part), part) for part in parts])
    return "http:" + blake2b(framed, digest_size=KEY_BYTES).hexdigest()


def vary_digest(headers: Mapping[bytes, bytes], names: Sequence[bytes]) -> bytes:
    """What the request sent in the fields ``names``, as a digest: some of them are credentials."""
    values = [headers.get(name) for name in names]
    framed = b"".join([b"-;" if value is None else b"%d:%s;" % (len(value), value.strip()) for value in values])
    return blake2b(framed, digest_size=16).digest()
