"""Writing trigger functions: bodies, blocks and the triggers that call them. Pure: SQL text only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tailrace.schema.sql_text import identifier, literal, qualified

__all__ = ["EVENT_ROWS", "REFERENCING", "Function", "block", "branch", "dollar", "indent", "refuse_if"]

EVENT_ROWS = {"insert": ("new_rows",), "update": ("new_rows", "old_rows"), "delete": ("old_rows",)}
"""Transition tables of each event, the new one first."""
REFERENCING = {
    "insert": " REFERENCING NEW TABLE AS new_rows",
    "update": " REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows",
    "delete": " REFERENCING OLD TABLE AS old_rows",
    "truncate": "",
}


@dataclass(frozen=True, slots=True)
class Function:
    """One trigger and its function. ``when`` is all that stands between name and EXECUTE in CREATE TRIGGER."""

    trigger: str
    name: str
    body: str
    when: str

    def create(self, table: str) -> list[str]:
        """Statements that create or replace both."""
        function = qualified("tailrace", self.name)
        return [
            f"CREATE OR REPLACE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER\n"
            f"SET search_path = pg_catalog, pg_temp AS {dollar(self.body)}",
            f"REVOKE ALL ON FUNCTION {function}() FROM PUBLIC",
            f"CREATE OR REPLACE TRIGGER {identifier(self.trigger)} "
            + self.when.replace("{table}", table)
            + f" EXECUTE FUNCTION {function}()",
        ]


def block(statements: Sequence[str], result: str = "NULL") -> str:
    """A body that runs ``statements`` and returns ``result``."""
    return "BEGIN\n" + indent(";\n".join([*statements, f"RETURN {result}"])) + ";\nEND"


def branch(condition: str, then: Sequence[str], otherwise: Sequence[str] = ()) -> str:
    """``then`` if ``condition`` holds, else ``otherwise``."""
    text = f"IF {condition} THEN\n" + indent(";\n".join(then)) + ";\n"
    if otherwise:
        text += "ELSE\n" + indent(";\n".join(otherwise)) + ";\n"
    return text + "END IF"


def refuse_if(condition: str, message: str, code: str) -> str:
    """End the statement with ``message`` and SQLSTATE ``code`` if ``condition`` holds."""
    text = literal(message.replace("%", "%%"))
    return branch(condition, [f"RAISE EXCEPTION {text} USING ERRCODE = '{code}'"])


def indent(text: str) -> str:
    """``text`` one level further in."""
    return "\n".join(f"    {line}" for line in text.split("\n"))


def dollar(body: str) -> str:
    """``body`` as a string constant, quoted by dollars."""
    mark = "tailrace"
    while f"${mark}$" in body:
        mark += "_"
    return f"${mark}$\n{body}\n${mark}$"
