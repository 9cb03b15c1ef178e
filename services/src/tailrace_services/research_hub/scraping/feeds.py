"""A feed, RSS 2.0 or Atom, as posts. Pure: the standard library's expat does the parsing.

A document type is refused where it begins, before anything of it is read: without one there are no entities to expand
(billion laughs) and none to fetch (XXE). Depth and number of entries are bounded; what is over the number is left out.

**Source:** RSS 2.0 specification; RFC 4287 (Atom) sections 4.1.2 and 4.2; RFC 5322 section 3.3 (dates of RSS).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final
from urllib.parse import urlsplit
from xml.parsers import expat

from tailrace.errors import UpstreamError
from tailrace_services.research_hub.scraping.pages import moment, text_of
from tailrace_services.research_hub.scraping.posts import LONGEST_NAME, LONGEST_TITLE, ScrapedPost, clean, link

__all__ = ["MOST_ENTRIES", "read_feed"]

MOST_ENTRIES = 200
DEEPEST = 64
"""Elements within each other."""

ATOM: Final = "http://www.w3.org/2005/Atom "
FIELDS = {
    "title": "title",
    "link": "link",
    "guid": "guid",
    "description": "summary",
    "http://purl.org/rss/1.0/modules/content/ encoded": "body",
    "author": "author",
    "http://purl.org/dc/elements/1.1/ creator": "author",
    "pubDate": "published",
    "http://purl.org/dc/elements/1.1/ date": "published",
    f"{ATOM}title": "title",
    f"{ATOM}summary": "summary",
    f"{ATOM}content": "body",
    f"{ATOM}published": "published",
    f"{ATOM}updated": "updated",
}
"""Elements right below an entry, and what they say of it."""


def read_feed(body: bytes, url: str) -> tuple[ScrapedPost, ...]:
    """The entries that name a page of their own, each URL once. Takes milliseconds: call it on a thread.

    Args:
        url: where the feed was found, against which references are resolved.

    Raises:
        UpstreamError: it is not well-formed, no feed, or declares a document type.
    """
    reader = _Reader()
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = reader.document_type
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.text
    try:
        parser.Parse(body, True)
    except _EnoughError:
        pass
    except (expat.ExpatError, ValueError, LookupError) as error:  # an encoding that Python does not know is one, too
        raise UpstreamError("the feed is not well-formed") from error
    if not reader.is_feed:
        raise UpstreamError("what was found is XML, but neither RSS nor Atom")
    posts: dict[str, ScrapedPost] = {}
    for entry in reader.entries:
        post = _post(entry, url, reader.title)
        if post is not None:
            posts.setdefault(post.url, post)
    return tuple(posts.values())


class _EnoughError(Exception):
    """More than is wanted has been read."""


@dataclass(slots=True)
class _Reader:
    """What the parser tells, sorted into entries."""

    is_feed: bool = False
    title: str = ""
    entries: list[dict[str, str]] = field(default_factory=list)
    _path: list[str] = field(default_factory=list)
    _entry: dict[str, str] | None = None
    _entry_depth: int = 0
    _field: str | None = None
    _field_depth: int = 0
    _pieces: list[str] = field(default_factory=list)

    def document_type(self, *_: object) -> None:
        raise UpstreamError("the feed declares a document type, which is not read")

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if not self._path:
            self.is_feed = name in ("rss", f"{ATOM}feed")
            if not self.is_feed:
                raise _EnoughError
        self._path.append(name)
        depth = len(self._path)
        if depth > DEEPEST:
            raise UpstreamError(f"the feed has elements more than {DEEPEST} deep")
        if self._entry is None:
            if name in ("item", f"{ATOM}entry"):
                if len(self.entries) == MOST_ENTRIES:
                    raise _EnoughError
                self._entry, self._entry_depth = {}, depth
            elif name in ("title", f"{ATOM}title") and depth <= 3 and not self.title:
                self._collect("feed title", depth)
        elif self._field is None:
            self._start_field(name, attributes, depth)

    def _start_field(self, name: str, attributes: dict[str, str], depth: int) -> None:
        assert self._entry is not None
        below = depth - self._entry_depth
        if name == f"{ATOM}link" and below == 1:
            if attributes.get("rel", "alternate") == "alternate":
                self._entry.setdefault("link", attributes.get("href", ""))
        elif name == f"{ATOM}name" and below == 2 and self._path[-2] == f"{ATOM}author":
            self._collect("author", depth)
        elif below == 1 and name in FIELDS:
            if name == "guid" and attributes.get("isPermaLink", "true") != "true":
                return
            self._collect(FIELDS[name], depth)

    def _collect(self, into: str, depth: int) -> None:
        self._field, self._field_depth = into, depth
        self._pieces.clear()

    def text(self, data: str) -> None:
        if self._field is not None:
            self._pieces.append(data)

    def end(self, _name: str) -> None:
        depth = len(self._path)
        self._path.pop()
        if self._field is not None and depth == self._field_depth:
            text = "".join(self._pieces).strip()
            if self._field == "feed title":
                self.title = text
            elif self._entry is not None and text:
                self._entry.setdefault(self._field, text)
            self._field = None
        if self._entry is not None and depth == self._entry_depth:
            self.entries.append(self._entry)
            self._entry = None


def _post(entry: dict[str, str], base: str, feed_title: str) -> ScrapedPost | None:
    url = link(base, entry.get("link") or entry.get("guid") or "")
    if url is None or not (entry.get("link") or entry.get("guid")):
        return None
    host = urlsplit(url).hostname or ""
    body = text_of(entry.get("body") or entry.get("summary") or "")
    title = text_of(entry.get("title", ""))[:LONGEST_TITLE] or body[:80] or url
    author = clean(entry.get("author", ""), LONGEST_NAME) or clean(feed_title, LONGEST_NAME) or host
    return ScrapedPost(url, host, author, title, body, _date(entry.get("published") or entry.get("updated") or ""))


def _date(text: str) -> datetime | None:
    found = moment(text)
    if found is not None:
        return found
    try:
        read = parsedate_to_datetime(text)
        return read.replace(tzinfo=UTC) if read.tzinfo is None else read.astimezone(UTC)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
