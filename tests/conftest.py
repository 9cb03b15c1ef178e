"""Servers for the tests: real PostgreSQL and Valkey, one of each for every process that runs tests, on free ports."""

from __future__ import annotations

import asyncio
import itertools
import os
import shutil
import tempfile
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest
from hypothesis import settings

from tailrace.embedded import PostgresServer, ValkeyServer

# A busy machine must not fail a test. In CI the same examples each time, so that red means a change; elsewhere new
# ones.
settings.register_profile("tailrace", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("tailrace")

# Nothing here outlives the run, so the machine's crash need not be survived; the server's own may be tested.
UNSAFE_BUT_FAST = {
    "fsync": "off",
    "full_page_writes": "off",
    "shared_buffers": "128MB",
    "max_wal_size": "1GB",
    "log_min_messages": "warning",
}

_numbers = itertools.count(1)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Who runs which tests when ``-n`` asks for several processes."""
    from tests.scheduling import FolderScheduling

    return FolderScheduling(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """In several processes, the reference services' tests first: they take longest, and none is to wait for another."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: "tests/services/" not in item.nodeid)


@pytest.fixture(scope="session")
def server_folder() -> Iterator[Path]:
    """A folder that an unprivileged server can reach, which pytest's own temporary ones are not when root runs it."""
    folder = Path(tempfile.mkdtemp(prefix="tailrace-tests-"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def postgres(server_folder: Path) -> Iterator[PostgresServer]:
    """A started PostgreSQL for the whole run."""
    with PostgresServer(server_folder / "postgres", settings=UNSAFE_BUT_FAST) as server:
        yield server


class MakeDatabase(Protocol):
    """Makes a database, empty or as a copy of the one of the name ``like``; its address."""

    def __call__(self, like: str | None = None) -> str: ...


class Originals:
    """Databases that are filled once in a run, to be read by tests or copied for them."""

    def __init__(self, postgres: PostgresServer) -> None:
        self._postgres = postgres
        self._filled: set[str] = set()

    def url(self, name: str, fill: Callable[[str], Coroutine[Any, Any, object]], like: str | None = None) -> str:
        """The address of the database ``name``, which ``fill`` filled when it was first asked for.

        Args:
            like: the name of the one that it begins as a copy of.
        """
        url = self._postgres.url(name)
        if name not in self._filled:
            self._postgres.start()  # a test may have killed it
            self._postgres.drop_database(name)
            self._postgres.create_database(name, template=like)
            asyncio.run(fill(url))
            self._filled.add(name)
        return url


@pytest.fixture(scope="session")
def originals(postgres: PostgresServer) -> Originals:
    """Databases for the whole run."""
    return Originals(postgres)


@pytest.fixture
def make_database(postgres: PostgresServer) -> Iterator[MakeDatabase]:
    """Makes databases, dropped afterwards."""
    made: list[str] = []

    def make(like: str | None = None) -> str:
        postgres.start()  # a test may have killed it
        name = f"test_{next(_numbers)}"
        postgres.create_database(name, template=like)
        made.append(name)
        return postgres.url(name)

    yield make
    if made:
        postgres.start()
    for name in made:
        postgres.drop_database(name)


@pytest.fixture
def beginning() -> str | None:
    """The name of the database that a test's own begins as a copy of; None for nothing. Folders have their own."""
    return None


@pytest.fixture
def database_url(make_database: MakeDatabase, beginning: str | None) -> str:
    """A new database, empty or with its beginning, dropped afterwards."""
    return make_database(beginning)


@pytest.fixture(scope="session")
def valkey(server_folder: Path) -> Iterator[ValkeyServer]:
    """A started Valkey for the whole run."""
    with ValkeyServer(server_folder / "valkey") as server:
        yield server


@pytest.fixture
def valkey_url(valkey: ValkeyServer) -> str:
    """The address of an emptied Valkey."""
    valkey.start()  # a test may have killed it
    valkey.flush()
    return valkey.url
