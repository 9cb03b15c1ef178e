"""What the phases of the proof work on: servers, and the few things that only whoever started them can do.

A plain value, so that a phase runs against any server of the same shape.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tailrace.verify.client import Connections
from tailrace_services.prove.subject import Execute, Subject

__all__ = ["Site"]


@dataclass(frozen=True, slots=True)
class Site:
    """Three servers on one data set.

    ``baseline`` is the slow service on its own database, which has no index beyond its keys: it says how slow it was.
    ``reference`` is the same slow code on the fast service's database: it says what is right, also after writes, in
    bearable time. ``optimised`` is the fast service. All of them take ``now`` for the present.

    ``empty_caches`` forgets everything Tailrace keeps of answers; ``restart_baseline`` ends what a request that was cut
    off still does; ``execute`` runs one statement, committed, on the fast service's database. ``people`` are of the
    subject's own kind.
    """

    subject: Subject
    people: Sequence[Any]
    now: datetime
    baseline: Connections
    reference: Connections
    optimised: Connections
    empty_caches: Callable[[], Awaitable[None]]
    restart_baseline: Callable[[], Awaitable[None]]
    execute: Execute
