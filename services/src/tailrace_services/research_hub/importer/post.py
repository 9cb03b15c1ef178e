"""What a row of an export means as a post. Pure.

An export has a row for each submission to a subreddit, and its first line names the columns:

| a post has | the rule |
|---|---|
| address | ``permalink``, the submission's own; what it links to is in its text |
| text | ``selftext``; of a submission that has none, the ``url`` that it links to |
| moment | ``created_utc``, seconds since 1970 |
| figures | ``score``, ``ups``, ``downs`` and ``num_comments`` (as ``comments``), as far as there are such columns |
| subreddit | ``subreddit``; without that column, the name of the file |
| author | ``author``; without that column, whoever published it, by ``domain``: for a text, that is the subreddit |
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import urlsplit

from tailrace_services.data.csv_file import RowError, short

__all__ = ["PLATFORM", "REQUIRED", "Post", "missing_columns", "parse_row"]

PLATFORM = "reddit"
REQUIRED = ("created_utc", "title", "permalink", "selftext", "url", "score", "num_comments")
_AUTHORS = ("author", "domain")
"""One of these says who wrote it."""
_FIGURES = {"score": "score", "ups": "ups", "downs": "downs", "num_comments": "comments"}
_SITE = "https://www.reddit.com"
_FIRST = datetime(2005, 6, 1, tzinfo=UTC).timestamp()
"""Nothing was submitted before."""
_LARGEST = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Post:
    """A submission. ``author`` is a name on the platform, ``display_name`` what people are shown of it."""

    author: str
    display_name: str
    url: str
    title: str
    body: str
    published_at: datetime
    metrics: Mapping[str, int | str]


def missing_columns(header: Sequence[str]) -> list[str]:
    """What a header lacks of an export's.

    >>> missing_columns(["created_utc", "title", "permalink", "selftext", "url", "score", "num_comments", "domain"])
    []
    >>> missing_columns(["title", "url"])[:2]
    ['created_utc', 'permalink']
    """
    missing = [name for name in REQUIRED if name not in header]
    return missing if any(name in header for name in _AUTHORS) else [*missing, " or ".join(_AUTHORS)]


def parse_row(fields: Mapping[str, str], subreddit: str, latest: datetime) -> Post:
    """The post that a row is.

    Args:
        fields: by the names of columns.
        subreddit: which one, where no column says.
        latest: no post is newer.

    Raises:
        RowError: it is none.
    """
    title = fields["title"].strip()
    if not title:
        raise RowError("title is empty")
    subreddit = fields.get("subreddit", "").strip() or subreddit
    author = (fields.get("author") or fields.get("domain") or "").strip()
    if not author:
        raise RowError(f"{'author' if 'author' in fields else 'domain'} is empty")
    return Post(
        author=author,
        display_name=f"r/{subreddit}" if author == f"self.{subreddit}" else author,
        url=_address(fields["permalink"]),
        title=title,
        body=fields["selftext"].strip() or fields["url"].strip(),
        published_at=_moment(fields["created_utc"], latest),
        metrics={
            "subreddit": subreddit,
            **{shown: _figure(name, fields[name]) for name, shown in _FIGURES.items() if name in fields},
        },
    )


def _address(text: str) -> str:
    address = _SITE + text.strip() if text.startswith("/r/") else text.strip()
    try:
        parts = urlsplit(address)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in ("http", "https") or not parts.netloc or not parts.path.startswith("/r/"):
        raise RowError(f"permalink is not the address of a submission: {short(text)}")
    return address


def _moment(text: str, latest: datetime) -> datetime:
    try:
        seconds = float(text)
    except ValueError:
        raise RowError(f"created_utc is not a number of seconds: {short(text)}") from None
    if not math.isfinite(seconds) or not _FIRST <= seconds <= latest.timestamp():
        raise RowError(f"created_utc is before 2005 or in the future: {short(text)}")
    return datetime.fromtimestamp(seconds, UTC)


def _figure(name: str, text: str) -> int:
    digits = text.strip().removeprefix("-")
    if not digits.isascii() or not digits.isdigit() or len(digits) > 10 or int(digits) > _LARGEST:
        raise RowError(f"{name} is not a whole number: {short(text)}")
    return int(text)
