"""Pages over HTTP: what a request asks for, the response's body and its ``Link``. Touches: the response's headers.

    CallsPage = Annotated[RequestedPage, Depends(Paginated(CALLS, identity=caller))]

    @app.get("/calls")
    async def calls(page: CallsPage, session: SessionDependency) -> Listing[Call]:
        return await page.fetch(session, select(calls))

Without FastAPI: ``page = await Paginated(CALLS, ...).of(request)``, and ``page.headers`` for the response.

A cursor is good for the same path, the same other query parameters and the same identity only.

**Source:** RFC 8288; RFC 5988's registered relations first, prev, next and last.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from inspect import Parameter, Signature, isawaitable
from typing import TYPE_CHECKING, Annotated, Any, Generic, Literal, TypeVar
from urllib.parse import parse_qsl

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import HTTPConnection
from starlette.responses import Response

from tailrace.asgi.exchange import exchange_of
from tailrace.asgi.route_policy import IdentityOf
from tailrace.asgi.types import Scope
from tailrace.core.cursor import MAX_CURSOR, Cursors
from tailrace.core.links import Link, link_field, reference, replace_query
from tailrace.errors import RequestError
from tailrace.fastapi.dependencies import SCOPE_KEY

if TYPE_CHECKING:
    from tailrace.db.pages import Page, PageRequest, Pages

__all__ = ["Listing", "Paginated", "RequestedPage"]

T = TypeVar("T")

PARAMETERS = ("limit", "cursor", "offset", "sort", "total")
"""Query parameters that say which page; all others say of what."""


class Listing(BaseModel, Generic[T]):
    """One page, as clients see it."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    items: list[T]
    total: int | None = Field(None, description="How many there are in all, if that was asked for.")
    total_is: Literal["exact", "at_least", "estimate", "unknown"] = Field(
        "unknown", description="What `total` is: counted, the number at which counting stopped, or an estimate."
    )
    has_next: bool
    has_previous: bool
    next_cursor: str | None = Field(None, description="Send it as `cursor` for the next page.")
    previous_cursor: str | None = Field(None, description="Send it as `cursor` for the previous page.")

    def json_bytes(self) -> bytes:
        """The page as it is sent."""
        return self.__pydantic_serializer__.to_json(self)


# pydantic makes the class of ``Listing[Any]`` anew, in milliseconds, whenever nobody holds it.
AnyListing = Listing[Any]


class RequestedPage:
    """The page that a request asks for.

    Attributes:
        request: the same without HTTP.
        headers: of the response, complete when the page has been fetched; FastAPI is given them by itself.
    """

    def __init__(self, request: PageRequest, scope: Scope, origin: str, response: Response | None) -> None:
        self.request = request
        self.headers: dict[str, str] = {}
        self._scope = scope
        self._origin = origin
        self._response = response

    async def fetch(
        self, executor: Any, statement: Any, item: Callable[[Any], Any] | None = None, **more: Any
    ) -> Listing[Any]:
        """The page of the rows that ``statement`` gives; arguments as of ``PageRequest.fetch``.

        Raises:
            DatabaseError: one of its kinds.
        """
        page = await self.request.fetch(executor, statement, item, **more)
        self.headers["link"] = link_field(self._links(page))
        if self._response is not None:
            self._response.headers.append("link", self.headers["link"])
        return AnyListing(
            items=page.items,
            total=page.total.rows,
            total_is=page.total.meaning,
            has_next=page.has_next,
            has_previous=page.has_previous,
            next_cursor=page.next_cursor,
            previous_cursor=page.previous_cursor,
        )

    def _links(self, page: Page[Any]) -> list[Link]:
        """Those of the pages around. A page that was found by offset leads on by offset as far as offsets go."""
        links = [Link(self._target({}), "first")]
        asked, offset = self.request, self.request.offset
        if offset is None or offset + asked.limit > asked.max_offset:
            following: dict[str, str] | None = None if page.next_cursor is None else {"cursor": page.next_cursor}
        else:
            following = {"offset": str(offset + asked.limit)} if page.has_next else None
        if offset is None:
            before = None if page.previous_cursor is None else {"cursor": page.previous_cursor}
        else:
            before = {"offset": str(max(0, offset - asked.limit))} if page.has_previous else None
        if before is not None:
            links.append(Link(self._target(before), "prev"))
        if following is not None:
            links.append(Link(self._target(following), "next"))
        return [*links, Link(self._target({"cursor": page.last_cursor}), "last")]

    def _target(self, place: Mapping[str, str]) -> str:
        query: bytes = self._scope.get("query_string", b"")
        changes = {"cursor": place.get("cursor"), "offset": place.get("offset")}
        return reference(external_path(self._scope), replace_query(query.decode("latin-1"), changes), self._origin)


class Paginated:
    """Reads from a request which page is wanted: a dependency of FastAPI, or called with ``of``.

    Args:
        pages: what may be asked for.
        identity: whose rows they are, as for cached routes; a cursor is good for the same one only. Or:
        shared: the rows are everyone's.
        cursors: sign the positions; by default those of ``pages``, then those of the application's ``Tailrace``.
        origin: ``https://api.example.org`` for whole URLs in ``Link``; by default they are paths.

    Raises:
        ValueError: neither ``identity`` nor ``shared`` is given, or both.
    """

    def __init__(
        self,
        pages: Pages,
        *,
        identity: IdentityOf | None = None,
        shared: bool = False,
        cursors: Cursors | None = None,
        origin: str = "",
    ) -> None:
        if (identity is None) == (not shared):
            raise ValueError("pages must say whose rows they show: identity=..., or shared=True if they are everyone's")
        self._pages = pages
        self._identity = identity
        self._cursors = cursors or pages.cursors
        self._origin = origin
        self.__signature__ = _signature(pages)

    async def __call__(self, connection: HTTPConnection, response: Response, **asked: Any) -> RequestedPage:
        """For FastAPI, which has checked what it could and documents it.

        Raises:
            RequestError: what is asked for is not allowed; status 400.
        """
        return await self._requested(connection.scope, response, asked)

    async def of(self, connection: HTTPConnection) -> RequestedPage:
        """For Starlette, or anywhere that has a scope.

        Raises:
            RequestError: what is asked for is not allowed, or is no number; status 400.
        """
        given = _query(connection.scope)
        asked: dict[str, Any] = {name: given[name][-1] for name in PARAMETERS if name in given}
        for name in ("limit", "offset"):
            if name in asked:
                asked[name] = _whole_number(name, asked[name])
        return await self._requested(connection.scope, None, asked)

    async def _requested(self, scope: Scope, response: Response | None, asked: dict[str, Any]) -> RequestedPage:
        identity = None
        if self._identity is not None:
            found = self._identity(exchange_of(scope))
            identity = await found if isawaitable(found) else found
        others = {name: values for name, values in _query(scope).items() if name not in PARAMETERS}
        request = self._pages.request(
            **asked,
            filters={"path": _inner_path(scope), "query": [[name, values] for name, values in sorted(others.items())]},
            identity=identity,
            cursors=self._cursors or _cursors_of(scope),
        )
        return RequestedPage(request, scope, self._origin, response)


def _signature(pages: Pages) -> Signature:
    """The query parameters, for FastAPI: only those that mean something for ``pages``."""
    from fastapi import Query

    one_of = ", ".join(pages.orders)
    parameters: dict[str, Any] = {
        "limit": Annotated[
            int, Query(ge=1, le=pages.max_limit, description=f"Most items of a page; {pages.limit} by default.")
        ],
        "cursor": Annotated[
            str | None, Query(max_length=MAX_CURSOR, description="A cursor of the page before, as it was given.")
        ],
        "sort": Annotated[Literal[tuple(pages.orders)], Query(description=f"The order: {one_of}.")],
    }
    defaults: dict[str, Any] = {"limit": pages.limit, "cursor": None, "sort": pages.default_sort}
    if pages.max_offset:
        described = f"Items to skip; {pages.max_offset} at most, a cursor goes further."
        parameters["offset"] = Annotated[int | None, Query(ge=0, description=described)]
        defaults["offset"] = None
    if len(pages.totals) > 1:
        parameters["total"] = Annotated[Literal[pages.totals], Query(description="How to count what there is in all.")]
        defaults["total"] = pages.totals[0]
    keyword = Parameter.KEYWORD_ONLY
    return Signature(
        [
            Parameter("connection", keyword, annotation=HTTPConnection),
            Parameter("response", keyword, annotation=Response),
            *[Parameter(name, keyword, default=defaults[name], annotation=kind) for name, kind in parameters.items()],
        ]
    )


def _query(scope: Scope) -> dict[str, list[str]]:
    """Every value of every query parameter. Bytes that are no text stay distinct."""
    found: dict[str, list[str]] = {}
    query: bytes = scope.get("query_string", b"")
    for name, value in parse_qsl(query.decode("latin-1"), keep_blank_values=True, errors="surrogateescape"):
        found.setdefault(name, []).append(value)
    return found


def _whole_number(name: str, text: str) -> int:
    if not text.isascii() or not text.removeprefix("-").isdigit() or len(text) > 12:
        raise RequestError(f"{name} must be a whole number", code="invalid_page")
    return int(text)


def _inner_path(scope: Scope) -> str:
    """The path as the application knows it, wherever it is mounted."""
    path, root = str(scope["path"]), str(scope.get("root_path", ""))
    return path.removeprefix(root) if path == root or path.startswith(root.rstrip("/") + "/") else path


def external_path(scope: Scope) -> str:
    """The path as clients know it: some servers leave the prefix that a proxy took off in ``root_path`` alone."""
    return str(scope.get("root_path", "")).rstrip("/") + _inner_path(scope)


def _cursors_of(scope: Scope) -> Cursors:
    tailrace: Any = scope.get(SCOPE_KEY)
    if tailrace is None:
        raise RuntimeError("nothing signs cursors: Paginated(..., cursors=Cursors([secret])), or Tailrace(app)")
    signing: Cursors = tailrace.cursors
    return signing
