"""``tailrace settings``: every setting, what it is now and what it means. Touches: the environment, the terminal."""

from __future__ import annotations

import ast
import inspect
import json
import re
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from itertools import groupby, pairwise
from typing import Annotated, Any

import typer

from tailrace import settings as declared
from tailrace.cli.output import WIDTH, PageFormat, PageFormatOption, failure
from tailrace.errors import SettingsError
from tailrace.settings import Room, Settings, load_settings, variable

__all__ = ["Setting", "list_settings", "reference", "settings"]

TITLES = {"": "Addresses", "http": "HTTP"}
"""Headings that are not a room's name."""


@dataclass(frozen=True)
class Setting:
    """One setting; a value or default is in the form that the environment takes, a secret only says that it is set."""

    name: str
    """The variable."""
    room: str
    """The part of Tailrace that it belongs to; empty for those that belong to none."""
    accepts: str
    """What may be given."""
    default: str
    """What holds where nothing is given; empty: nothing."""
    value: str
    """What holds now."""
    given: bool
    """Whether it differs from the default."""
    meaning: str
    """What it does, and in which unit."""


def settings(
    words: Annotated[str, typer.Argument(help="Only those whose name or meaning has this.", show_default=False)] = "",
    given: Annotated[bool, typer.Option("--given", help="Only those that differ from their default.")] = False,
    output: PageFormatOption = PageFormat.text,
) -> None:
    """Every setting: what it is in this environment, what may be given, what it means. Secrets are not shown."""
    try:
        found = list_settings(load_settings())
    except SettingsError as error:
        raise failure(error) from error
    looked_for = words.casefold()
    found = [
        each
        for each in found
        if (each.given or not given) and (looked_for in each.name.casefold() or looked_for in each.meaning.casefold())
    ]
    if output is PageFormat.json:
        typer.echo(json.dumps([asdict(each) for each in found], indent=2))
        return
    for line in _markdown(found) if output is PageFormat.markdown else _text(found):
        typer.echo(line)


def list_settings(values: Settings) -> list[Setting]:
    """Every setting of Tailrace and what it is in ``values``, in the order in which they are declared."""
    return list(_listed(values))


def reference() -> str:
    """The page of all settings and their defaults, as Markdown."""
    return "\n".join(_markdown(list_settings(Settings.model_construct()))) + "\n"


def _listed(values: Settings) -> Iterator[Setting]:
    schema = Settings.model_json_schema()
    for name, field in Settings.model_fields.items():
        held = getattr(values, name)
        if isinstance(held, Room):
            kind = type(held)
            yield from _of(kind, kind(), held, schema["$defs"][kind.__name__]["properties"], (name,))
        else:
            yield _setting((name,), schema["properties"][name], field.default, held, _meanings()["Settings"][name])


def _of(
    kind: type[Room], defaults: Room, held: Room, schema: Mapping[str, Any], path: tuple[str, ...]
) -> Iterator[Setting]:
    meanings = _meanings()[kind.__name__]
    for name in kind.model_fields:
        yield _setting((*path, name), schema[name], getattr(defaults, name), getattr(held, name), meanings[name])


def _setting(path: tuple[str, ...], schema: Mapping[str, Any], default: object, held: object, meaning: str) -> Setting:
    return Setting(
        name=variable(path),
        room=path[0] if len(path) > 1 else "",
        accepts=_accepts(schema),
        default=_written(default),
        value=_written(held),
        given=held != default,
        meaning=meaning,
    )


def _written(value: object) -> str:
    """As the environment takes it; what is secret prints itself as stars."""
    if value is None:
        return ""
    if isinstance(value, bool | tuple):
        return json.dumps(value, default=str)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _accepts(schema: Mapping[str, Any]) -> str:
    """What may be given, from the field's JSON schema."""
    kinds = [each for each in schema.get("anyOf", [schema]) if each.get("type") != "null"]
    return " or ".join(_kind(each) for each in kinds)


def _kind(schema: Mapping[str, Any]) -> str:
    if "enum" in schema:
        return ", ".join(map(str, schema["enum"]))
    if schema.get("type") == "array":
        return f"JSON list of: {_kind(schema['items'])}"
    if "format" in schema:
        return {"password": "secret"}.get(schema["format"], str(schema["format"]))
    names = {"boolean": "true, false", "integer": "whole number", "number": "number", "string": "text"}
    bounds = (
        ("minimum", "from {:g}"),
        ("exclusiveMinimum", "above {:g}"),
        ("maximum", "to {:g}"),
        ("exclusiveMaximum", "below {:g}"),
        ("minLength", "of {:g} characters or more"),
    )
    return " ".join([names[schema["type"]], *(words.format(schema[key]) for key, words in bounds if key in schema)])


@cache
def _meanings() -> dict[str, dict[str, str]]:
    """What stands below each field in the source, by class; a class's own words are under the empty name."""
    found: dict[str, dict[str, str]] = {}
    for node in ast.parse(inspect.getsource(declared)).body:
        if isinstance(node, ast.ClassDef):
            found[node.name] = {"": _line(ast.get_docstring(node) or "")}
            for field, words in pairwise(node.body):
                if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
                    found[node.name][field.target.id] = _line(_string(words))
    return found


def _string(node: ast.stmt) -> str:
    constant = node.value if isinstance(node, ast.Expr) else None
    return constant.value if isinstance(constant, ast.Constant) and isinstance(constant.value, str) else ""


def _line(words: str) -> str:
    return re.sub(r"\s+", " ", words.replace("``", "`")).strip()


def _text(found: list[Setting]) -> Iterator[str]:
    for each in found:
        default = f"   (default {each.default or 'none'})" if each.given else ""
        yield f"{each.name}={each.value}{default}"
        yield textwrap.fill(each.meaning, WIDTH, initial_indent="    ", subsequent_indent="    ")
        yield f"    accepts: {each.accepts}"


def _markdown(found: list[Setting]) -> Iterator[str]:
    yield "# Settings"
    yield ""
    yield "Variables of the environment, read when an application starts, which reports all mistakes at once. None has"
    yield "to be set. `tailrace settings` shows what they are where it runs, `tailrace settings WORD` those about"
    yield "something; `tailrace settings --format markdown` writes this page."
    for room, members in groupby(found, key=lambda each: each.room):
        title = TITLES.get(room, room.replace("_", " ").capitalize())
        yield from ("", f"## {title}", "")
        if room:
            yield from (_meanings()[type(getattr(Settings.model_construct(), room)).__name__][""], "")
        yield from ("| setting | accepts | default | |", "|---|---|---|---|")
        for each in members:
            default = f"`{each.default}`" if each.default else ""
            yield f"| `{each.name}` | {each.accepts} | {default} | {each.meaning.replace('|', chr(92) + '|')} |"
