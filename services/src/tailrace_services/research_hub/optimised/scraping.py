"""Collecting once for all who ask within five minutes, and keeping all posts by three statements.

What was found at a URL is said again without asking there; what is kept of it may have been changed by others since, as
it may have been right after the first answer. Touches: the network, the cache, the database.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import select, tuple_
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from tailrace.cache import CachePolicy
from tailrace.db import Database
from tailrace.fastapi import Tailrace
from tailrace.upstream.outbound_url import parse_url
from tailrace_services.research_hub.api.scrape import Collected, CollectedPost
from tailrace_services.research_hub.model import Author, Content
from tailrace_services.research_hub.scraping.posts import Found
from tailrace_services.research_hub.scraping.scraper import Scraper

__all__ = ["OptimisedCollector"]

POLICY = CachePolicy(name="scrape", ttl=300.0, jitter=0.0, early_refresh=0.0)


class OptimisedCollector:
    """``Collector`` on Tailrace.

    Args:
        tailrace: its settings say what may be asked.
    """

    def __init__(self, tailrace: Tailrace) -> None:
        self._tailrace = tailrace
        self._scraper = Scraper(tailrace.settings.outbound, tailrace.observer)

    async def collect(self, url: str, now: datetime) -> bytes:
        """Asked for once, however many ask at the same time; a failure is nobody else's."""
        key = str(parse_url(url))

        async def compute() -> bytes:
            return await self._collect(key, now)

        return (await self._tailrace.cache.read_through(f"scrape:{key}", compute, policy=POLICY)).value

    async def aclose(self) -> None:
        """Close the connections."""
        await self._scraper.aclose()

    async def _collect(self, url: str, now: datetime) -> bytes:
        found = await self._scraper.find(url)
        database = self._tailrace.database
        assert database is not None
        return (await _kept(database, found, now)).json_bytes()


async def _kept(database: Database, found: Found, now: datetime) -> Collected:
    if not found.posts:
        return Collected(url=found.url, kind=found.kind, contents=[])
    # Brought up to date twice, they are as after once.
    contents = await database.run(lambda session: _keep(session, found, now), idempotent=True)
    return Collected(url=found.url, kind=found.kind, contents=contents)


async def _keep(session: AsyncSession, found: Found, now: datetime) -> list[CollectedPost]:
    posts = found.posts
    authors = sorted({(post.platform, post.author) for post in posts})
    names = [{"platform": platform, "username": name, "display_name": name} for platform, name in authors]
    await session.execute(insert(Author).values(names).on_conflict_do_nothing())
    known = await session.execute(
        select(Author.platform, Author.username, Author.id).where(tuple_(Author.platform, Author.username).in_(authors))
    )
    ids = {(platform, name): author_id for platform, name, author_id in known}
    # In one order, whoever keeps them: so nobody waits for somebody who waits.
    rows = [
        {
            "author_id": ids[post.platform, post.author],
            "platform": post.platform,
            "url": post.url,
            "title": post.title,
            "body": post.body,
            "scraped_at": now,
            "published_at": post.published_at or now,
        }
        for post in sorted(posts, key=lambda post: post.url)
    ]
    new = insert(Content).values(rows)
    told = new.excluded
    changed = tuple_(Content.title, Content.body).is_distinct_from(tuple_(told.title, told.body))
    own = told.platform == found.host
    outdated = {"analyzed_at": None, "embedding": None}
    named = {"title": told.title, "body": told.body, "scraped_at": told.scraped_at}
    await session.execute(new.on_conflict_do_update(index_elements=["url"], set_=named | outdated, where=changed & own))
    shown = await session.execute(
        select(Content.id, Content.url, Content.platform, Author.username, Content.title, Content.published_at)
        .join(Author, Author.id == Content.author_id)
        .where(Content.url.in_([post.url for post in posts]))
    )
    kept = {row.url: row for row in shown}
    return [
        CollectedPost(
            id=row.id,
            url=row.url,
            platform=row.platform,
            author=row.username,
            title=row.title,
            published_at=row.published_at,
        )
        for row in (kept[post.url] for post in posts)
    ]
