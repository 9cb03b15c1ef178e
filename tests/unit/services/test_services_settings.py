"""What the reference services read from the environment."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tailrace.errors import SettingsError
from tailrace_services.settings import database_url, load_services_settings


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("postgresql://u:p%40@h:1/tailrace", "postgresql://u:p%40@h:1/tailrace_voice_dashboard"),
        ("postgresql://u@h/mine?sslmode=require", "postgresql://u@h/mine_voice_dashboard?sslmode=require"),
        ("postgres://u@h/postgres", "postgres://u@h/tailrace_voice_dashboard"),
        ("postgresql+asyncpg://u@h", "postgresql+asyncpg://u@h/tailrace_voice_dashboard"),
    ],
)
def test_each_service_has_a_database_of_its_own(given: str, expected: str) -> None:
    """Beside the one that is named, never in it and never in the server's own."""
    environment = {"TAILRACE_DATABASE_URL": given}
    assert database_url("voice-dashboard", environment=environment) == expected
    before = database_url("voice_dashboard", baseline=True, environment=environment)
    assert before.partition("?")[0] == expected.partition("?")[0] + "_baseline"


@pytest.mark.parametrize("given", ["", "mysql://u:secret@h/d", "secret", "postgresql:///socket"])
def test_what_is_no_address_is_refused_without_repeating_it(given: str) -> None:
    """The variable is named, and no secret in it."""
    with pytest.raises(SettingsError, match="TAILRACE_DATABASE_URL") as refusal:
        database_url("voice_dashboard", environment={"TAILRACE_DATABASE_URL": given})
    assert "secret" not in str(refusal.value)


def test_all_mistakes_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody corrects one mistake to be told of the next."""
    monkeypatch.setenv("TAILRACE_SERVICES_FIXED_NOW", "yesterday")
    monkeypatch.setenv("TAILRACE_SERVICES_SEED", "-1")
    with pytest.raises(SettingsError) as refusal:
        load_services_settings()
    assert [line.partition(":")[0] for line in str(refusal.value).splitlines()] == [
        "TAILRACE_SERVICES_FIXED_NOW",
        "TAILRACE_SERVICES_SEED",
    ]


@pytest.mark.parametrize("given", ["2026-03-01T12:00:00Z", "2026-03-01T12:00:00", "2026-03-01T14:00:00+02:00"])
def test_the_frozen_clock_is_utc(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    """Days are UTC wherever the service runs."""
    monkeypatch.setenv("TAILRACE_SERVICES_FIXED_NOW", given)
    assert load_services_settings().fixed_now == datetime(2026, 3, 1, 12, tzinfo=UTC)
