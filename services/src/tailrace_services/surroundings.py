"""What routes have around them: who asks, the time, pages, documented failures. Touches nothing itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic, Protocol, TypeVar

from fastapi import Depends, Response

from tailrace.asgi.route_policy import IdentityOf
from tailrace.clock import Clock
from tailrace.core.cursor import Cursors
from tailrace.db import Pages
from tailrace.fastapi import Listing, Paginated, RequestedPage

__all__ = ["JSON", "OWN", "PAGED", "WRITES", "Callers", "Mark", "Surroundings", "failures", "listed", "unmarked"]

Endpoint = Callable[..., Any]
Mark = Callable[[str, Endpoint], Endpoint]
"""Given a read's name and its endpoint, gives the endpoint back, marked as the implementation wishes."""

DESCRIPTIONS = {
    400: "There is no such page, or the body is not JSON.",
    401: "No credential, or not a valid one.",
    403: "The account is switched off, or may not do this.",
    404: "There is no such thing.",
    413: "The body is too large.",
    422: "A value is missing, unknown or out of range.",
    500: "Something unexpected.",
    503: "Not now; `Retry-After` says when.",
}
JSON = "application/json"
PAGED = (400,)
OWN = (401, 403)
WRITES = (400, 401, 403, 413)


def failures(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """What a route documents of its failures beside those that any may have."""
    return {status: {"description": DESCRIPTIONS[status]} for status in sorted({422, 500, 503, *statuses})}


def unmarked(_name: str, endpoint: Endpoint) -> Endpoint:
    """No read is special."""
    return endpoint


class Callers(Protocol):
    """Knows who asks."""

    @property
    def identity(self) -> IdentityOf:
        """Whose answer a cached one is."""
        ...


C = TypeVar("C", bound=Callers)


@dataclass(frozen=True)
class Surroundings(Generic[C]):
    """What routes have around them.

    Attributes:
        callers: knows who asks.
        clock: the service's time.
        cursors: sign the pages; None: those of the application's ``Tailrace``.
        mark: called for each read's endpoint.
    """

    callers: C
    clock: Clock
    cursors: Cursors | None = None
    mark: Mark = unmarked

    def now(self) -> datetime:
        """The service's time."""
        return datetime.fromtimestamp(self.clock.now(), UTC)

    def shared_page(self, asked: Pages) -> Any:
        """A page of what is everyone's, as a dependency."""
        return Depends(Paginated(asked, shared=True, cursors=self.cursors))

    def own_page(self, asked: Pages) -> Any:
        """A page of what is the caller's own, as a dependency."""
        return Depends(Paginated(asked, identity=self.callers.identity, cursors=self.cursors))


def listed(listing: Listing[Any], page: RequestedPage) -> Response:
    """A page as it is sent."""
    return Response(listing.json_bytes(), headers=page.headers, media_type=JSON)
