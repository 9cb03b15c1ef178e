"""Finds out what a URL that somebody names leads to. Touches: the network, past the guard; threads."""

from __future__ import annotations

import asyncio

from tailrace.events import Observer
from tailrace.settings import OutboundSettings
from tailrace.upstream import FetchedDocument, OutboundFetcher
from tailrace_services.research_hub.scraping.feeds import read_feed
from tailrace_services.research_hub.scraping.pages import read_page
from tailrace_services.research_hub.scraping.posts import Found

__all__ = ["Scraper"]

PAGES = ("text/html", "application/xhtml+xml")
FEEDS = ("application/rss+xml", "application/atom+xml", "application/xml", "text/xml")


class Scraper:
    """Close it with ``aclose``.

    Args:
        settings: what may be asked, and within which bounds.
        observer: told of calls.
    """

    def __init__(self, settings: OutboundSettings, observer: Observer | None = None) -> None:
        self._fetcher = OutboundFetcher(
            "scrape",
            settings=settings,
            headers={"user-agent": "research-hub/1"},
            media_types=[*PAGES, *FEEDS],
            observer=observer,
        )

    async def find(self, url: str) -> Found:
        """The posts at ``url``: a page is one, a feed has those of its entries.

        Raises:
            UrlRefusedError: ``url``, or where it leads to, is not to be asked.
            UpstreamError: one of its kinds: there is no answer, or one that cannot be read.
        """
        document = await self._fetcher.fetch(url)
        return await asyncio.to_thread(_read, document)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._fetcher.aclose()


def _read(document: FetchedDocument) -> Found:
    if document.media_type in PAGES:
        return Found(document.url, "page", (read_page(document.body, document.headers, document.url),))
    return Found(document.url, "feed", read_feed(document.body, document.url))
