"""Web links: the ``Link`` field, and the URLs in it. Pure.

Targets are paths without scheme and host. What a proxy in front may have changed, and what a client can forge, is then
not in them, and they lead back to wherever the client asked; who wants whole URLs gives the origin.

**Source:** RFC 8288 section 3 (Link), RFC 3986 sections 2 (characters), 3.3 and 4.2 (path references).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import quote, unquote_plus

__all__ = ["Link", "link_field", "reference", "replace_query"]

URI_CHARACTERS = "!#$%&'()*+,/:;=?@[]~"
PATH_CHARACTERS = "!$&'()*+,;=:@/~"


@dataclass(frozen=True, slots=True)
class Link:
    """One link.

    Attributes:
        target: a URL or a reference to one.
        rel: relation type, registered or a URL.
        media_type: a hint of what is there, ``type`` in the field.
    """

    target: str
    rel: str
    media_type: str | None = None


def link_field(links: Iterable[Link]) -> str:
    """The value of a ``Link`` field. Whatever is in a target, it stays inside its angle brackets.

    >>> link_field([Link("/calls?cursor=a", "next"), Link("/café>", "help", "text/html")])
    '</calls?cursor=a>; rel="next", </caf%C3%A9%3E>; rel="help"; type="text/html"'
    """
    written = []
    for link in links:
        hint = "" if link.media_type is None else f'; type="{_quoted(link.media_type)}"'
        written.append(f'<{quote(link.target, safe=URI_CHARACTERS)}>; rel="{_quoted(link.rel)}"{hint}')
    return ", ".join(written)


def _quoted(text: str) -> str:
    return quote(text, safe=URI_CHARACTERS + " ")


def reference(path: str, query: str = "", origin: str = "") -> str:
    """A reference to a path, which is not yet percent-encoded, and a query, which is.

    Two slashes at the beginning would name a host, so they become one.

    >>> reference("/a b/c", "x=1"), reference("//evil.example/x"), reference("/a", "", "https://api.example")
    ('/a%20b/c?x=1', '/evil.example/x', 'https://api.example/a')
    """
    encoded = "/" + quote(path.lstrip("/"), safe=PATH_CHARACTERS, errors="surrogatepass")
    return f"{origin.rstrip('/')}{encoded}?{query}" if query else f"{origin.rstrip('/')}{encoded}"


def replace_query(query: str, changes: Mapping[str, str | None]) -> str:
    """``query`` with other values for some parameters; None removes one. The rest stays as it was sent.

    >>> replace_query("q=a%20b&limit=5&cursor=old&q=c", {"cursor": "new", "limit": None})
    'q=a%20b&q=c&cursor=new'
    """
    kept = [pair for pair in query.split("&") if pair and unquote_plus(pair.partition("=")[0]) not in changes]
    added = [f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in changes.items() if value is not None]
    return "&".join([*kept, *added])
