"""The garbage collector, kept out of the way of requests. Touches: the collector, of the whole process.

What a request leaves behind is freed without it. So it need not look through what was loaded at the start, which stops
requests for as long as that takes, nor at the youngest objects whenever 700 more were made than freed.
"""

from __future__ import annotations

import gc

__all__ = ["collect_less_often", "leave_out_what_is_loaded"]

THRESHOLDS = (10_000, 20, 20)
"""Objects before the youngest are looked at; and how many such looks before the older ones are."""


def leave_out_what_is_loaded() -> None:
    """Collect once, and look at nothing again that there is now; nothing where most of it is left out already.

    Some is from the start on by Python 3.12 itself. Cost: one whole collection, some tenths of a second.
    """
    if gc.get_freeze_count() < len(gc.get_objects()):
        gc.collect()
        gc.freeze()


def collect_less_often() -> None:
    """Raise the collector's thresholds; one that is higher already, or a collector that is turned off, stays."""
    current = gc.get_threshold()
    if current[0]:
        gc.set_threshold(*map(max, current, THRESHOLDS))
