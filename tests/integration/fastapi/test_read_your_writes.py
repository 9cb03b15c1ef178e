from __future__ import annotations

import asyncio
import json
from importlib.resources import files
from typing import Any

import asyncpg
import pytest
from fastapi import FastAPI
from pydantic import SecretStr
from sqlalchemy import text
from tests.unit.asgi.driver import ask

from tailrace import Tailrace, cached, tag
from tailrace.fastapi import SessionDependency
from tailrace.settings import Settings

NOTES = """
CREATE TABLE notes (id int PRIMARY KEY, words text NOT NULL);
INSERT INTO notes VALUES (1, 'old');
CREATE FUNCTION tag_notes() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO tailrace.outbox (tag) VALUES ('notes');
    RETURN NULL;
END $$;
CREATE TRIGGER tag_notes AFTER UPDATE ON notes FOR EACH STATEMENT EXECUTE FUNCTION tag_notes();
"""


@pytest.fixture
async def watched_notes(database_url: str) -> str:
    """The address of a database whose ``notes`` write a tag."""
    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute((files("tailrace.schema") / "installation.sql").read_text())
        await connection.execute(NOTES)
    finally:
        await connection.close()
    return database_url


def service(database_url: str, valkey_url: str) -> tuple[FastAPI, Tailrace]:
    app = FastAPI()
    tailrace = Tailrace(app, Settings(database_url=SecretStr(database_url), valkey_url=SecretStr(valkey_url)))

    @app.get("/note")
    @cached(ttl=600, shared=True, depends_on=[tag("notes")])
    async def read(session: SessionDependency) -> dict[str, Any]:
        return {"words": (await session.execute(text("SELECT words FROM notes"))).scalar_one()}

    @app.post("/note/{words}")
    async def write(words: str, session: SessionDependency) -> None:
        await session.execute(text("UPDATE notes SET words = :words"), {"words": words})
        await session.commit()

    return app, tailrace


async def test_own_write_is_read_on_another_process(watched_notes: str, valkey_url: str) -> None:
    """A client that wrote through one process reads its write through another at once, every time, from answers that
    are otherwise cached."""
    (one, first), (two, second) = service(watched_notes, valkey_url), service(watched_notes, valkey_url)
    async with first.running(), second.running():
        async with asyncio.timeout(20):
            while not (
                first.freshness and first.freshness.trusted() and second.freshness and second.freshness.trusted()
            ):
                await asyncio.sleep(0)
        async with asyncio.timeout(20):
            while not (await ask(two, "/note")).cache_status.startswith(b"tailrace; hit"):
                await asyncio.sleep(0)
        for number in range(20):
            written = await ask(one, f"/note/{number}", method="POST")
            assert written.status == 200
            cookie = written.headers[b"set-cookie"].partition(b";")[0]
            reply = await ask(two, "/note", headers=[(b"cookie", cookie)])
            assert json.loads(reply.body) == {"words": str(number)}
            assert not {b"set-cookie", b"tailrace-fresh"} & reply.headers.keys()
