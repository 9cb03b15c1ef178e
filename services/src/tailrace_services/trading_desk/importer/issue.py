"""What an issue of a tracker means as a work item. Pure.

An export has a row for each issue, its first line names the columns, and lists are joined by ``|``:

| an item has | the rule |
|---|---|
| title | ``summary``, in one line |
| description | the text of ``description`` (:mod:`.markup`), cut at what an item may have |
| category | ``type`` in lower case, with hyphens: ``bug``, ``new-feature`` |
| priority | ``priority``, by :data:`PRIORITY`; ``medium`` where none was given |
| status | ``status_category``, by :data:`STATUS`; ``in_review`` where ``status`` says so of what is in progress |
| tags | ``components`` and ``labels`` in lower case, each once |
| moments | ``created`` and ``updated`` |
| metadata | what else there is: see :func:`parse_row` |

Whatever an item may not have by the service's own bounds, an imported one has not either.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError

from tailrace_services.data.csv_file import RowError, short
from tailrace_services.trading_desk.api.schemas import LONGEST_DESCRIPTION, NewItem
from tailrace_services.trading_desk.importer.markup import plain

__all__ = ["ANONYMOUS", "Issue", "missing_columns", "parse_row"]

REQUIRED = (
    *("key", "project", "type", "priority", "status", "status_category", "created", "updated", "reporter"),
    *("components", "labels", "summary", "description"),
)
PRIORITY: Mapping[str, str] = {
    **dict.fromkeys(("blocker", "highest", "critical"), "critical"),
    **dict.fromkeys(("major", "high"), "high"),
    **dict.fromkeys(("medium", "normal", "none", ""), "medium"),
    **dict.fromkeys(("minor", "low", "trivial", "lowest"), "low"),
}
"""By the tracker's names, old and new, in lower case."""
STATUS: Mapping[str, str] = {"to do": "open", "in progress": "in_progress", "done": "done"}
"""By the three categories that every status of the tracker has one of, in lower case."""
ANONYMOUS = "Anonymous"
"""Who reported what nobody is said to have."""

_TEXTS = (*("key", "project", "project_category", "priority", "status", "resolution", "reporter", "assignee"),)
_LISTS = ("affects_versions", "fix_versions")
_COUNTS = ("links", "n_attachments", "n_comments")
_KEY = re.compile(r"[A-Z][A-Z0-9_]{1,50}-[1-9][0-9]{0,15}", re.ASCII)
_FIRST = datetime(1970, 1, 1, tzinfo=UTC)
_CUT = " …"


@dataclass(frozen=True, slots=True)
class Issue:
    """An issue: the item that it becomes, who reported it, and when. ``key`` is its name in the tracker."""

    key: str
    reporter: str
    item: NewItem
    created_at: datetime
    updated_at: datetime


def missing_columns(header: Sequence[str]) -> list[str]:
    """What a header lacks of an export's.

    >>> missing_columns([*REQUIRED[2:], "votes"])
    ['key', 'project']
    """
    return [name for name in REQUIRED if name not in header]


def parse_row(fields: Mapping[str, str], latest: datetime) -> Issue:
    """The issue that a row is.

    Its item's metadata hold, each by the name of its column and if it has a value: the key, project and its category,
    priority, status and resolution as the tracker has them, reporter and assignee, when it was ``resolved``, versions
    as lists, the numbers of links, attachments and comments; and, of a description that was cut, its
    ``description_length``.

    Args:
        fields: by the names of columns.
        latest: nothing happened later.

    Raises:
        RowError: it is none.
    """
    key = fields["key"].strip()
    if not _KEY.fullmatch(key):
        raise RowError(f"key is not a project and a number: {short(key)}")
    created, updated = _moment("created", fields, latest), _moment("updated", fields, latest)
    if updated < created:
        raise RowError("updated is before created")
    description = plain(fields["description"])
    item = _item(
        {
            "title": _line(fields["summary"]),
            "description": _shortened(description),
            "category": "-".join(fields["type"].lower().split()),
            "priority": _named("priority", fields, PRIORITY),
            "status": _status(fields),
            "tags": [tag.lower() for tag in (*_listed(fields["components"]), *_listed(fields["labels"]))],
            "metadata": _details(fields, description, latest),
        }
    )
    return Issue(key, _line(fields["reporter"]) or ANONYMOUS, item, created, updated)


def _item(values: dict[str, Any]) -> NewItem:
    try:
        return NewItem.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        raise RowError(f"no item has such a {first['loc'][0]}: {first['msg']}") from None


def _status(fields: Mapping[str, str]) -> str:
    status = _named("status_category", fields, STATUS)
    return "in_review" if status == "in_progress" and "review" in fields["status"].lower() else status


def _details(fields: Mapping[str, str], description: str, latest: datetime) -> dict[str, Any]:
    details: dict[str, Any] = {name: _line(fields.get(name, "")) for name in _TEXTS}
    if fields.get("resolved", "").strip():
        details["resolved"] = _moment("resolved", fields, latest).isoformat().replace("+00:00", "Z")
    details |= {name: _listed(fields.get(name, "")) for name in _LISTS}
    details |= {name: _count(name, fields[name]) for name in _COUNTS if fields.get(name, "").strip()}
    if len(description) > LONGEST_DESCRIPTION:
        details["description_length"] = len(description)
    return {name: value for name, value in details.items() if value not in ("", [])}


def _shortened(text: str) -> str:
    return text if len(text) <= LONGEST_DESCRIPTION else text[: LONGEST_DESCRIPTION - len(_CUT)].rstrip() + _CUT


def _line(text: str) -> str:
    plain_text = text if text.isprintable() else "".join(each if each.isprintable() else " " for each in text)
    return " ".join(plain_text.split())


def _listed(text: str) -> list[str]:
    return [each for each in map(_line, text.split("|")) if each]


def _named(name: str, fields: Mapping[str, str], meanings: Mapping[str, str]) -> str:
    found = meanings.get(fields[name].strip().lower())
    if found is None:
        raise RowError(f"{name} is none that is known: {short(fields[name])}")
    return found


def _moment(name: str, fields: Mapping[str, str], latest: datetime) -> datetime:
    try:
        moment = datetime.fromisoformat(fields[name].strip())
    except ValueError:
        raise RowError(f"{name} is not a moment: {short(fields[name])}") from None
    if moment.tzinfo is None:
        raise RowError(f"{name} names no time zone: {short(fields[name])}")
    if not _FIRST <= moment <= latest:
        raise RowError(f"{name} is before 1970 or in the future: {short(fields[name])}")
    return moment.astimezone(UTC)


def _count(name: str, text: str) -> int:
    digits = text.strip()
    if not digits.isascii() or not digits.isdigit() or len(digits) > 9:
        raise RowError(f"{name} is not a whole number: {short(text)}")
    return int(digits)
