"""What Tailrace keeps in the service's own database, declared in Python beside the queries that read it.

- `Watch`: changes of a table are noted in an outbox in the writing transaction, so no cached answer outlives them;
  `Through` a parent's key, `Where` a condition holds.
- `Rollup`: a summary table kept exact in the writing transaction; `count`, `sum_`, `avg`.
- `KeptTable`: a table that the service's own triggers keep, filled while the service writes.
- `Index`: built without stopping writers. `Extension`: there before whatever needs it.
- `plan`, `apply`: compare and bring the database to what is declared. `reconcile`: find and repair drift.
- `read`: one statement over rollups and raw edges for any window of time.

Names are imported when first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tailrace.schema.applier import apply as apply
    from tailrace.schema.applier import plan as plan
    from tailrace.schema.backfill import Progress as Progress
    from tailrace.schema.connection import Patience as Patience
    from tailrace.schema.declarations import Measure as Measure
    from tailrace.schema.declarations import Rollup as Rollup
    from tailrace.schema.declarations import avg as avg
    from tailrace.schema.declarations import count as count
    from tailrace.schema.declarations import sum_ as sum_
    from tailrace.schema.declarations import table_tag as table_tag
    from tailrace.schema.extension import Extension as Extension
    from tailrace.schema.index import Index as Index
    from tailrace.schema.kept_table import KeptTable as KeptTable
    from tailrace.schema.loading import load_declarations as load_declarations
    from tailrace.schema.objects import ready_rollups as ready_rollups
    from tailrace.schema.objects import status as status
    from tailrace.schema.planner import Declaration as Declaration
    from tailrace.schema.planner import Plan as Plan
    from tailrace.schema.planner import Step as Step
    from tailrace.schema.reading import Reading as Reading
    from tailrace.schema.reading import read as read
    from tailrace.schema.reading import rollup_table as rollup_table
    from tailrace.schema.reconciliation import Drift as Drift
    from tailrace.schema.reconciliation import reconcile as reconcile
    from tailrace.schema.watches import Through as Through
    from tailrace.schema.watches import Watch as Watch
    from tailrace.schema.watches import Where as Where

_HOME = {
    "Declaration": "planner",
    "Extension": "extension",
    "Index": "index",
    "KeptTable": "kept_table",
    "Measure": "declarations",
    "Patience": "connection",
    "Plan": "planner",
    "Progress": "backfill",
    "Rollup": "declarations",
    "Step": "planner",
    "Through": "watches",
    "Watch": "watches",
    "Where": "watches",
    "apply": "applier",
    "avg": "declarations",
    "count": "declarations",
    "plan": "applier",
    "read": "reading",
    "ready_rollups": "objects",
    "status": "objects",
    "load_declarations": "loading",
    "reconcile": "reconciliation",
    "rollup_table": "reading",
    "Reading": "reading",
    "Drift": "reconciliation",
    "sum_": "declarations",
    "table_tag": "declarations",
}

__all__ = list(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
