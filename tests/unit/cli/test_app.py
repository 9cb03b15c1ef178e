"""What the command says of itself."""

from __future__ import annotations

from importlib.metadata import version

from typer.testing import CliRunner

from tailrace.cli.app import app


def test_the_version_is_the_packages() -> None:
    """What is installed is what is said."""
    result = CliRunner().invoke(app, ["--version"])
    assert (result.exit_code, result.stdout) == (0, f"tailrace {version('tailrace')}\n")
