"""Which of many path templates may match a path, without trying each one's regular expression. Pure.

A template without parameters matches one path. Of any other, the segments before its first parameter must be the path's
own, whatever the parameters take; so the templates stand in a tree of such segments, and a path is followed into it as
far as it goes. What stands there, and above, may match; nothing else can.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

__all__ = ["PathIndex"]


@dataclass(slots=True)
class _Node:
    """Where the first segments lead to."""

    children: dict[str, _Node] = field(default_factory=dict)
    numbers: tuple[int, ...] = ()


class PathIndex:
    """An index of templates.

    Args:
        templates: as routers have them, ``/items/{id}``; None for what may match any path.

    Cost: a look-up for a path that is a template, else one for each of its segments; whatever the number of templates.
    """

    def __init__(self, templates: Sequence[str | None]) -> None:
        self._root = _Node()
        self._depth = 0
        whole: dict[str, list[int]] = {}
        for number, template in enumerate(templates):
            if template is not None and "{" not in template:
                whole.setdefault(template, []).append(number)
            else:
                self._add(number, template or "{}")
        _inherit(self._root)
        self._whole = {path: _merged(self._below(path), numbers) for path, numbers in whole.items()}

    def of(self, path: str) -> tuple[int, ...]:
        """The numbers of all templates that may match ``path``, in their order; a path has no line's end."""
        known = self._whole.get(path)
        return self._below(path) if known is None else known

    def _add(self, number: int, template: str) -> None:
        segments = template.partition("{")[0].split("/")[:-1]
        self._depth = max(self._depth, len(segments))
        node = self._root
        for segment in segments:
            node = node.children.setdefault(segment, _Node())
        node.numbers += (number,)

    def _below(self, path: str) -> tuple[int, ...]:
        node = self._root
        for segment in path.split("/", self._depth):
            child = node.children.get(segment)
            if child is None:
                break
            node = child
        return node.numbers


def _merged(some: Sequence[int], others: Sequence[int]) -> tuple[int, ...]:
    return tuple(sorted({*some, *others}))


def _inherit(node: _Node) -> None:
    """Let each node have what stands above it, too."""
    for child in node.children.values():
        child.numbers = _merged(node.numbers, child.numbers)
        _inherit(child)
