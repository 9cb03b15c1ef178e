"""Where an overview comes from, as its ``cacheInfo`` says: written when calculated, renewed when sent. Pure.

It is the last member of the body, so it is cut off and put on by searching from the end: nothing is parsed.
"""

from __future__ import annotations

from datetime import datetime

from tailrace.cache import Answer

__all__ = ["calculated_at", "renew_cache_info", "with_cache_info"]

MEMBER = b',"cacheInfo":'
MOMENT = b'"calculatedAt":"'


def with_cache_info(content: bytes, answer: Answer, moment: bytes) -> bytes:
    """``content``, a JSON object that is not empty, with where it comes from as its last member.

    Args:
        moment: for which it was calculated, as it is to be written.

    >>> with_cache_info(b'{"kpis":{}}', Answer(b"", "hit", 0.0, 1.5, 60.0), b"2026-03-31T11:00:00Z")[-57:]
    b',"calculatedAt":"2026-03-31T11:00:00Z","stale":false}}'
    """
    info = b'{"status":"%s","age":%.3f,"expires":%.3f,%s%s","stale":%s}}' % (
        answer.status.encode("ascii"),
        answer.age,
        answer.expires_in,
        MOMENT,
        moment,
        b"true" if answer.status == "stale" else b"false",
    )
    return content[:-1] + MEMBER + info


def renew_cache_info(body: bytes, answer: Answer) -> bytes:
    """The same overview with what ``answer`` says of where it comes from; whatever else ``body`` is stays as it is."""
    content, member, info = body.rpartition(MEMBER)
    if not member:
        return body
    return with_cache_info(content + b"}", answer, _moment(info))


def calculated_at(body: bytes) -> float:
    """The moment for which an overview was calculated, seconds since 1970."""
    return datetime.fromisoformat(_moment(body.rpartition(MEMBER)[2]).decode("ascii")).timestamp()


def _moment(info: bytes) -> bytes:
    return info.partition(MOMENT)[2].partition(b'"')[0]
