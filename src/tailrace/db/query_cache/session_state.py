"""A session's state: what statements before a cached one have set, or may have. Touches: pooled connections' memory.

A result follows from role, search path, settings and temporary tables. ``SET`` changes those, so may a function that
calls ``set_config``, in a SELECT that looks like any other. So what has been sent is remembered until a result is asked
for; then every statement with a word in it that may stand for such a function counts as a setting.
"""

from __future__ import annotations

import re
from typing import Any

from sqlalchemy import Connection

from tailrace.db.query_cache.catalogue import Catalogue
from tailrace.db.query_cache.standing import Standing
from tailrace.db.session import OpenTransaction

__all__ = [
    "Suspects",
    "changed",
    "forget_begun",
    "note",
    "note_sent",
    "own_standing",
    "set_own_standing",
    "unsettled",
    "without_comments",
]

CHANGED = "tailrace_settings_changed"
"""In a pooled connection's ``info``: settings were changed for longer than a transaction."""
BEGUN = "tailrace_settings_begun"
"""In the same place: what was set when the transaction began, before the session knew of it."""
SENT = "tailrace_sent"
"""In the same place: statements that nobody has judged, or that may have changed something for good."""
STANDING = "tailrace_standing"
"""In the same place: how this connection stands, when it may stand otherwise than others."""
LOCAL = re.compile(r"\s*SET\s+LOCAL\b", re.IGNORECASE)
FOR_TRANSACTION = re.compile(r"set_config\s*\([^()]*,\s*true\s*\)", re.IGNORECASE)
HARMLESS = re.compile(r"\s*SET\s+LOCAL\s+(statement_timeout|lock_timeout)\b", re.IGNORECASE)
COMMENTS = re.compile(r"(?:/\*(?:[^*]|\*(?!/))*\*/|--[^\n]*|\s)*")
SETTING = re.compile(r"\b(SET|RESET|DISCARD)\b", re.IGNORECASE)
SECOND = re.compile(r";\s*(SET|RESET|DISCARD)\b", re.IGNORECASE)
TEMPORARY = re.compile(r"\btemp(orary)?\b|\bpg_temp", re.IGNORECASE)
WORD = re.compile(r"\w+")
MOST_SETTINGS = 20
MOST_SENT = 200
"""Statements that are remembered of a transaction, and of a connection."""
TOO_MANY = "pg_temp"
"""Stands for more statements than are remembered, and is suspect."""
SEVERAL = object()
"""In place of a statement's parameters: it was sent with others, too."""


class Suspects:
    """Which statements may change how a connection stands, by the names of what they call.

    Those of functions that people made, unless the result certainly follows from the arguments; of views and tables
    whose definition or row policy has one of them. Where such a name stands in a statement does not matter.

    Args:
        catalogue: what there is.
    """

    def __init__(self, catalogue: Catalogue) -> None:
        self.digest = catalogue.digest
        self._names = {name for name, group in catalogue.functions.items() if not all(each.sure for each in group)}
        self._judged: dict[str, bool] = {}
        texts = {
            name: " ".join(filter(None, (relation.definition, *(relation.policies or ()))))
            for (_, name), relation in catalogue.relations.items()
            if relation.definition is not None or relation.policies
        }
        while found := {name for name, said in texts.items() if name not in self._names and self._mentions(said)}:
            self._names |= found

    def suspect(self, statement: str) -> bool:
        """Whether it may have changed anything."""
        found = self._judged.get(statement)
        if found is None:
            if len(self._judged) >= 10 * MOST_SENT:
                self._judged.clear()
            found = TEMPORARY.search(statement) is not None or self._mentions(statement)
            self._judged[statement] = found
        return found

    def _mentions(self, statement: str) -> bool:
        words = {word.lower() for word in WORD.findall(statement)}
        return any(words.issuperset(WORD.findall(name.lower())) for name in self._names)


def note(connection: Connection, own: OpenTransaction | None, statement: str, parameters: Any) -> None:
    """Remember what a statement does to the connection's settings, and that it was sent."""
    start = COMMENTS.match(statement)
    bare = statement[start.end() :] if start is not None else statement
    word = bare[:8].upper()
    if word == "ROLLBACK":  # to a savepoint
        if own is not None:
            own.undone = True
        return
    calls = "set_config" in statement.lower()
    nested = bare is not statement and "*/" in bare
    hidden = (SETTING if nested else SECOND).search(bare) is not None
    if not (calls or hidden or word.startswith(("SET", "RESET", "DISCARD"))):
        _remember(connection, own, statement, parameters)
        return
    values = list(parameters.values()) if isinstance(parameters, dict) else list(parameters or ())
    local = not hidden and (LOCAL.match(bare) or (calls and (FOR_TRANSACTION.search(bare) or _has_true(values))))
    if not local:
        connection.info[CHANGED] = True
    elif HARMLESS.match(bare):
        return
    elif own is None:
        connection.info.setdefault(BEGUN, []).append(f"{statement} {values!r}")
    else:
        _add(own, f"{statement} {values!r}")


def note_sent(info: dict[Any, Any], statement: str) -> None:
    """Remember that a statement was sent on the pooled connection whose ``info`` this is. Cost: 0.2 microseconds."""
    sent: set[str] = info.setdefault(SENT, set())
    sent.add(statement if len(sent) < MOST_SENT else TOO_MANY)


def changed(connection: Connection, own: OpenTransaction | None, suspects: Suspects) -> tuple[str, ...]:
    """What has been set for this transaction alone; from now on ``own`` and the connection know it."""
    found = tuple(connection.info.get(BEGUN, ()))
    if own is not None:
        for statement, values in own.earlier.items():
            if suspects.suspect(statement):
                own.unsettled |= values is SEVERAL
                _add(own, f"{statement} {values!r}")
        own.earlier.clear()
        found += tuple(own.settings)
        own.unsettled |= own.undone and bool(own.settings)
    sent: set[str] = connection.info.get(SENT, set())
    suspected = {statement for statement in sent if suspects.suspect(statement)}
    sent.intersection_update(suspected)
    if suspected:
        connection.info.pop(STANDING, None)
    return found


def unsettled(connection: Connection, own: OpenTransaction | None) -> bool:
    """Whether nothing can be certain here."""
    return bool(connection.info.get(CHANGED)) or (own is not None and own.unsettled)


def own_standing(connection: Connection, usual: Standing | None) -> Standing | None:
    """How it stands as far as is known, where nothing is set for the transaction; ``usual`` is how others stand."""
    if connection.info.get(SENT):
        return None
    found: Standing | None = connection.info.get(STANDING, usual)
    return found


def set_own_standing(connection: Connection, standing: Standing) -> bool:
    """Remember how it stands, if it may stand otherwise than others; whether it may."""
    if not connection.info.get(SENT) and STANDING not in connection.info:
        return False
    connection.info[STANDING] = standing
    connection.info.pop(SENT, None)
    return True


def forget_begun(connection: Connection) -> None:
    """A transaction begins, in which nothing has been set."""
    connection.info.pop(BEGUN, None)


def without_comments(sent: str, compiled: str) -> str:
    """What SQLAlchemy made, if listeners have added no more than comments (a request's id, say); else what is sent."""
    if sent == compiled:
        return sent
    before, found, after = sent.partition(compiled)
    return compiled if found and COMMENTS.fullmatch(before) and COMMENTS.fullmatch(after) else sent


def _remember(connection: Connection, own: OpenTransaction | None, statement: str, parameters: Any) -> None:
    try:
        note_sent(connection.info, statement)
    except NotImplementedError:  # SQLAlchemy's own first look at the server, before the connection is a pooled one
        return
    if own is None or own.wrote:  # who has written is not answered from the cache
        return
    if own.earlier.setdefault(statement, parameters) != parameters:
        own.earlier[statement] = SEVERAL
    if len(own.earlier) > MOST_SENT:
        own.earlier = {TOO_MANY: SEVERAL}


def _add(own: OpenTransaction, setting: str) -> None:
    if len(own.settings) < MOST_SETTINGS:
        own.settings.append(setting)
    else:
        own.unsettled = True


def _has_true(values: list[Any]) -> bool:
    return any(value is True for value in values)
