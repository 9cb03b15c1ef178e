"""Settings are found, explained and never silently ignored."""

from __future__ import annotations

import json
import os

import pytest
from typer.testing import CliRunner, Result

from tailrace.cli.app import app
from tailrace.cli.settings import list_settings
from tailrace.errors import SettingsError
from tailrace.settings import Room, Settings, load_settings, variable


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [each for each in os.environ if each.upper().startswith("TAILRACE_")]:
        monkeypatch.delenv(name)


def asked(*arguments: str, **environment: str) -> Result:
    """``tailrace settings`` with these arguments and variables."""
    return CliRunner().invoke(app, ["settings", *arguments], env={"TERM": "dumb", **environment})


def test_every_name_that_is_shown_sets_what_it_names() -> None:
    """What the page says can be given is taken: each default, written as shown, gives the same settings."""
    shown = [each for each in list_settings(load_settings()) if each.default]
    assert len(shown) > 80
    result = asked("--format", "json", **{each.name: each.default for each in shown})
    assert result.exit_code == 0, result.output
    assert [each["name"] for each in json.loads(result.stdout) if each["given"]] == []


def test_all_settings_are_listed_once_with_their_meaning() -> None:
    """Nothing is left out, and nothing stands there without a word."""
    listed = list_settings(load_settings())
    rooms = {name: getattr(Settings(), name) for name in Settings.model_fields}
    expected = [
        variable((name, field))
        for name, room in rooms.items()
        if isinstance(room, Room)
        for field in type(room).model_fields
    ]
    assert [each.name for each in listed] == ["TAILRACE_DATABASE_URL", "TAILRACE_VALKEY_URL", *expected]
    assert [each.name for each in listed if not each.meaning or not each.accepts] == []


def test_what_differs_is_shown_with_its_default() -> None:
    """One look tells what somebody has changed."""
    result = asked("--given", TAILRACE_DATABASE__POOL_SIZE="20", TAILRACE_HTTP__X_CACHE="yes")
    assert result.exit_code == 0
    assert [line for line in result.stdout.splitlines() if line.startswith("TAILRACE_")] == [
        "TAILRACE_DATABASE__POOL_SIZE=20   (default 10)",
        "TAILRACE_HTTP__X_CACHE=true   (default false)",
    ]


@pytest.mark.parametrize("form", ["text", "json", "markdown"])
def test_secrets_are_not_shown(form: str) -> None:
    """Only that they are set."""
    result = asked(
        "--format",
        form,
        TAILRACE_DATABASE_URL="postgresql://me:mysecret@host/name",
        TAILRACE_HTTP__ADMIN_TOKEN="mysecret",
        TAILRACE_HTTP__CURSOR_SECRETS='["mysecret-mysecret"]',
        TAILRACE_DATABASE__REPLICA_URLS='["postgresql://me:mysecret@other/name"]',
    )
    assert result.exit_code == 0
    assert "mysecret" not in result.output
    assert "TAILRACE_DATABASE__REPLICA_URLS" in result.output


def test_words_find_settings() -> None:
    """By name or by what they do, in any case."""
    names = {each["name"] for each in json.loads(asked("ROUND trip", "--format", "json").stdout)}
    assert names == {"TAILRACE_DATABASE__COMMENTS"} | {
        each.name for each in list_settings(load_settings()) if "round trip" in each.meaning
    }


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("TAILRACE_DATABASE_POOL_SIZE", "TAILRACE_DATABASE__POOL_SIZE"),
        ("TAILRACE_DATABSE__POOL_SIZE", "TAILRACE_DATABASE__POOL_SIZE"),
        ("TAILRACE_DATABASE__POOLSIZE", "TAILRACE_DATABASE__POOL_SIZE"),
        ("tailrace_valkey__url", "TAILRACE_VALKEY_URL"),
        ("TAILRACE_HTTP__ADMIN-TOKEN", "TAILRACE_HTTP__ADMIN_TOKEN"),
    ],
)
def test_a_slip_in_a_name_is_reported_with_the_name_that_was_meant(written: str, meant: str) -> None:
    """Ignored, it would be found on the day that it matters."""
    result = asked(**{written: "1"})
    assert result.exit_code == 2
    assert result.stderr == f"tailrace: {written} is no setting; did you mean {meant}?\n"


def test_names_of_others_are_left_alone() -> None:
    """What is not like any setting may be another program's."""
    others = {
        "TAILRACE_HOME": "/tmp",
        "TAILRACE_SERVICES_CHAT_URL": "http://x",
        "TAILRACE_UP_WITH_PARENT": "1",
        "TAILRACE_TEAM": "red",
    }
    assert asked(**others).exit_code == 0


def test_all_mistakes_are_reported_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wrong values, unknown names in a room and slips, and no value is repeated."""
    for name, value in {
        "TAILRACE_DATABASE_POOL_SIZE": "12345",
        "TAILRACE_CACHE__LEASE": "-12345",
        "TAILRACE_CACHE__ELEPHANTS": "12345",
    }.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as caught:
        load_settings()
    lines = str(caught.value).splitlines()
    assert [line.partition(":")[0].partition(" ")[0] for line in lines] == [
        "TAILRACE_DATABASE_POOL_SIZE",
        "TAILRACE_CACHE__LEASE",
        "TAILRACE_CACHE__ELEPHANTS",
    ]
    assert "12345" not in str(caught.value)
