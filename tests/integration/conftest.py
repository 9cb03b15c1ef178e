"""A PgBouncer before a database."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.pooling import running_pgbouncer


@pytest.fixture
def pgbouncer(database_url: str, server_folder: Path) -> Iterator[str]:
    """PgBouncer in transaction mode with a single server connection, so that every leak shows."""
    with running_pgbouncer(database_url, server_folder) as url:
        yield url
