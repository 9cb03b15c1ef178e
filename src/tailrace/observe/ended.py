"""What processes counted that have ended, as text that those which follow read. Pure.

JSON: the names of the files that it was taken from, and series by metric, each with its label values and numbers.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field

from tailrace.observe.merging import Figures, Merged

__all__ = ["Ended", "read_ended", "write_ended"]


@dataclass(frozen=True, slots=True)
class Ended:
    """What processes counted that have ended, and the names of their files."""

    names: tuple[str, ...] = ()
    figures: Figures = field(default_factory=dict)


def write_ended(names: Iterable[str], merged: Iterable[Merged]) -> str:
    """The text of them."""
    figures = {each.metric.name: [[labels, list(values)] for labels, values in each.series.items()] for each in merged}
    return json.dumps({"names": list(names), "figures": figures})


def read_ended(text: str) -> Ended:
    """What ``write_ended`` was given.

    Raises:
        ValueError: it is no such text.
    """
    try:
        document = json.loads(text)
        names = tuple(_text(name) for name in document["names"])
        figures = {
            name: {tuple(map(_text, labels)): tuple(map(_number, values)) for labels, values in series}
            for name, series in document["figures"].items()
        }
    except (AttributeError, KeyError, RecursionError, TypeError) as error:
        raise ValueError(f"these are no figures: {type(error).__name__}") from error
    return Ended(names, figures)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("names and label values are texts")
    return value


def _number(value: object) -> float:
    if type(value) not in (int, float):
        raise TypeError("what was counted are numbers")
    return float(value)  # type: ignore[arg-type]
