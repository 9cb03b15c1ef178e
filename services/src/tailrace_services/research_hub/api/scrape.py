"""The address by which posts are collected from a URL. Touches nothing itself."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal, Protocol

from fastapi import APIRouter, Depends, Response
from pydantic import Field

from tailrace.errors import RequestError, UpstreamError, UrlRefusedError
from tailrace.fastapi import limited
from tailrace.upstream.outbound_url import LONGEST_URL
from tailrace_services.research_hub.api.schemas import Body, RequestBody
from tailrace_services.research_hub.api.surroundings import JSON, WRITES, Surroundings, credentials, failures

__all__ = ["Collected", "CollectedPost", "Collector", "ToCollect", "build_scrape_routes"]

FAILED = {
    409: "Several requests for the same posts came at once.",
    504: "It did not answer in time.",
}


RATE, BURST = "30/minute", 30
"""How often a user may make this service ask others; the original does not count."""


class ToCollect(RequestBody):
    """``POST /scrape``."""

    url: Annotated[
        str,
        Field(
            min_length=1,
            max_length=LONGEST_URL,
            description="A page, or a feed (RSS 2.0 or Atom), on the public Internet: http or https, port 80 or 443.",
        ),
    ]


class CollectedPost(Body):
    """A post as it is kept now."""

    id: int
    url: str
    platform: str
    author: str
    title: str
    published_at: datetime


class Collected(Body):
    """What was found at a URL, and where it is kept."""

    url: Annotated[str, Field(description="Where it was found, after redirects.")]
    kind: Literal["page", "feed"]
    contents: list[CollectedPost]


class Collector(Protocol):
    """What an implementation does."""

    async def collect(self, url: str, now: datetime) -> bytes:
        """A ``Collected`` as JSON; posts that are known by their URLs are brought up to date.

        Raises:
            UrlRefusedError, UpstreamError: as ``Scraper.find``.
        """
        ...


def build_scrape_routes(collector: Collector, around: Surroundings) -> APIRouter:
    """The route, answered by ``collector``; not for nobody in particular, since it makes this service ask others."""
    router = APIRouter(tags=["contents"])
    responses = failures(*WRITES) | {status: {"description": text} for status, text in FAILED.items()}
    needed = [*credentials(), Depends(around.callers.user)]

    @router.post("/scrape", response_model=Collected, responses=responses, dependencies=needed)
    @limited(RATE, burst=BURST, by=around.callers.identity, name="scrape")
    async def scrape(asked: ToCollect) -> Response:
        """Collect the posts at a URL. What was found is found again for five minutes without asking there."""
        try:
            body = await collector.collect(asked.url, around.now())
        except UpstreamError as error:
            if error.retryable or isinstance(error, UrlRefusedError):
                raise
            # Whoever named the URL is told what is wrong with what answers there; here nothing is.
            raise RequestError(str(error), status=422, code="document_unreadable") from error
        return Response(body, headers={"cache-control": "no-store"}, media_type=JSON)

    return router
