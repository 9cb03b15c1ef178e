"""What an embedded PostgreSQL is told."""

from __future__ import annotations

import pytest

from tailrace.embedded.postgres_configuration import default_settings, host_rules, render

GIBIBYTE = 1024**3


@pytest.mark.parametrize(
    ("memory", "buffers"), [(GIBIBYTE // 4, "128MB"), (2 * GIBIBYTE, "512MB"), (64 * GIBIBYTE, "1024MB")]
)
def test_shared_buffers_follow_the_machine_within_bounds(memory: int, buffers: str) -> None:
    """A quarter of the memory, never so little that nothing works or so much that the application has none."""
    assert default_settings(memory)["shared_buffers"] == buffers


def test_nothing_acknowledged_is_lost_by_default() -> None:
    """Durability is only given up by who asks for it."""
    settings = default_settings(GIBIBYTE)
    assert settings["fsync"] == settings["synchronous_commit"] == "on"
    assert "full_page_writes" not in settings


def test_only_this_machine_and_only_with_the_password() -> None:
    """A local server is not open to every local user."""
    assert default_settings(GIBIBYTE)["listen_addresses"] == "127.0.0.1"
    rules = host_rules().splitlines()
    assert rules
    assert all(rule.startswith("host ") and rule.endswith(" 127.0.0.1/32 scram-sha-256") for rule in rules)


def test_values_cannot_end_their_quotes() -> None:
    """A value is a value, whatever is in it."""
    assert render({"a": "x'\nfsync = 'off"}) == "a = 'x''\nfsync = ''off'\n"
