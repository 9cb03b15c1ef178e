"""A writer of whole answers that says how many it wrote."""

from __future__ import annotations

from typing import Any

from tailrace.asgi.uvicorn_writer import UvicornWriter

__all__ = ["Counting"]


class Counting(UvicornWriter):
    """Counts what it wrote."""

    __slots__ = ("written",)

    def __init__(self) -> None:
        super().__init__()
        self.written = 0

    def write(self, *answer: Any) -> bool:
        written = super().write(*answer)
        self.written += written
        return written
