"""An HTML page as a post, and any HTML as text. Pure: lxml does the parsing.

The parser follows nothing, runs nothing, and gives up what is nested too deeply. **Source:** HTML standard, sections
4.2 (metadata) and 13.2.3 (encodings); the Open Graph protocol for ``og:`` and ``article:`` properties.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from tailrace_services.html_text import parse, text
from tailrace_services.research_hub.scraping.posts import LONGEST_NAME, LONGEST_TITLE, ScrapedPost, clean

__all__ = ["moment", "read_page", "text_of"]

_CHARSET = re.compile(rb"""charset\s*=\s*["']?\s*([A-Za-z0-9_.:-]{1,40})""", re.IGNORECASE)
_NO_ENCODINGS = frozenset({"idna", "punycode", "raw-unicode-escape", "undefined", "unicode-escape", "utf-7"})
"""What Python knows by the same kind of name: made for names of hosts and source texts, or refused by browsers."""
_DECLARED_WITHIN = 4_096
"""Bytes from the beginning in which a page says its encoding."""


def read_page(body: bytes, headers: Mapping[str, str], url: str) -> ScrapedPost:
    """The page as one post. Takes milliseconds for a long one: call it on a thread.

    Args:
        headers: of the answer, names in lower case.
        url: where it was found.
    """
    root = parse(_decoded(body, headers.get("content-type", "")))
    properties = _properties(root)
    host = urlsplit(url).hostname or ""
    first_heading = _first(root, "//h1")
    title = next(
        filter(None, map(clean, (properties.get("og:title", ""), _first(root, "//title"), first_heading))), url
    )
    author = clean(properties.get("author", "") or properties.get("article:author", ""), LONGEST_NAME)
    published = moment(properties.get("article:published_time", ""))
    return ScrapedPost(url, host, author or host, title[:LONGEST_TITLE], clean(text(root)), published)


def text_of(fragment: str) -> str:
    """HTML, or what may be plain text, as text.

    >>> text_of("<p>Fish &amp; <b>chips</b></p><script>x</script><p>twice</p>")
    'Fish & chips twice'
    """
    return clean(text(parse(fragment))) if "<" in fragment or "&" in fragment else clean(fragment)


def moment(text: str) -> datetime | None:
    """An ISO 8601 moment, UTC where it names no zone; None for anything else.

    >>> moment("2026-03-01T12:00:00+02:00").isoformat(), moment("yesterday")
    ('2026-03-01T10:00:00+00:00', None)
    """
    try:
        found = datetime.fromisoformat(text.strip())
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _first(root: Any, path: str) -> str:
    found = root.xpath(path)
    return "".join(found[0].itertext()) if found else ""


def _properties(root: Any) -> dict[str, str]:
    """What ``meta`` elements say, by name or property; the first word counts."""
    found: dict[str, str] = {}
    for element in root.xpath("//meta[@content]"):
        name = (element.get("property") or element.get("name") or "").lower()
        found.setdefault(name, element.get("content"))
    return found


def _decoded(body: bytes, content_type: str) -> str:
    """The text, by the answer's header, a byte order mark, the page's own word, or as most pages are."""
    for mark, encoding in (
        (codecs.BOM_UTF8, "utf-8-sig"),
        (codecs.BOM_UTF16_LE, "utf-16"),
        (codecs.BOM_UTF16_BE, "utf-16"),
    ):
        if body.startswith(mark):
            return body.decode(encoding, "replace")
    declared = _CHARSET.search(content_type.encode("latin-1", "replace")) or _CHARSET.search(body[:_DECLARED_WITHIN])
    name = declared[1].decode("ascii") if declared else "utf-8"
    try:
        known = codecs.lookup(name)
        # Latin-1 is what Windows makes of it, everywhere on the web.
        encoding = "cp1252" if known.name == "iso8859-1" else name
        if not known._is_text_encoding or known.name in _NO_ENCODINGS:
            encoding = "utf-8"
    except LookupError:
        encoding = "utf-8"
    if declared is None:
        try:
            return body.decode("utf-8")
        except UnicodeDecodeError:
            encoding = "cp1252"
    return body.decode(encoding, "replace")
