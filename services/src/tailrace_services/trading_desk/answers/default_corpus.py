"""What every Python carries of its own documentation, as documents. Touches: the modules that it reads.

The language reference's topics, and what the standard library's most used modules say of themselves.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator
from functools import partial
from types import ModuleType

from tailrace.semantic.documents import Source

__all__ = ["DEFAULT_CORPUS", "python_sources"]

DEFAULT_CORPUS = "python"
MODULES = (
    *("builtins", "bisect", "collections", "contextlib", "copy", "csv", "dataclasses", "functools", "heapq"),
    *("itertools", "json", "math", "operator", "pathlib", "random", "re", "shutil", "statistics", "string"),
    *("textwrap", "time", "uuid"),
)
LONGEST = 1_500
"""Characters that are taken of what one object says."""


def python_sources() -> list[Source]:
    """The documents of the default corpus. Cost: half a second."""
    from pydoc_data.topics import topics

    made = [Source(f"topics/{name}", "text", partial(str.encode, text)) for name, text in sorted(topics.items())]
    for name in MODULES:
        text = "\n".join(_module(importlib.import_module(name)))
        made.append(Source(f"library/{name}", "text", partial(str.encode, text)))
    return made


def _module(module: ModuleType) -> Iterator[str]:
    """A module's own words, then those of what is public in it."""
    yield from _section(f"The module {module.__name__}", "=", module)
    names = getattr(module, "__all__", None) or [name for name in dir(module) if not name.startswith("_")]
    for name in sorted(names):
        found = getattr(module, name)
        exception = inspect.isclass(found) and issubclass(found, BaseException)
        if exception or not (inspect.isclass(found) or inspect.isroutine(found)):
            continue
        yield from _section(name, "-", found)
        if inspect.isclass(found):
            for own, method in sorted(vars(found).items()):
                if not own.startswith("_") and inspect.isroutine(method):
                    yield from _section(f"{name}.{own}", "~", method)


def _section(heading: str, sign: str, documented: object) -> Iterator[str]:
    said = (inspect.getdoc(documented) or "").strip()
    if said:
        # A line of signs in it would make a heading of the line before.
        lines = [line for line in said[:LONGEST].split("\n") if len(set(line.strip())) != 1]
        yield f"{heading}\n{sign * len(heading)}\n\n" + "\n".join(lines) + "\n"
