"""What the how-to guides show runs."""

from __future__ import annotations

import json
import re
from pathlib import Path
from textwrap import dedent
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import insert, text
from tests.integration.db.query_world import processes
from tests.unit.asgi.driver import ask
from tests.waiting import wait_until

from tailrace.db import Database
from tailrace.errors import SchemaError, UrlRefusedError
from tailrace.schema import Watch, apply
from tailrace.semantic import Embedder
from tailrace.semantic.documents import Source, load_documents, prepare_documents

GUIDES = Path(__file__).parents[3] / "docs" / "how-to"


def run(name: str) -> dict[str, Any]:
    """The names that a guide's Python defines, run in order."""
    names: dict[str, Any] = {"__name__": __name__}
    for block in re.findall(
        r"^( *)```python\n(.*?)^ *```", (GUIDES / name).read_text(), flags=re.DOTALL | re.MULTILINE
    ):
        exec(compile(dedent(block[1]), name, "exec", dont_inherit=True), names)
    return names


async def test_versioning() -> None:
    """Both versions answer, the old path too, and what is going away says so."""
    names = run("versioning.md")
    app = names["app"]
    for path, version, going in (
        ("/api/v1/tools/search_calls", "v1", True),
        ("/api/v2/tools/search_calls", "v2", False),
        ("/tools/search_calls", "v1", True),
        ("/api/tools/search_calls", "v2", False),
    ):
        reply = await ask(app, path, method="POST")
        assert (reply.status, json.loads(reply.body)["api_version"]) == (200, version)
        assert (b"deprecation" in reply.headers) is going
        shown = [
            b"%s: %s" % (name.title(), reply.headers[name]) for name in (b"deprecation", b"sunset", b"link") if going
        ]
        if path.startswith("/api/v1"):
            assert b"\n".join(shown).decode() in (GUIDES / "versioning.md").read_text()
    assert (await ask(app, "/api/v3/tools/search_calls", method="POST")).status == 404


async def test_pagination(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages follow each other by their cursors, and the check asks for the index that the guide names."""
    monkeypatch.setenv("TAILRACE_DATABASE_URL", database_url)
    names = run("pagination.md")
    database, calls = Database(database_url), names["calls"]
    async with database.engine.begin() as connection:
        await connection.run_sync(names["metadata"].create_all)
        await connection.execute(insert(calls), [{"id": n, "product": "x", "title": f"call {n}"} for n in range(7)])
    await apply(database_url, [Watch(calls)])
    async with names["tailrace"].running():
        query, titles = b"total=capped&limit=4", []
        for _ in range(2):
            reply = await ask(names["app"], "/products/x/calls", query_string=query)
            body = names["Listing"].model_validate_json(reply.body)
            titles += [item["title"] for item in body.items]
            query = f"total=capped&limit=4&cursor={body.next_cursor}".encode()
        assert titles == [f"call {n}" for n in reversed(range(7))]
        assert (body.total, body.total_is, body.has_next) == (7, "exact", False)
        with pytest.raises(SchemaError):
            await names["check_indexes"]()
        async with database.engine.begin() as connection:
            await connection.execute(text("CREATE INDEX ON calls (product, scheduled_at DESC NULLS LAST, id DESC)"))
        await names["check_indexes"]()
    await database.aclose()


async def test_rate_limits() -> None:
    """Expensive routes share a bucket, the costly one takes more of it, and the one that declines is not limited."""
    app = run("rate-limits.md")["app"]
    caller = {"headers": [(b"x-user", b"7")]}
    assert [(await ask(app, "/analyses", method="POST", **caller)).status for _ in range(20)] == [200] * 20
    assert [(await ask(app, "/reports", method="POST", **caller)).status for _ in range(3)] == [200, 200, 429]
    assert (await ask(app, "/reports", method="POST")).status == 200
    assert b"ratelimit" not in (await ask(app, "/status", **caller)).headers


async def test_compression() -> None:
    """The layer works alone, and an endpoint that opts out is left alone, as the guide shows."""
    names = run("compression.md")
    asked = {"headers": [(b"accept-encoding", b"zstd")]}
    alone = await ask(names["layered"], "/prices", **asked)
    assert alone.headers[b"content-encoding"] == b"zstd"
    async with names["tailrace"].running():
        assert (await ask(names["app"], "/prices", **asked)).content == alone.content
        assert b"content-encoding" not in (await ask(names["app"], "/account", **asked)).headers
        assert (await ask(names["app"], "/prices", **asked)).headers[b"content-encoding"] == b"zstd"


async def test_http_cache() -> None:
    """The catalogue is asked for once, until a write names its group."""
    names = run("http-cache.md")
    app, tailrace = names["app"], names["tailrace"]
    async with tailrace.running():
        replies = [await ask(app, "/catalogue") for _ in range(2)]
        assert [b"hit" in reply.cache_status for reply in replies] == [False, True]
        await ask(app, "/catalogue", method="POST")
        assert b"hit" not in (await ask(app, "/catalogue")).cache_status


async def test_outbound() -> None:
    """Neither the fetcher nor the client of the guide is led to this machine."""
    names = run("outbound.md")
    for address in ("http://127.0.0.1/", "http://localhost/", "http://[::ffff:169.254.169.254]/"):
        with pytest.raises(UrlRefusedError):
            await names["preview"](address)
    await names["fetcher"].aclose()
    with pytest.raises(UrlRefusedError):
        names["webhook"]("http://10.0.0.1/hook")
    await names["webhook"]("https://hooks.example/in").aclose()


async def test_query_cache(database_url: str) -> None:
    """The second time both functions of the guide send nothing, and a write ends it."""
    names = run("query-cache.md")
    async with Database(database_url).engine.begin() as connection:
        await connection.run_sync(names["Base"].metadata.create_all)
    await apply(database_url, names["OBJECTS"])
    async with processes(database_url) as (process,):
        await wait_until(process.freshness.trusted)
        order = names["Order"]

        async def buy(amount: int) -> None:
            await process.database.run(lambda s: s.execute(insert(order).values(customer_id=1, amount=amount)))

        async def ask() -> tuple[dict[int, int], int]:
            return await names["totals"](process.database), len(await names["orders"](process.database, 1))

        async def sends_nothing() -> bool:
            process.sent()
            await ask()
            return process.sent() == 0

        await buy(3)
        for amount in (4, 5):
            before = await ask()
            await wait_until(sends_nothing)  # what was kept while the word of a write was on its way has ended with it
            assert await ask() == before
            await buy(amount)
            assert (await names["totals"](process.database))[1] == before[0][1] + amount


async def test_semantic_answers(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The guide's service answers from its notes, from the cache when it is asked otherwise, and anew after a write."""
    monkeypatch.setenv("TAILRACE_DATABASE_URL", database_url)
    names = run("semantic-answers.md")
    database = Database(database_url)
    async with database.engine.begin() as connection:
        await connection.execute(text("CREATE EXTENSION vector"))
        await connection.run_sync(names["metadata"].create_all)
    await apply(database_url, names["OBJECTS"])

    async def outcome(question: str) -> tuple[str, list[str]]:
        reply = await ask(names["app"], "/ask", query_string=f"q={question}".replace(" ", "+").encode())
        return reply.headers[b"semantic-cache"].decode(), json.loads(reply.body)

    await names["embedder"].model()
    async with names["tailrace"].running():
        assert await names["tailrace"].freshness.fence()
        assert await outcome("Why do cats purr?") == ("miss", [])
        async with database.engine.begin() as connection:
            await connection.execute(insert(names["notes"]), [{"id": 1, "body": "Cats purr because they are content."}])
        assert await names["tailrace"].freshness.fence()
        said = ["Cats purr because they are content."]
        assert await outcome("Why do cats purr?") == ("miss", said)
        assert await outcome("why do cats purr") == ("exact", said)
        assert await outcome("Why does a cat purr?") == ("similar", said)
    await names["embedder"].aclose()
    await database.aclose()


async def test_documents(database_url: str) -> None:
    """What was loaded is found in its corpus, by the names that the guide uses."""
    database, embedder = Database(database_url), Embedder()
    await prepare_documents(database)
    text = "# Vacuum\n\nVacuum removes dead rows.\n"
    await load_documents(database, "postgresql", [Source("vacuum.md", "markdown", text.encode)], embedder)
    names = run("documents.md")
    assert await names["passages"](SimpleNamespace(database=database), embedder, "What removes dead rows?") == [
        "vacuum.md: Vacuum removes dead rows."
    ]
    await embedder.aclose()
    await database.aclose()


async def test_streaming(monkeypatch: pytest.MonkeyPatch) -> None:
    """The numbers come with ids, go on after the last one that was received, and end with 204."""
    monkeypatch.delenv("TAILRACE_VALKEY_URL", raising=False)
    monkeypatch.delenv("TAILRACE_DATABASE_URL", raising=False)
    app = run("streaming.md")["app"]
    documented = app.openapi()["paths"]["/numbers"]["get"]["responses"]["200"]
    assert list(documented["content"]) == ["text/event-stream"]
    whole = (await ask(app, "/numbers")).body.decode()
    ids = re.findall(r"^id: (.*)$", whole, flags=re.MULTILINE)
    assert re.findall(r"^data: (.*)$", whole, flags=re.MULTILINE) == [*(f'{{"number":{n}}}' for n in (1, 2, 3)), ""]
    rest = (await ask(app, "/numbers", headers=[(b"last-event-id", ids[1].encode())])).body.decode()
    assert re.findall(r"^id: (.*)$", rest, flags=re.MULTILINE) == ids[2:]
    assert (await ask(app, "/numbers", headers=[(b"last-event-id", ids[3].encode())])).status == 204


async def test_semantic_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer is streamed, replayed for the same text, and gone when it was rejected."""
    monkeypatch.delenv("TAILRACE_VALKEY_URL", raising=False)
    monkeypatch.delenv("TAILRACE_DATABASE_URL", raising=False)
    names = run("semantic-cache.md")
    app = names["app"]

    async def asked() -> str:
        return (await ask(app, "/ask", query_string=b"q=How+long+did+it+rain")).body.decode()

    first, again = await asked(), await asked()
    assert "event: cache" not in first
    assert again.replace('event: cache\ndata: {"outcome":"exact"}\n\n', "") == first
    reply = await ask(app, "/rejected", method="POST", query_string=b"q=How+long+did+it+rain")
    assert json.loads(reply.body) == {"was": "exact"}
    assert await asked() == first
    await names["answers"].aclose()
    await names["embedder"].aclose()
