"""Foreign errors become Tailrace's; addresses and settings are checked before anything connects."""

from __future__ import annotations

import asyncpg
import pytest
from sqlalchemy import exc

from tailrace.db.engine import async_url, connect_arguments
from tailrace.db.errors import from_sqlstate, translate, translated
from tailrace.errors import (
    ConflictError,
    ConstraintError,
    DatabaseError,
    DatabaseTimeoutError,
    DatabaseUnavailableError,
    PoolTimeoutError,
    SettingsError,
)
from tailrace.settings import DatabaseSettings


@pytest.mark.parametrize(
    ("state", "kind"),
    [
        ("40001", ConflictError),
        ("40P01", ConflictError),
        ("57014", DatabaseTimeoutError),
        ("55P03", DatabaseTimeoutError),
        ("57P01", DatabaseUnavailableError),
        ("53300", DatabaseUnavailableError),
        ("25006", DatabaseUnavailableError),
        ("08006", DatabaseUnavailableError),
        ("23505", ConstraintError),
        ("23503", ConstraintError),
    ],
)
def test_states_become_kinds(state: str, kind: type[DatabaseError]) -> None:
    """A passing failure is retryable, a violated constraint is the client's mistake."""
    error = from_sqlstate(state, "name")
    assert type(error) is kind
    assert error.retryable is (kind is not ConstraintError)


def test_a_mistake_in_the_program_stays_what_it_is() -> None:
    """A syntax error is nobody's transient failure."""
    assert from_sqlstate("42601") is None
    assert from_sqlstate(None) is None
    with pytest.raises(exc.ArgumentError), translated():
        raise exc.ArgumentError("wrong")


def test_what_drivers_and_pools_raise_is_translated() -> None:
    """Pool, socket and time."""
    assert isinstance(translate(exc.TimeoutError()), PoolTimeoutError)
    assert isinstance(translate(ConnectionRefusedError(111, "refused")), DatabaseUnavailableError)
    assert isinstance(translate(TimeoutError()), DatabaseUnavailableError)
    for lost in (
        ConnectionResetError(104, "reset"),
        asyncpg.InternalClientError("got result for unknown protocol"),
        asyncpg.InterfaceError("connection is closed"),
        asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation"),
        exc.InternalError("SELECT 1", {}, asyncpg.InternalClientError("unexpected data")),
    ):
        with pytest.raises(DatabaseUnavailableError), translated():
            raise lost
    wrong = asyncpg.exceptions._base.DataError("invalid input for query argument")  # a kind of InterfaceError, too
    with pytest.raises(ValueError, match="invalid input"), translated():
        raise wrong


@pytest.mark.parametrize("url", ["", "mysql://h/d", "localhost:5432", "postgresql://h:port/d"])
def test_a_wrong_address_is_refused_without_repeating_it(url: str) -> None:
    """An address holds a password."""
    with pytest.raises(SettingsError) as caught:
        async_url(url)
    assert not url or url not in str(caught.value)


def test_addresses_get_an_async_driver_unless_they_name_one() -> None:
    """asyncpg by default, psycopg by name."""
    assert async_url("postgres://u:p@h/d").drivername == "postgresql+asyncpg"
    assert async_url("postgresql://u:p@h/d").drivername == "postgresql+asyncpg"
    assert async_url("postgresql+psycopg://u:p@h/d").drivername == "postgresql+psycopg"


def test_behind_pgbouncer_nothing_outlives_a_transaction() -> None:
    """No session settings and no named statements, for either driver."""
    settings = DatabaseSettings(pgbouncer=True)
    assert connect_arguments("postgresql+asyncpg", settings)["statement_cache_size"] == 0
    assert "server_settings" not in connect_arguments("postgresql+asyncpg", settings)
    assert connect_arguments("postgresql+psycopg", settings)["prepare_threshold"] is None
    assert "options" not in connect_arguments("postgresql+psycopg", settings)
