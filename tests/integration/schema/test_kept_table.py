"""Tables that a service's own triggers keep: made, filled while it writes, found again, taken away."""

# ruff: noqa: E501 - statements stay on one line

from __future__ import annotations

import asyncio

import asyncpg
import pytest
from sqlalchemy import Column, Integer, MetaData, Table, Text

from tailrace.errors import DatabaseUnavailableError, SchemaError
from tailrace.schema import Declaration, Index, KeptTable, Progress, Watch, apply, plan, status

metadata = MetaData()
words = Table("words", metadata, Column("id", Integer, primary_key=True), Column("word", Text, nullable=False))
lengths = Table(
    "lengths", MetaData(), Column("id", Integer, primary_key=True), Column("length", Integer, nullable=False)
)

_MISSING = "SELECT id, length(word) FROM words w WHERE NOT EXISTS (SELECT FROM lengths l WHERE l.id = w.id)"
FILL = f"WITH filled AS (INSERT INTO lengths {_MISSING} ORDER BY id LIMIT 10 ON CONFLICT DO NOTHING RETURNING 1) SELECT count(*) FROM filled"
KEEP = [
    "CREATE FUNCTION keep_lengths() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
    "INSERT INTO lengths SELECT id, length(word) FROM new_rows ON CONFLICT (id) DO UPDATE SET length = excluded.length; RETURN NULL; END $$",
    "CREATE TRIGGER keep_inserted AFTER INSERT ON words REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION keep_lengths()",
    "CREATE TRIGGER keep_updated AFTER UPDATE ON words REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION keep_lengths()",
]
LENGTHS = KeptTable(lengths, keep=KEEP, undo=["DROP FUNCTION IF EXISTS keep_lengths() CASCADE"], fill=FILL)
BY_LENGTH = Index("lengths_length", lengths, ["length", "id"])
OBJECTS: list[Declaration] = [LENGTHS, BY_LENGTH, Watch(lengths, key="id")]

WRONG = "SELECT count(*) FROM words w FULL JOIN lengths l USING (id) WHERE length(w.word) IS DISTINCT FROM l.length"


@pytest.fixture
async def words_url(database_url: str, connection: asyncpg.Connection) -> str:
    """A database with words of many lengths."""
    await connection.execute("CREATE TABLE words (id serial PRIMARY KEY, word text NOT NULL)")
    await connection.execute("INSERT INTO words (word) SELECT repeat('x', n % 17) FROM generate_series(1, 95) n")
    return database_url


async def test_it_is_filled_and_kept(words_url: str, connection: asyncpg.Connection) -> None:
    """What was there is filled in, what is written later is kept, and a second run finds nothing to do."""
    told: list[Progress] = []
    assert await apply(words_url, OBJECTS, progress=told.append)
    assert await connection.fetchval("SELECT count(*) FROM lengths") == 95
    await connection.execute("INSERT INTO words (word) VALUES ('new'); UPDATE words SET word = 'longer' WHERE id < 9")
    assert await connection.fetchval(WRONG) == 0
    assert not await apply(words_url, OBJECTS)
    assert ("table", "public.lengths", "ready") in {(r["kind"], r["name"], r["state"]) for r in await status(words_url)}
    assert [step.done for step in told if step.phase == "fill"][-1] == 95
    assert await connection.fetchval("SELECT count(*) FROM tailrace.outbox WHERE tag LIKE 'lengths%'") > 0


async def test_writers_do_not_wait_for_the_filling(words_url: str, connection: asyncpg.Connection) -> None:
    """Rows written between two pieces are there once, with their newest value."""
    pieces = 0

    def write(step: Progress) -> None:
        nonlocal pieces
        if step.phase == "fill":
            pieces += 1
            writing.append(asyncio.ensure_future(change(pieces)))

    async def change(number: int) -> None:
        async with one_writes:  # two who update the same rows at once may well wait for each other
            writer = await asyncpg.connect(words_url)
            try:
                await writer.execute("UPDATE words SET word = word || 'yy' WHERE id % 3 = 0")
                await writer.execute("INSERT INTO words (word) VALUES (repeat('z', $1))", number)
            finally:
                await writer.close()

    one_writes = asyncio.Lock()
    writing: list[asyncio.Future[None]] = []
    await apply(words_url, OBJECTS, progress=write)
    await asyncio.gather(*writing)
    assert pieces > 1
    assert await connection.fetchval(WRONG) == 0


async def test_an_interrupted_filling_goes_on(words_url: str, connection: asyncpg.Connection) -> None:
    """What was filled in before the interruption is not read again, and readers are told that it is not ready."""

    def interrupt(step: Progress) -> None:
        if step.phase == "fill" and step.done >= 30:
            raise DatabaseUnavailableError("the machine was switched off")

    with pytest.raises(DatabaseUnavailableError):
        await apply(words_url, OBJECTS, progress=interrupt)
    assert [r["state"] for r in await status(words_url) if r["kind"] == "table"] == ["building"]
    made = await connection.fetchval("SELECT 'lengths'::regclass::oid")
    (step,) = [s for s in (await plan(words_url, OBJECTS)).steps if s.kind == "table"]
    assert step.action == "resume"
    await apply(words_url, OBJECTS)
    assert await connection.fetchval("SELECT 'lengths'::regclass::oid") == made
    assert await connection.fetchval(WRONG) == 0
    assert not await plan(words_url, OBJECTS)


async def test_a_change_makes_it_anew_with_its_indexes_and_watches(
    words_url: str, connection: asyncpg.Connection
) -> None:
    """Another definition takes the old table away, and what hung on it is made again."""
    await apply(words_url, OBJECTS)
    twice = KeptTable(
        lengths,
        keep=[text.replace("length(word)", "2 * length(word)") for text in KEEP],
        undo=LENGTHS.undo,
        fill=FILL.replace("length(word)", "2 * length(word)"),
    )
    found = await apply(words_url, [twice, *OBJECTS[1:]])
    assert {(s.kind, s.action) for s in found.steps} == {
        ("table", "rebuild"),
        ("index", "create"),
        ("triggers", "replace"),
    }
    await connection.execute("INSERT INTO words (word) VALUES ('four')")
    assert (
        await connection.fetchval("SELECT count(*) FROM words JOIN lengths USING (id) WHERE length <> 2 * length(word)")
        == 0
    )
    assert await connection.fetchval("SELECT count(*) FROM pg_indexes WHERE indexname = 'lengths_length'") == 1
    assert not await plan(words_url, [twice, *OBJECTS[1:]])


async def test_a_table_that_was_dropped_is_made_again(words_url: str, connection: asyncpg.Connection) -> None:
    """Whatever is left of it goes first."""
    await apply(words_url, OBJECTS)
    await connection.execute("DROP TABLE lengths")
    await apply(words_url, OBJECTS)
    assert await connection.fetchval(WRONG) == 0
    assert not await plan(words_url, OBJECTS)


async def test_what_is_no_longer_declared_is_taken_away_when_asked(
    words_url: str, connection: asyncpg.Connection
) -> None:
    """Nothing but the database knows how, when the declaration has gone."""
    await apply(words_url, OBJECTS)
    await apply(words_url, [], prune=True)
    assert await connection.fetchval("SELECT to_regclass('lengths')") is None
    assert await connection.fetchval("SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'keep_%'") == 0
    await connection.execute("INSERT INTO words (word) VALUES ('alone')")
    assert not (await plan(words_url, [])).unneeded


async def test_anybody_elses_table_is_left_alone(words_url: str, connection: asyncpg.Connection) -> None:
    """A table of the same name that Tailrace did not make is refused, untouched."""
    await connection.execute("CREATE TABLE lengths (id int)")
    with pytest.raises(SchemaError, match="not Tailrace's"):
        await apply(words_url, OBJECTS)


async def test_an_older_installation_learns_of_kept_tables(words_url: str, connection: asyncpg.Connection) -> None:
    """One that knows only the other kinds of objects is brought up to date by the next run, keeping what it has."""
    await apply(words_url, [Index("words_word", words, ["word"])])
    await connection.execute(
        "ALTER TABLE tailrace.objects DROP COLUMN removal, DROP CONSTRAINT objects_kind_check; "
        "ALTER TABLE tailrace.objects ADD CONSTRAINT objects_kind_check CHECK (kind IN ('triggers', 'rollup', 'index'))"
    )
    await apply(words_url, [Index("words_word", words, ["word"]), *OBJECTS])
    assert await connection.fetchval(WRONG) == 0
    assert {r["name"] for r in await status(words_url)} >= {"public.words_word", "public.lengths"}


def test_a_declaration_says_all_three_things() -> None:
    """Without what keeps it, what takes that away, or what fills it, a table could not be kept right."""
    with pytest.raises(SchemaError, match="what keeps it"):
        KeptTable(lengths, keep=[], undo=["SELECT"], fill="SELECT 0")
