"""Collecting posts from URLs that users name, from servers over real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tests.integration.upstream.origin import Exchange, Handler, Server, serving
from tests.services.implementations import IMPLEMENTATIONS
from tests.services.research_hub.endpoints.conftest import Service, StartService, key_of
from tests.services.research_hub.scraping.test_reading import ATOM, PAGE, RSS

from tailrace.settings import OutboundSettings
from tailrace_services.research_hub.api.scrape import BURST

HOST = "127.0.0.2"
"""What counts as public here; 127.0.0.1 does not."""


class Site:
    """What a web site answers, by path; changed while a test runs."""

    def __init__(self) -> None:
        self.answers: dict[str, tuple[str, str]] = {
            "/page": ("text/html; charset=utf-8", PAGE),
            "/rss": ("application/rss+xml", RSS),
            "/atom": ("application/atom+xml", ATOM),
            "/zip": ("application/zip", "PK"),
            "/bomb": ("text/xml", '<!DOCTYPE rss [<!ENTITY a "b">]><rss/>'),
        }
        self.redirects: dict[str, str] = {}

    async def __call__(self, exchange: Exchange) -> None:
        path = exchange.line.split(" ")[1]
        if path in self.redirects:
            await exchange.answer(302, b"", f"location: {self.redirects[path]}")
        elif path in self.answers:
            kind, body = self.answers[path]
            await exchange.answer(200, body.encode(), f"content-type: {kind}")
        else:
            await exchange.answer(404, b"nothing")


@asynccontextmanager
async def collecting(
    start_service: StartService, name: str, site: Handler, **more: Any
) -> AsyncIterator[tuple[Service, Server]]:
    """An implementation that may ask a server, and the server."""
    async with serving(site, host=HOST) as server:
        outbound = OutboundSettings(ports=(server.port,), allowed_networks=HOST, max_retries=0, **more)
        async with start_service(name, outbound=outbound) as service:
            yield service, server


async def collect(service: Service, url: str, user: int | None = 2) -> Any:
    return await service.client.post("/scrape", json={"url": url}, headers=key_of(user))


@pytest.mark.parametrize("name", IMPLEMENTATIONS)
async def test_a_page_becomes_a_post(start_service: StartService, name: str) -> None:
    """With its author, once however often it is collected; when it has changed, so has the post, and only then."""
    site = Site()
    async with collecting(start_service, name, site) as (service, server):
        url = f"http://{HOST}:{server.port}/page"
        first = await collect(service, f"{url}#part")
        assert first.status_code == 200, first.text
        (post,) = first.json()["contents"]
        assert first.json() | {"contents": []} == {"url": url, "kind": "page", "contents": []}
        assert post == {"id": post["id"], "url": url, "platform": HOST, "author": "Ada L.", "title": "Title of <page>",
                        "published_at": "2026-03-01T08:00:00Z"}  # fmt: skip
        (row,) = await service.sql("SELECT * FROM contents WHERE url = $1", url)
        assert (row["id"], row["body"]) == (post["id"], "Heading First boldword. Second & last end. a b")
        await service.sql("UPDATE contents SET analyzed_at = now() WHERE url = $1", url)
        assert (await collect(service, url)).content == first.content
        if name == "optimised":
            await service.app.state.tailrace.cache.clear("scrape:")
        assert (await collect(service, url)).content == first.content
        (same,) = await service.sql("SELECT * FROM contents WHERE url = $1", url)
        assert same["analyzed_at"] is not None
        site.answers["/page"] = ("text/html", "<title>New</title>text")
        if name == "optimised":
            await service.app.state.tailrace.cache.clear("scrape:")
        (again,) = (await collect(service, url)).json()["contents"]
        assert (again["id"], again["title"]) == (post["id"], "New")
        (changed,) = await service.sql("SELECT * FROM contents WHERE url = $1", url)
        assert (changed["body"], changed["analyzed_at"]) == ("text", None)


@pytest.mark.parametrize("path", ["/rss", "/atom", "/page"])
async def test_both_find_the_same(start_service: StartService, path: str) -> None:
    """Of the same site both implementations say the same but for the numbers of rows."""
    answers = []
    for name in IMPLEMENTATIONS:
        async with collecting(start_service, name, Site()) as (service, server):
            found = (await collect(service, f"http://{HOST}:{server.port}{path}")).json()
            numbers = [post.pop("id") for post in found["contents"]]
            assert len(set(numbers)) == len(numbers) > 0
            answers.append(str(found).replace(str(server.port), "PORT"))
    assert answers[0] == answers[1]


async def test_what_was_found_is_kept_for_five_minutes(start_service: StartService) -> None:
    """Whoever asks for a URL, in any of its spellings, has it asked for once; a failure is not kept."""
    async with collecting(start_service, "optimised", Site()) as (service, server):
        url = f"http://{HOST}:{server.port}/rss"
        answers = await asyncio.gather(*(collect(service, url, user) for user in (2, 3, 4, 2, 3, 4)))
        assert len({answer.content for answer in answers}) == 1
        assert (await collect(service, f"HTTP://{HOST}:{server.port}/rss#x")).content == answers[0].content
        assert len(server.requests) == 1
        for _ in range(2):
            assert (await collect(service, f"http://{HOST}:{server.port}/gone")).status_code == 422
        assert len(server.requests) == 3


@pytest.mark.parametrize("name", IMPLEMENTATIONS)
async def test_private_addresses_are_not_asked(start_service: StartService, name: str) -> None:
    """Neither by name nor by number nor by a redirect; the refusal says why, and nothing is kept."""
    site = Site()
    async with serving(Site()) as secret, collecting(start_service, name, site) as (service, server):
        site.redirects = {"/in": f"http://127.0.0.1:{secret.port}/page", "/meta": "http://169.254.169.254/latest/"}
        (before,) = await service.sql("SELECT count(*) FROM contents")
        ours = f"http://{HOST}:{server.port}"
        for url in (
            f"http://127.0.0.1:{server.port}/page",
            f"http://localhost:{server.port}/page",
            f"http://[::ffff:127.0.0.1]:{server.port}/",
            f"http://2130706433:{server.port}/",
            f"http://127.0.0.1:{secret.port}/page",
            "http://169.254.169.254/latest/meta-data/",
            "file:///etc/passwd",
            f"http://user:pw@{HOST}:{server.port}/page",
            f"{ours}/in",
            f"{ours}/meta",
        ):
            answer = await collect(service, url)
            assert (answer.status_code, answer.json()["code"]) == (422, "url_refused"), url
            assert "127.0.0.1" not in answer.text
        assert secret.connections == 0
        assert await service.sql("SELECT count(*) FROM contents") == [before]


@pytest.mark.parametrize("name", IMPLEMENTATIONS)
async def test_what_cannot_be_read(start_service: StartService, name: str) -> None:
    """Another kind of document, too long a one, a bomb, an error, nobody there: it is said, and whose fault it is."""
    async with collecting(start_service, name, Site(), max_response_bytes=500) as (service, server):
        ours = f"http://{HOST}:{server.port}"
        for path in ("/zip", "/rss", "/bomb", "/gone"):
            answer = await collect(service, ours + path)
            assert (answer.status_code, answer.json()["code"]) == (422, "document_unreadable"), path
    async with start_service(name, outbound=OutboundSettings(ports=(9,), allowed_networks=HOST)) as service:
        assert (await collect(service, f"http://{HOST}:9/")).status_code == 503


async def test_collecting_is_for_users(service: Service) -> None:
    """Nobody in particular makes this service ask others; and a URL is wanted, and nothing else."""
    assert (await collect(service, "http://example.com/", None)).status_code == 401
    for body in ({}, {"url": ""}, {"url": 1}, {"url": "http://a/", "depth": 2}, {"url": "http://a/" + "x" * 3000}):
        answer = await service.client.post("/scrape", json=body, headers=key_of(2))
        assert answer.status_code == 422


@pytest.mark.parametrize("name", ["optimised"])
async def test_feeds_that_overlap_at_once(start_service: StartService, name: str) -> None:
    """Twenty feeds with the same posts in other orders, collected at once: each post is kept once, nobody fails."""
    site = Site()
    links = [f"<item><title>t</title><link>https://e.org/{n}</link></item>" for n in range(20)]
    for n in range(20):
        items = "".join(links[n:] + links[:n])
        site.answers[f"/f{n}"] = ("text/xml", f"<rss><channel>{items}</channel></rss>")
    async with collecting(start_service, name, site) as (service, server):
        urls = [f"http://{HOST}:{server.port}/f{n}" for n in range(20)]
        answers = await asyncio.gather(*(collect(service, url) for url in urls))
        assert {answer.status_code for answer in answers} == {200}
        known = [{post["url"]: post["id"] for post in answer.json()["contents"]} for answer in answers]
        assert all(each == known[0] for each in known)
        (row,) = await service.sql("SELECT count(*) FROM contents WHERE url LIKE 'https://e.org/%'")
        assert row[0] == 20


@pytest.mark.parametrize("name", IMPLEMENTATIONS)
async def test_feeds_change_nobody_elses_posts(start_service: StartService, name: str) -> None:
    """A feed adds posts of other hosts that nobody knew, and leaves those that are known as they are."""
    site = Site()
    async with collecting(start_service, name, site) as (service, server):
        own = f"http://{HOST}:{server.port}/page"
        links = [("https://e.org/new", "New"), (own, "Renamed"), ("https://e.org/known", "Forged")]
        items = "".join(f"<item><title>{title}</title><link>{url}</link></item>" for url, title in links)
        site.answers["/feed"] = ("text/xml", f"<rss><channel>{items}</channel></rss>")
        await collect(service, own)
        await service.sql(
            "INSERT INTO contents (author_id, platform, url, title, body, published_at) "
            "VALUES (1, 'e.org', 'https://e.org/known', 'Known', 'body', now())"
        )
        found = (await collect(service, f"http://{HOST}:{server.port}/feed")).json()["contents"]
        assert [post["title"] for post in found] == ["New", "Renamed", "Known"]
        (row,) = await service.sql("SELECT title, body FROM contents WHERE url = 'https://e.org/known'")
        assert tuple(row) == ("Known", "body")


async def test_nobody_makes_it_ask_without_end(start_service: StartService) -> None:
    """Whoever has asked as often as one may is told when to ask again; another user is not held up by that."""
    async with collecting(start_service, "optimised", Site()) as (service, server):
        url = f"http://{HOST}:{server.port}/page"
        answers = [await collect(service, url) for _ in range(BURST + 1)]
        while answers[-1].status_code == 200:  # more has flown in meanwhile
            answers.append(await collect(service, url))
        assert {answer.status_code for answer in answers[:BURST]} == {200}
        assert answers[-1].status_code == 429
        assert int(answers[-1].headers["retry-after"]) >= 1
        assert (await collect(service, url, user=3)).status_code == 200
        assert (await service.get("/api/cards", user=2)).status_code == 200
