"""Where a request's id and trace go: into logs, statements, and calls to other services."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from fastapi import FastAPI
from pydantic import SecretStr
from sqlalchemy import text
from tests.integration.fastapi.serving import served
from tests.unit.asgi.driver import ask

from tailrace import Tailrace, cached
from tailrace.fastapi.dependencies import SessionDependency
from tailrace.logs import RequestIdFilter
from tailrace.settings import DatabaseSettings, Settings
from tailrace.upstream import UpstreamClient

Headers = list[tuple[bytes, bytes]]

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
GIVEN = [
    (b"x-request-id", b"order=7/a"),
    (b"traceparent", b"00-" + TRACE.encode() + b"-00f067aa0ba902b7-01"),
    (b"tracestate", b"vendor=x"),
    (b"cookie", b"session=secret"),
]
OWN_STATEMENT = text("SELECT query FROM pg_stat_activity WHERE pid = pg_backend_pid() AND :given = '100%'")


async def answer(app: FastAPI, path: str, headers: Headers = GIVEN) -> str:
    """What it says."""
    return str(json.loads((await ask(app, path, headers=headers)).body))


class Kept(logging.Handler):
    """Keeps what is logged, as one line each."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self.addFilter(RequestIdFilter())
        self.setFormatter(logging.Formatter("%(request_id)s %(trace_id)s %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


async def echoing(scope: Any, receive: Any, send: Any) -> None:
    """A service that answers with the header fields that it was sent."""
    if scope["type"] != "http":
        while (message := await receive())["type"] != "lifespan.shutdown":
            await send({"type": f"{message['type']}.complete"})
        await send({"type": "lifespan.shutdown.complete"})
        return
    body = b"\n".join(b"%s: %s" % pair for pair in scope["headers"])
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": body})


@pytest.mark.parametrize("driver", ["postgresql", "postgresql+psycopg"])
async def test_statements_say_which_request_they_are_run_for(database_url: str, driver: str) -> None:
    """Where that is asked for; nothing in an id can end the comment, and a statement's own percent signs stay."""
    app = FastAPI()
    url = SecretStr(database_url.replace("postgresql", driver, 1))
    tailrace = Tailrace(app, Settings(database_url=url, database=DatabaseSettings(comments=True)))

    @app.get("/statement")
    async def statement(session: SessionDependency) -> str:
        return str((await session.execute(OWN_STATEMENT, {"given": "100%"})).scalar_one())

    async with tailrace.running():
        said = await answer(app, "/statement")
        again = await answer(app, "/statement", [(b"x-request-id", b"b")])
        assert tailrace.database is not None
        outside = (await tailrace.database.fetch(OWN_STATEMENT, {"given": "100%"}))[0][0]
    assert f" /*request_id='order%3D7%2Fa',traceparent='00-{TRACE}-" in said
    assert said.endswith("-01',tracestate='vendor%3Dx'*/")
    assert "/*request_id='b',traceparent='00-" in again
    assert "/*" not in outside


async def test_statements_say_nothing_unless_it_is_asked_for(database_url: str) -> None:
    """Each request's statements would otherwise be prepared anew."""
    app = FastAPI()
    tailrace = Tailrace(app, Settings(database_url=SecretStr(database_url)))

    @app.get("/statement")
    async def statement(session: SessionDependency) -> str:
        return str((await session.execute(OWN_STATEMENT, {"given": "100%"})).scalar_one())

    async with tailrace.running():
        assert "/*" not in await answer(app, "/statement")


async def test_calls_and_logs_carry_the_request_that_they_are_made_for() -> None:
    """Also where an answer is computed to be kept; what the client sent besides stays here."""
    app = FastAPI()
    tailrace = Tailrace(app, Settings())
    kept, log = Kept(), logging.getLogger("tests.request_identity")
    log.addHandler(kept)
    async with served(echoing) as port, UpstreamClient("echo", f"http://127.0.0.1:{port}") as client:

        async def told() -> str:
            log.warning("asking")
            return (await client.request("GET", "/")).body.decode()

        @app.get("/plain")
        async def plain() -> str:
            return await told()

        @app.get("/kept")
        @cached(ttl=60, shared=True)
        async def computed() -> str:
            return await told()

        try:
            async with tailrace.running():
                for path in ("/plain", "/kept"):
                    fields = dict(line.split(": ", 1) for line in (await answer(app, path)).splitlines())
                    assert fields["x-request-id"] == "order=7/a"
                    assert fields["traceparent"].startswith(f"00-{TRACE}-")
                    assert fields["tracestate"] == "vendor=x"
                    assert "cookie" not in fields
                log.warning("outside")
        finally:
            log.removeHandler(kept)
    assert kept.lines == [f"order=7/a {TRACE} asking"] * 2 + ["- - outside"]
