"""The status of a service as a page. Pure."""

from __future__ import annotations

import html
from collections.abc import Mapping

from tailrace.fastapi.part_status import PartStatus

__all__ = ["status_page"]

STYLE = (
    ":root{color-scheme:light dark}"
    "body{font:16px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:48rem;padding:0 1rem}"
    "table{border-collapse:collapse;width:100%}td,th{border-bottom:1px solid #8888;padding:.4rem;text-align:left}"
    ".up{color:#0a6b2d}.degraded{color:#8a5a00}.down{color:#a81b1b}"
    "@media(prefers-color-scheme:dark){.up{color:#6fcf8e}.degraded{color:#e3b04b}.down{color:#ff8f85}}"
)


def status_page(state: str, parts: Mapping[str, PartStatus] | None) -> str:
    """One line for everybody, and a row for each part where ``parts`` are to be shown."""
    rows = "".join(_row(name, part) for name, part in (parts or {}).items())
    table = f"<table><tr><th>part</th><th>status</th><th>detail</th></tr>{rows}</table>" if rows else ""
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width"><meta http-equiv="refresh" content="10">'
        f'<title>Status: {state}</title><style>{STYLE}</style><h1>Status: <span class="{state}">{state}</span></h1>'
        f"{table}</html>"
    )


def _row(name: str, part: PartStatus) -> str:
    detail = ", ".join(f"{key.replace('_', ' ')}: {_word(value)}" for key, value in part.detail.items())
    return (
        f'<tr><td>{html.escape(name)}</td><td class="{part.state}">{part.state}</td><td>{html.escape(detail)}</td></tr>'
    )


def _word(value: object) -> object:
    return ("yes" if value else "no") if isinstance(value, bool) else value
