"""The addresses of what was collected and found: posts, authors, patterns, attributions. Touches nothing itself."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Query, Response

from tailrace.fastapi import Listing, RequestedPage
from tailrace_services.research_hub.api import pages
from tailrace_services.research_hub.api.author_search import SHORTEST
from tailrace_services.research_hub.api.hub import Hub
from tailrace_services.research_hub.api.schemas import (
    LARGEST_ID,
    AttributionView,
    AuthorView,
    ContentState,
    ContentView,
    PatternType,
    PatternView,
    Words,
)
from tailrace_services.research_hub.api.surroundings import PAGED, Surroundings, failures, listed

__all__ = ["add_collection"]

Number = Annotated[int | None, Query(ge=1, le=LARGEST_ID)]


def add_collection(router: APIRouter, hub: Hub, around: Surroundings) -> None:
    """Everything here is everybody's to read."""
    _add_contents(router, hub, around)
    _add_authors(router, hub, around)
    _add_patterns(router, hub, around)
    _add_attributions(router, hub, around)


def _add_contents(router: APIRouter, hub: Hub, around: Surroundings) -> None:
    asked = around.shared_page(pages.CONTENTS)

    @router.get("/contents", response_model=Listing[ContentView], responses=failures(*PAGED), tags=["collection"])
    @partial(around.mark, "contents")
    async def contents(
        page: RequestedPage = asked,
        platform: Annotated[Words | None, Query(max_length=100)] = None,
        state: ContentState | None = None,
    ) -> Response:
        """Posts, those collected last first."""
        return listed(await hub.contents(page, platform, state), page)


def _add_authors(router: APIRouter, hub: Hub, around: Surroundings) -> None:
    asked = around.shared_page(pages.AUTHORS)

    @router.get("/authors", response_model=Listing[AuthorView], responses=failures(*PAGED), tags=["collection"])
    @partial(around.mark, "authors")
    async def authors(
        q: Annotated[Words, Query(min_length=SHORTEST, max_length=100, description="A name, or something like it.")],
        page: RequestedPage = asked,
    ) -> Response:
        """Authors whose names are like a word, the best match first."""
        return listed(await hub.authors(page, q), page)


def _add_patterns(router: APIRouter, hub: Hub, around: Surroundings) -> None:
    asked = around.shared_page(pages.PATTERNS)

    @router.get("/patterns", response_model=Listing[PatternView], responses=failures(*PAGED), tags=["collection"])
    @partial(around.mark, "patterns")
    async def patterns(
        page: RequestedPage = asked, type_: Annotated[PatternType | None, Query(alias="type")] = None
    ) -> Response:
        """What posts have in common, with those posts."""
        return listed(await hub.patterns(page, type_), page)


def _add_attributions(router: APIRouter, hub: Hub, around: Surroundings) -> None:
    asked = around.shared_page(pages.ATTRIBUTIONS)

    @router.get(
        "/attributions", response_model=Listing[AttributionView], responses=failures(*PAGED), tags=["collection"]
    )
    @partial(around.mark, "attributions")
    async def attributions(page: RequestedPage = asked, card_id: Number = None, content_id: Number = None) -> Response:
        """Which published cards go back to which posts, the newest first."""
        return listed(await hub.attributions(page, card_id, content_id), page)
