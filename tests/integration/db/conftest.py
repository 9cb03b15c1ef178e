"""A database with one watched table, and a PgBouncer before it."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import closing
from importlib.resources import files
from pathlib import Path
from socket import create_connection, socket
from urllib.parse import urlsplit

import asyncpg
import pytest

TABLE = """
CREATE TABLE calls (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, user_id int NOT NULL, minutes int NOT NULL);
CREATE FUNCTION tag_calls() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO tailrace.outbox (tag) SELECT DISTINCT 'calls:user_id=' || user_id FROM changed;
    RETURN NULL;
END $$;
CREATE TRIGGER tag_insert AFTER INSERT ON calls REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION tag_calls();
CREATE TRIGGER tag_delete AFTER DELETE ON calls REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION tag_calls();
"""


@pytest.fixture
async def watched(database_url: str) -> str:
    """The address of a database whose ``calls`` writes tags for each user."""
    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute((files("tailrace.schema") / "installation.sql").read_text())
        await connection.execute(TABLE)
    finally:
        await connection.close()
    return database_url


@pytest.fixture
def pgbouncer(database_url: str, server_folder: Path) -> Iterator[str]:
    """PgBouncer in transaction mode with a single server connection, so that every leak shows."""
    program = shutil.which("pgbouncer", path="/usr/sbin:/usr/bin")
    if program is None:
        pytest.skip("pgbouncer is not installed: apt-get install pgbouncer")
    address = urlsplit(database_url)
    with closing(socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    name = address.path[1:]
    folder = server_folder / f"pgbouncer-{port}"
    folder.mkdir()
    folder.chmod(0o755)
    configuration = folder / "pgbouncer.ini"
    configuration.write_text(
        f"[databases]\n{name} = host={address.hostname} port={address.port} "
        f"user={address.username} password={address.password}\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nauth_type = any\nunix_socket_dir =\n"
        "pool_mode = transaction\ndefault_pool_size = 1\n"
    )
    running = subprocess.Popen([program, "-u", "nobody", "-q", str(configuration)], stderr=subprocess.DEVNULL)
    try:
        while running.poll() is None:
            try:
                create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except ConnectionRefusedError:
                continue
        yield f"postgresql://{address.username}@127.0.0.1:{port}/{name}"
    finally:
        running.terminate()
        running.wait()
