"""Whether a library's code is, to a byte, what was known when ours was written to stand in for it. Touches: its source.

Who stands in for another's private steps relies on all of them. A version number says nothing of a patched copy; the
source itself does, and where it is not what was known, or cannot be read, the library goes its own way.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Iterable

__all__ = ["source_digest"]


def source_digest(functions: Iterable[object]) -> str:
    """SHA-256 of the functions' sources one after another, in hexadecimal.

    "" if one of them is no plain function, wraps another, or has no source that can be read.

    Cost: milliseconds.
    """
    digest = hashlib.sha256()
    for function in functions:
        if not inspect.isfunction(function) or hasattr(function, "__wrapped__"):
            return ""
        try:
            digest.update(inspect.getsource(function).encode())
        except (OSError, TypeError):
            return ""
    return digest.hexdigest()
