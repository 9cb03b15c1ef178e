"""Which requests for pages are answered by the same statement. Pure."""

from __future__ import annotations

from collections.abc import Hashable

from tailrace.db import PageRequest

__all__ = ["Asked"]


class Asked:
    """A request for a page, equal to others of its order and shape, whose statements are the same."""

    __slots__ = ("request", "same")

    def __init__(self, request: PageRequest) -> None:
        self.request = request
        self.same: Hashable = (request.sort, request.shape)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Asked) and self.same == other.same

    def __hash__(self) -> int:
        return hash(self.same)
