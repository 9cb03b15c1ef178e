"""What is found at a URL, in the service's own terms. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from urllib.parse import urljoin, urlsplit

from tailrace.errors import UrlRefusedError
from tailrace.upstream.outbound_url import parse_url

__all__ = ["Found", "ScrapedPost", "clean", "link"]

LONGEST_TITLE = 300
LONGEST_BODY = 100_000
LONGEST_NAME = 100
"""Characters; what is longer is cut."""

_SPACES = re.compile(r"\s+")
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class ScrapedPost:
    """One post. ``platform`` is the host it was found at; ``published_at`` is None if it does not say."""

    url: str
    platform: str
    author: str
    title: str
    body: str
    published_at: datetime | None


@dataclass(frozen=True, slots=True)
class Found:
    """What a URL led to. ``url`` is where, after redirects; posts have different URLs, in their order there."""

    url: str
    kind: Literal["page", "feed"]
    posts: tuple[ScrapedPost, ...]

    @property
    def host(self) -> str:
        """Where it was found. What is known of other hosts' posts is not changed by it: anybody can write a feed."""
        return urlsplit(self.url).hostname or ""


def clean(text: str, longest: int = LONGEST_BODY) -> str:
    """One line of text that a database takes.

    >>> clean(" a\\n\\tb\\x00 ")
    'a b'
    """
    return _SPACES.sub(" ", _UNSTORABLE.sub("", text)).strip()[:longest].rstrip()


def link(base: str, reference: str) -> str | None:
    """The http or https URL that ``reference`` means at ``base``, in one spelling; None if it is none.

    >>> link("https://example.com/feed", "/a b"), link("https://example.com/", "javascript:alert(1)")
    (None, None)
    >>> link("https://example.com/feed", "post?id=1#top")
    'https://example.com/post?id=1'
    """
    try:
        return str(parse_url(urljoin(base, reference.strip())))
    except (ValueError, UrlRefusedError):
        return None
