"""The commands that guides, references and READMEs show are ones that there are, with options that they have."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.core import TyperGroup

from tailrace.cli.app import app
from tailrace_services.cli import app as services

ROOT = Path(__file__).parents[3]
PAGES = [ROOT / "README.md", *(ROOT / "deploy").rglob("*.md"), *sorted((ROOT / "docs").rglob("*.md"))]
PROGRAMS = {"tailrace": typer.main.get_command(app), "tailrace-services": typer.main.get_command(services)}
IN_BLOCKS = re.compile(r"^\$? ?(tailrace(?:-services)? [a-z].*)$", re.MULTILINE)
IN_TEXT = re.compile(r"`(tailrace(?:-services)? [a-z][^`]*)`")


def shown(pattern: re.Pattern[str]) -> list[Any]:
    """Each command that pages show so, and where."""
    found = {
        (" ".join(command.split()), page.relative_to(ROOT).as_posix())
        for page in PAGES
        for command in pattern.findall(page.read_text(encoding="utf-8"))
    }
    return [pytest.param(command, id=f"{page}: {command}") for command, page in sorted(found)]


def resolved(words: list[str]) -> tuple[Any, list[str]]:
    """The command that is meant, and its arguments."""
    command: Any = PROGRAMS[words[0]]
    rest = words[1:]
    while isinstance(command, TyperGroup) and rest:
        found = command.get_command(typer.Context(command), rest[0])
        assert found is not None, f"there is no {rest[0]}"
        command, rest = found, rest[1:]
    return command, rest


@pytest.mark.parametrize("command", shown(IN_BLOCKS))
def test_commands_to_copy_are_understood(command: str) -> None:
    """As they stand, they would be run: names, options, arguments and their types."""
    found, rest = resolved(shlex.split(command.removesuffix("&"), comments=True))
    found.make_context(found.name, rest)


@pytest.mark.parametrize("command", shown(IN_TEXT))
def test_commands_in_sentences_are_there(command: str) -> None:
    """Their names, and those of their options."""
    found, rest = resolved(command.split())
    options = {option for parameter in found.params for option in (*parameter.opts, *parameter.secondary_opts)}
    assert {word.partition("=")[0] for word in rest if re.match("--[a-z]", word)} <= options | {"--help"}
