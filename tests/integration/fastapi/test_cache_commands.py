"""``tailrace cache`` on a running service: what it would do and why, what it did, and clearing."""

from __future__ import annotations

import json
from typing import Any

import pytest
from fastapi import FastAPI, Response
from pydantic import SecretStr
from tests.integration.commands import tailrace_cache
from tests.integration.fastapi.serving import served, talk

from tailrace import Tailrace, cached, tag
from tailrace.settings import HttpSettings, Settings

TOKEN = "operators-only-0123456789"


def service(**http: Any) -> tuple[FastAPI, Tailrace, dict[str, int]]:
    app, counted = FastAPI(), {"own": 0, "said": 0}
    tailrace = Tailrace(
        app, Settings(database_url=None, valkey_url=None, http=HttpSettings(cache_by_headers=True, **http))
    )

    @app.get("/own")
    @cached(
        ttl=60,
        identity=lambda exchange: exchange.header("x-user"),
        depends_on=lambda identity, path, query: [tag("calls", "user_id", identity)],
        name="own figures",
    )
    async def own() -> int:
        counted["own"] += 1
        return counted["own"]

    @app.get("/said")
    async def said(response: Response) -> int:
        response.headers["cache-control"] = "max-age=60"
        counted["said"] += 1
        return counted["said"]

    @app.get("/silent")
    async def silent() -> int:
        return 1

    return app, tailrace, counted


async def explained(port: int, path: str, *arguments: str) -> dict[str, Any]:
    code, out, error = await tailrace_cache("explain", f"http://127.0.0.1:{port}{path}", *arguments, "--format", "json")
    assert out, error
    document: dict[str, Any] = json.loads(out)
    assert code == (0 if document["outcome"] in ("hit", "stale") else 3)
    return document


def request(path: str, *fields: str, method: str = "GET") -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", "host: x", "connection: close", *fields, "", ""]).encode()


async def test_explain_by_policy() -> None:
    """Not stored, stored, written since, and out of the cache's reach; nothing is computed by asking."""
    app, tailrace, counted = service()
    mine = ("--header", "x-user: 7")
    async with served(app) as port:
        host = f"host: 127.0.0.1:{port}"
        first = await explained(port, "/own", *mine)
        assert (first["outcome"], first["why"]) == ("miss", "nothing is stored under this key")
        assert counted["own"] == 0
        await talk(port, request("/own", "x-user: 7").replace(b"host: x", host.encode()))
        stored = await explained(port, "/own", *mine)
        assert (stored["outcome"], stored["held_here"], stored["identity"]) == ("hit", True, "own")
        assert {"tag": "calls:user_id=7", "current": True} in stored["tags"]
        assert (await explained(port, "/own", "--header", "x-user: 8"))["outcome"] == "miss"
        code, out, _ = await tailrace_cache("clear", f"http://127.0.0.1:{port}", "--tag", "calls:user_id=7")
        assert (code, out) == (0, "ended: calls:user_id=7\n")
        written = await explained(port, "/own", *mine)
        assert (written["outcome"], written["why"]) == ("miss", "written since it was computed: calls:user_id=7")
        assert (await explained(port, "/own"))["outcome"] == "bypass", "whose it is, nobody said"
        assert counted["own"] == 1
        code, out, _ = await tailrace_cache("explain", f"http://127.0.0.1:{port}/own", *mine)
        assert code == 3
        assert "calls:user_id=7" in out
        assert "written since" in out
    assert tailrace.started is False


async def test_explain_by_headers() -> None:
    """What is kept as the response says; and a route that keeps nothing explains nothing."""
    app, _, counted = service()
    async with served(app) as port:
        assert (await explained(port, "/said"))["why"] == "nothing is stored for this target"
        await talk(port, request("/said").replace(b"host: x", f"host: 127.0.0.1:{port}".encode()))
        stored = await explained(port, "/said")
        assert (stored["by"], stored["outcome"], stored["cache_control"]) == ("headers", "hit", "max-age=60")
        assert (await explained(port, "/said", "-H", "cache-control: no-cache"))["why"] == "it must be validated first"
        assert counted["said"] == 1
        assert (await explained(port, "/silent"))["outcome"] == "miss"


async def test_stats_and_clear() -> None:
    """What look-ups found, by policy; what is cleared is computed anew."""
    app, _, counted = service()
    async with served(app) as port:
        base = f"http://127.0.0.1:{port}"
        for _ in range(3):
            await talk(port, request("/own", "x-user: 7"))
        code, out, _ = await tailrace_cache("stats", base, "--format", "json")
        (policy,) = json.loads(out)["policies"]
        assert (code, policy["policy"], policy["hit"], policy["miss"]) == (0, "own figures", 2, 1)
        assert policy["hit_ratio"] == 0.6667
        assert "own figures" in (await tailrace_cache("stats", base))[1]
        for arguments in (["--prefix", "http:"], ["--all"]):
            assert (await tailrace_cache("clear", base, *arguments))[1].startswith("removed: ")
            before = counted["own"]
            await talk(port, request("/own", "x-user: 7"))
            assert counted["own"] == before + 1
        await talk(port, request("/own", "x-user: 7").replace(b"host: x", f"host: 127.0.0.1:{port}".encode()))
        key = (await explained(port, "/own", "-H", "x-user: 7"))["key"]
        cleared = await tailrace_cache("clear", base, "--key", key, "--key", "never kept")
        assert cleared[:2] == (0, f"removed: {key}\nnot there: never kept\n")
        assert (await tailrace_cache("clear", base, "--key", key))[:2] == (0, f"not there: {key}\n")
        assert (await tailrace_cache("clear", base))[0] == 2
        assert (await tailrace_cache("clear", base, "--all", "--tag", "calls"))[0] == 2


async def test_clear_by_address() -> None:
    """What is kept as a response says ends by its address, whole or a path; what is none is said."""
    app, _, counted = service()
    async with served(app) as port:
        base = f"http://127.0.0.1:{port}"
        said = request("/said?page=1").replace(b"host: x", f"host: 127.0.0.1:{port}".encode())
        for arguments in ([base, "--url", "/said?page=1"], ["--url", f"{base}/said?page=1#top"]):
            before = counted["said"]
            for _ in range(2):
                await talk(port, said)
            assert counted["said"] == before + (before == 0)
            assert await tailrace_cache("clear", *arguments) == (0, f"ended: {base}/said?page=1\n", "")
            await talk(port, said)
            assert counted["said"] == before + (before == 0) + 1
        assert (await tailrace_cache("clear", base, "--url", "said"))[0] == 1
        assert (await tailrace_cache("clear", "--url", "/said"))[0] == 2, "nobody said where"


async def test_nothing_is_cleared_by_address_where_nothing_is_kept_by_it() -> None:
    """A service that keeps answers by policies alone says so, in place of clearing nothing."""
    app = FastAPI()
    Tailrace(app, Settings(database_url=None, valkey_url=None))
    async with served(app) as port:
        code, out, error = await tailrace_cache("clear", f"http://127.0.0.1:{port}", "--url", "/own")
        assert (code, out) == (1, "")
        assert "nothing is kept by address here" in error


async def test_only_operators() -> None:
    """Without the token, or without the field that no foreign page can send, it is as if there were nothing."""
    app, _, counted = service(admin_token=SecretStr(TOKEN))
    async with served(app) as port:
        url = f"http://127.0.0.1:{port}"
        clear = "/monitoring/cache/clear?all=yes"
        for fields in ((), ("tailrace-operator: wrong",), (f"authorization: Bearer {TOKEN}",)):
            answer = await talk(port, request(clear, *fields, "content-length: 0", method="POST"))
            assert answer.startswith(b"HTTP/1.1 404")
        answer = await talk(port, request(clear, f"tailrace-operator: {TOKEN}", "content-length: 0", method="POST"))
        assert answer.startswith(b"HTTP/1.1 200")
        assert b'"own"' not in await talk(port, request("/own", "x-user: 7", "tailrace-explain: 1"))
        assert counted["own"] == 1, "a stranger who wants an explanation gets an answer"
        code, _, error = await tailrace_cache("stats", url)
        assert (code, "token" in error) == (1, True)
        code, _, error = await tailrace_cache("explain", f"{url}/own", "-H", "x-user: 7", "--token", "wrong")
        assert (code, "explained nothing" in error) == (1, True)
        found = await explained(port, "/own", "-H", "x-user: 7", "-H", "authorization: Bearer mine", "--token", TOKEN)
        assert found["outcome"] in ("hit", "miss")


@pytest.mark.parametrize(
    "arguments", [["stats", "ftp://x"], ["explain", "nonsense"], ["explain", "http://x", "-H", "x"]]
)
async def test_wrong_use(arguments: list[str]) -> None:
    """Exit code 2 and what is wrong."""
    code, _, error = await tailrace_cache(*arguments)
    assert (code, bool(error)) == (2, True)


async def test_nobody_there() -> None:
    """One line, exit code 1."""
    code, _, error = await tailrace_cache("stats", "http://127.0.0.1:1")
    assert (code, error.count("\n")) == (1, 1)
