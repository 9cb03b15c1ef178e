"""Servers to stand on: the embedded ones, those of a running ``up``, or existing ones by URL. Touches: processes."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from tailrace.embedded import PostgresServer, ValkeyServer, default_home
from tailrace.errors import DatabaseUnavailableError, EmbeddedServerError, SettingsError, StoreUnavailableError
from tailrace_services.up.occupancy import read_run

__all__ = ["Ground", "ground"]

CONNECT_TIMEOUT = 5.0
"""Seconds."""
NEEDED_BYTES = 200 * 1024 * 1024
"""Free disk without which an embedded PostgreSQL is not started at all."""


@dataclass(frozen=True, slots=True)
class Ground:
    """Where the servers are. ``postgres`` and ``valkey`` are those this process started, else None."""

    home: Path
    database_url: str
    valkey_url: str
    postgres: PostgresServer | None = None
    valkey: ValkeyServer | None = None

    @property
    def environment(self) -> dict[str, str]:
        """What a process that uses the servers needs to find in its environment."""
        return {"TAILRACE_DATABASE_URL": self.database_url, "TAILRACE_VALKEY_URL": self.valkey_url}


@contextmanager
def ground(
    home: Path | None = None,
    *,
    join: bool = False,
    environment: Mapping[str, str] | None = None,
    postgres_settings: Mapping[str, str] | None = None,
) -> Iterator[Ground]:
    """Servers that are ready to use, until the end of the block.

    ``TAILRACE_DATABASE_URL`` and ``TAILRACE_VALKEY_URL`` name existing servers; what they leave out is started from the
    wheels below ``home`` and stopped at the end.

    Args:
        home: by default :func:`tailrace.embedded.default_home`.
        join: use the servers of an ``up`` that runs in ``home``, if there is one; it must outlive the block.
        environment: by default this process's.
        postgres_settings: go over the embedded PostgreSQL's defaults.

    Raises:
        EmbeddedServerError: a server does not start; the message says why and what to do.
        DatabaseUnavailableError, StoreUnavailableError: a server named in the environment cannot be reached.
        SettingsError: the address of one is not an address.
    """
    environment = os.environ if environment is None else environment
    home = home or default_home(environment)
    database_url = environment.get("TAILRACE_DATABASE_URL", "")
    valkey_url = environment.get("TAILRACE_VALKEY_URL", "")
    run = read_run(home) if join else None
    if run is not None:
        if run.state != "serving":
            raise EmbeddedServerError(f"process {run.pid} is {run.state} in {home}: wait a moment and try again")
        database_url, valkey_url = database_url or run.database_url, valkey_url or run.valkey_url
    if database_url:
        _reach(database_url, "TAILRACE_DATABASE_URL", 5432, DatabaseUnavailableError)
    if valkey_url:
        _reach(valkey_url, "TAILRACE_VALKEY_URL", 6379, StoreUnavailableError)
    with ExitStack() as stack:
        postgres = valkey = None
        if not database_url:
            _ensure_space(home)
            postgres = stack.enter_context(PostgresServer(home / "postgres", settings=postgres_settings))
            database_url = postgres.url()
        if not valkey_url:
            valkey = stack.enter_context(ValkeyServer(home / "valkey"))
            valkey_url = valkey.url
        yield Ground(home, database_url, valkey_url, postgres, valkey)


def _reach(
    url: str, variable: str, default_port: int, error_type: type[DatabaseUnavailableError | StoreUnavailableError]
) -> None:
    """Fail early and clearly when nobody listens; the password is not repeated."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port or default_port
    except ValueError as error:
        raise SettingsError(f"{variable} is not an address: {error}") from None
    if not host:
        return  # a Unix socket or a service name: the client library knows what to do with it
    try:
        socket.create_connection((host, port), CONNECT_TIMEOUT).close()
    except OSError as error:
        raise error_type(
            f"cannot reach {host}:{port} ({variable}): {error.strerror or error}: "
            "start that server, or unset the variable"
        ) from error


def _ensure_space(home: Path) -> None:
    """Say so before the disk is full rather than after."""
    existing = next(folder for folder in (home, *home.parents) if folder.exists())
    free = shutil.disk_usage(existing).free
    if free < NEEDED_BYTES:
        raise EmbeddedServerError(
            f"the disk that holds {home} is full: {free // 2**20} MB free, {NEEDED_BYTES // 2**20} MB needed: "
            "free space, or set TAILRACE_HOME"
        )
