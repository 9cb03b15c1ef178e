"""Which database this is, and in which life. Touches: one connection, handed in.

A commit may be lost when a replica takes over (another timeline), when a backup is restored (another timeline or
system), when a database is dropped and made again (another oid or installation). Each makes another epoch, and caches
start cold.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b

from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.ext.asyncio import AsyncConnection

from tailrace.errors import DatabaseUnavailableError, SchemaError

__all__ = ["Identity", "read_identity"]

IDENTITY = text("""
    SELECT (SELECT system_identifier::text FROM pg_control_system()),
           CASE WHEN NOT pg_is_in_recovery() THEN substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8) END,
           (SELECT oid::text FROM pg_database WHERE datname = current_database()),
           i.id::text,
           i.secret,
           pg_postmaster_start_time()
    FROM tailrace.installation i
""")


@dataclass(frozen=True, slots=True, repr=False)
class Identity:
    """A database in one of its lives: ``epoch`` names it, ``secret`` is shared by all who use it.

    ``server`` is when the server that answered was started.
    """

    epoch: str
    installation: str
    secret: bytes
    server: object


async def read_identity(connection: AsyncConnection) -> Identity:
    """Ask the server. One round trip.

    Raises:
        SchemaError: Tailrace's objects are not in this database.
        DatabaseUnavailableError: this server is a replica, or the rights to ask are missing.
    """
    try:
        found = (await connection.execute(IDENTITY)).one_or_none()
    except ProgrammingError as error:
        raise SchemaError("the database has no tailrace.installation: run 'tailrace schema apply'") from error
    if found is None:
        raise SchemaError("tailrace.installation is empty: run 'tailrace schema apply'")
    system, timeline, oid, installation, secret, server = found
    if timeline is None:
        raise DatabaseUnavailableError("this server is a replica: writes cannot be followed there")
    parts = "|".join((system, timeline, oid, installation))
    return Identity(blake2b(parts.encode(), digest_size=12).hexdigest(), installation, bytes(secret), server)
