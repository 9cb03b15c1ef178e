"""The suites there are, as ``suites.json`` has them. Touches: that file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["FOLDER", "Suite", "suites"]

FOLDER = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Suite:
    """What is asked of a service, by how many, and what is promised.

    Args:
        about: for people.
        service: whose name is in its address.
        script: that k6 runs.
        users: how many there are at the beginning and at the end of each stage.
        pause: seconds a user takes between two requests, on average.
        thresholds: k6's, by metric.
        writes: share of the requests, 0 to 1.
        needs: a path with a list that must not be empty.
    """

    about: str
    service: str
    script: str
    users: Sequence[int]
    pause: float
    thresholds: Mapping[str, Sequence[str]]
    writes: float = 0.0
    needs: str = ""


def suites() -> dict[str, Suite]:
    """All of them, by name."""
    return {name: Suite(**each) for name, each in json.loads((FOLDER / "suites.json").read_text()).items()}
