"""Pages over HTTP, walked by following what the responses say."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from typing import Annotated, Any
from urllib.parse import urlsplit

import pytest
from fastapi import Depends, FastAPI
from pydantic import BaseModel, SecretStr, ValidationError
from sqlalchemy import Column, Integer, MetaData, Table, Text, insert, select
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route
from tests.unit.asgi.driver import Reply, ask

from tailrace import Tailrace, cached
from tailrace.core.cursor import Cursors
from tailrace.db import Database
from tailrace.db.keyset import Order
from tailrace.db.pages import Pages
from tailrace.fastapi import Listing, Paginated, RequestedPage, SessionDependency
from tailrace.settings import FreshnessSettings, HttpSettings, Settings

THINGS = Table(
    "things",
    MetaData(),
    Column("id", Integer, primary_key=True),
    Column("word", Text),
    Column("owner", Integer, nullable=False),
)
BY_WORD = Order(THINGS.c.word.asc(), key=THINGS.c.id)
PAGES = Pages(
    {"word": BY_WORD, "-id": Order(key=THINGS.c.id.desc())},
    limit=3,
    max_limit=10,
    max_offset=6,
    totals=["none", "exact", "capped"],
    cap=5,
)
SECRET = "a secret of some length"


def user(exchange: Any) -> str | None:
    return exchange.header("x-user")


class Thing(BaseModel):
    id: int
    word: str | None


ThingsPage = Annotated[RequestedPage, Depends(Paginated(PAGES, identity=user))]
CursorsOnly = Annotated[RequestedPage, Depends(Paginated(Pages({"word": BY_WORD}, max_offset=0), shared=True))]


def make_app(url: str) -> FastAPI:
    app = FastAPI()
    settings = Settings(
        database_url=SecretStr(url),
        valkey_url=None,
        freshness=FreshnessSettings(enabled=False),
        http=HttpSettings(cursor_secrets=(SecretStr(SECRET),)),
    )
    Tailrace(app, settings)

    @app.get("/owners/{owner}/things")
    async def things(
        page: ThingsPage, session: SessionDependency, owner: int, word: str | None = None
    ) -> Listing[Thing]:
        statement = select(THINGS).where(THINGS.c.owner == owner)
        return await page.fetch(session, statement if word is None else statement.where(THINGS.c.word == word))

    return app


@pytest.fixture
async def filled_url(database_url: str) -> str:
    """Eight things of owner 1, two of them without a word; four of owner 2."""
    database = Database(database_url)
    async with database.engine.begin() as connection:
        await connection.run_sync(THINGS.create)
        rows = [{"id": n, "word": [None, "b", "a", "b"][n % 4], "owner": 1 if n <= 8 else 2} for n in range(1, 13)]
        await connection.execute(insert(THINGS), rows)
    await database.aclose()
    return database_url


@pytest.fixture
async def app(filled_url: str) -> AsyncIterator[FastAPI]:
    made = make_app(filled_url)
    async with made.state.tailrace.running():
        yield made


async def get(app: Any, url: str, who: bytes = b"1", **more: Any) -> Reply:
    parts = urlsplit(url)
    headers = [(b"x-user", who)]
    return await ask(app, parts.path, query_string=parts.query.encode(), headers=headers, **more)


def links(reply: Reply) -> dict[str, str]:
    found = re.findall(r'<([^>]*)>; rel="([^"]*)"', reply.headers.get(b"link", b"").decode())
    return {rel: target for target, rel in found}


IN_ORDER = [2, 6, 1, 3, 5, 7, 4, 8]


async def test_walking_by_links(app: FastAPI) -> None:
    """Following ``next`` from the first page and ``prev`` from the last shows every row once, NULLs at the end."""
    for relation, url in (("next", "/owners/1/things"), ("prev", "")):
        url = url or links(await get(app, "/owners/1/things"))["last"]
        seen: list[int] = []
        while True:
            reply = await get(app, url)
            assert reply.status == 200, reply.body
            ids = [thing["id"] for thing in json.loads(reply.body)["items"]]
            seen = [*seen, *ids] if relation == "next" else [*ids, *seen]
            if relation not in links(reply):
                break
            url = links(reply)[relation]
        assert seen == IN_ORDER
        assert (await get(app, links(reply)["first"])).body == (await get(app, "/owners/1/things")).body


async def test_the_body(app: FastAPI) -> None:
    """Items in the endpoint's own model, what is known of the rest, and a total that says what it is."""
    reply = await get(app, "/owners/1/things?limit=2&total=exact")
    body = json.loads(reply.body)
    cursor = body.pop("next_cursor")
    assert body == {
        "items": [{"id": 2, "word": "a"}, {"id": 6, "word": "a"}],
        "total": 8,
        "total_is": "exact",
        "has_next": True,
        "has_previous": False,
        "previous_cursor": None,
    }
    capped = json.loads((await get(app, f"/owners/1/things?total=capped&cursor={cursor}")).body)
    assert (capped["total"], capped["total_is"], capped["has_previous"]) == (5, "at_least", True)
    assert [thing["id"] for thing in capped["items"]] == IN_ORDER[2:5]


@pytest.mark.parametrize(
    ("url", "who"),
    [
        ("/owners/2/things?cursor={}", b"1"),
        ("/owners/1/things?cursor={}", b"2"),
        ("/owners/1/things?cursor={}&word=b", b"1"),
        ("/owners/1/things?cursor={}&word=", b"1"),
        ("/owners/1/things?cursor={}&sort=-id", b"1"),
        ("/owners/1/things?cursor={}x", b"1"),
        ("/owners/1/things?cursor=", b"1"),
        ("/owners/1/things?cursor=%00%ff", b"1"),
    ],
)
async def test_foreign_and_forged_cursors(app: FastAPI, url: str, who: bytes) -> None:
    """A cursor of another path, filter, order or user, or one that was changed: 400 with a code, never an answer."""
    cursor = json.loads((await get(app, "/owners/1/things")).body)["next_cursor"]
    assert (await get(app, f"/owners/1/things?limit=5&total=exact&cursor={cursor}")).status == 200
    reply = await get(app, url.format(cursor), who)
    assert (reply.status, json.loads(reply.body)["code"]) == (400, "invalid_cursor")


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("limit=0", 422),
        ("limit=11", 422),
        ("limit=x", 422),
        ("offset=-1", 422),
        ("offset=7", 400),
        ("sort=word%3B+drop+table+things", 422),
        ("total=estimated", 422),
        ("offset=1&cursor=x", 400),
        ("cursor=" + "A" * 5000, 422),
    ],
)
async def test_bad_requests(app: FastAPI, query: str, status: int) -> None:
    """What is not allowed is a clear mistake of the client's."""
    reply = await get(app, f"/owners/1/things?{query}")
    assert reply.status == status, reply.body
    assert reply.headers[b"content-type"] == b"application/problem+json"


async def test_offsets_lead_into_cursors(app: FastAPI) -> None:
    """``next`` of an offset page goes on by offset as far as offsets go, then by cursor, without a row lost."""
    url, seen, kinds = "/owners/1/things?offset=0&limit=2", [], []
    while url:
        reply = await get(app, url)
        seen += [thing["id"] for thing in json.loads(reply.body)["items"]]
        url = links(reply).get("next", "")
        kinds.append("offset" if "offset=" in url else "cursor" if url else "")
    assert seen == IN_ORDER
    assert kinds == ["offset", "offset", "offset", ""]
    url = "/owners/1/things?offset=5&limit=2"
    reply = await get(app, url)
    assert "cursor=" in links(reply)["next"]
    assert [t["id"] for t in json.loads((await get(app, links(reply)["next"])).body)["items"]] == IN_ORDER[7:]
    assert "offset=3" in links(reply)["prev"]


async def test_other_parameters_stay_as_they_were(app: FastAPI) -> None:
    """Links keep what the client sent, byte for byte, and nothing in it can leave the angle brackets."""
    strange = "tag=a%20b&tag=c%26d&word=b&x=%3E%0d%0aset-cookie:y&%E4=%ff"
    reply = await get(app, f"/owners/1/things?{strange}&limit=1")
    assert reply.status == 200
    target = links(reply)["next"]
    assert target.startswith(f"/owners/1/things?{strange}&limit=1&cursor=")
    assert (await get(app, target)).status == 200
    assert all(b"\n" not in value and b"\r" not in value for _, value in reply.messages[0]["headers"])


async def test_behind_a_prefix(app: FastAPI) -> None:
    """The links lead back through the prefix, whether a mount or the server names it, and whether or not the path still
    has what a proxy took off."""
    outer = Starlette(routes=[Mount("/service one", app)])
    reply = await get(outer, "/service one/owners/1/things?limit=1")
    assert links(reply)["next"].startswith("/service%20one/owners/1/things?limit=1&cursor=")
    for path in ("/owners/1/things", "/service/owners/1/things"):
        reply = await get(app, f"{path}?limit=1", root_path="/service")
        assert links(reply)["next"].startswith("/service/owners/1/things?limit=1&cursor=")
        again = await get(app, links(reply)["next"], root_path="/service")
        assert json.loads(again.body)["items"] == [{"id": 6, "word": "a"}]


async def test_cached_pages(filled_url: str) -> None:
    """A page from the cache has the same links; each user has their own."""
    app = make_app(filled_url)
    calls = []

    @app.get("/cached")
    @cached(ttl=60, identity=user)
    async def things(page: ThingsPage, session: SessionDependency) -> Listing[Thing]:
        calls.append(1)
        return await page.fetch(session, select(THINGS))

    async with app.state.tailrace.running():
        first, again, other = [await get(app, "/cached?limit=1", who) for who in (b"1", b"1", b"2")]
        assert again.cache_status.startswith(b"tailrace; hit")
        assert (first.body, links(first)) == (again.body, links(again))
        assert links(other)["next"] != links(first)["next"]
        assert len(calls) == 2


def test_openapi_names_the_parameters() -> None:
    """The document shows what may be asked for, and only that."""
    app = FastAPI()

    @app.get("/all")
    async def everything(page: ThingsPage) -> Listing[Thing]:
        raise NotImplementedError

    @app.get("/few")
    async def some(page: CursorsOnly) -> None:
        raise NotImplementedError

    paths = app.openapi()["paths"]
    shown = {p["name"]: p["schema"] for p in paths["/all"]["get"]["parameters"]}
    assert set(shown) == {"limit", "cursor", "sort", "offset", "total"}
    assert (shown["limit"]["maximum"], shown["limit"]["default"]) == (10, 3)
    assert shown["sort"]["enum"] == ["word", "-id"]
    assert {p["name"] for p in paths["/few"]["get"]["parameters"]} == {"limit", "cursor", "sort"}
    assert app.openapi()["components"]["schemas"]["Listing_Thing_"]["properties"]["total_is"]["enum"]


async def test_alone_on_starlette(filled_url: str) -> None:
    """Without FastAPI and without Tailrace around the application."""
    database = Database(filled_url)
    paginated = Paginated(PAGES, shared=True, cursors=Cursors([b"a secret of some length"]), origin="https://api.test/")

    async def things(request: Request) -> JSONResponse:
        page = await paginated.of(request)
        async with database.session() as session:
            listing = await page.fetch(session, select(THINGS.c.id).where(THINGS.c.owner == 1))
        return JSONResponse(listing.model_dump(mode="json"), headers=page.headers)

    app = Starlette(routes=[Route("/things", things)])
    url, seen = "/things?limit=3", []
    while url:
        reply = await get(app, url)
        seen += json.loads(reply.body)["items"]
        target = links(reply).get("next", "")
        assert target.startswith("https://api.test/things?") or not target
        url = target.removeprefix("https://api.test")
    assert seen == IN_ORDER
    app = Starlette(routes=[Route("/things", things)])
    Tailrace(app, Settings(database_url=None, valkey_url=None))
    for query in ("limit=x", "limit=99999999999999999999", "limit=%C2%B2", "offset=-1", "sort=no", "cursor=no"):
        assert (await get(app, f"/things?{query}")).status == 400
    await database.aclose()


async def test_the_secret_is_the_databases_by_default(filled_url: str) -> None:
    """Two processes that share a database understand each other's cursors without a setting; without a database that
    keeps a secret, a setting is asked for."""
    from tailrace.schema import Watch, apply

    await apply(filled_url, [Watch(THINGS)])
    apps = [FastAPI(), FastAPI()]
    for app in apps:
        Tailrace(app, Settings(database_url=SecretStr(filled_url), valkey_url=None))

        @app.get("/things")
        async def things(page: ThingsPage, session: SessionDependency) -> Listing[Thing]:
            return await page.fetch(session, select(THINGS))

    async with apps[0].state.tailrace.running(), apps[1].state.tailrace.running():
        target = links(await get(apps[0], "/things?limit=2"))["next"]
        assert (await get(apps[1], target)).status == 200
    lonely = FastAPI()
    Tailrace(lonely, Settings(database_url=None, valkey_url=None))
    lonely.get("/things")(things)
    assert (await get(lonely, "/things")).status == 500


def test_secrets_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a JSON list; a short one is refused at the start."""
    monkeypatch.setenv("TAILRACE_HTTP__CURSOR_SECRETS", '["the new secret....", "the old secret...."]')
    assert [s.get_secret_value() for s in Settings().http.cursor_secrets] == [
        "the new secret....",
        "the old secret....",
    ]
    monkeypatch.setenv("TAILRACE_HTTP__CURSOR_SECRETS", '["short"]')
    with pytest.raises(ValidationError, match="at least 16"):
        Settings()


def test_whose_rows_must_be_said() -> None:
    """As for cached routes: no cursor is everyone's by forgetting to say."""
    with pytest.raises(ValueError, match="whose"):
        Paginated(PAGES)
