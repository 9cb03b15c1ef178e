"""Tailrace in a FastAPI or Starlette application.

app = FastAPI()
tailrace = Tailrace(app)

@app.get("/overview")
@cached(ttl=60, identity=caller, depends_on=[tag("calls")])
async def overview() -> Overview: ...
"""

from tailrace.asgi import (
    Alias,
    Deprecated,
    ErrorShape,
    Exchange,
    Finish,
    Problem,
    RouteLimit,
    RoutePolicy,
    Version,
    Versions,
    by_header,
    first_of,
)
from tailrace.asgi.sse import ServerSentEvent
from tailrace.core.freshness import tag
from tailrace.fastapi.decorator import cached, limited, uncompressed, unlimited
from tailrace.fastapi.dependencies import (
    CacheDependency,
    DatabaseDependency,
    RequestDependency,
    SessionDependency,
    VersionDependency,
)
from tailrace.fastapi.errors import install_error_handlers
from tailrace.fastapi.integration import Tailrace
from tailrace.fastapi.pagination import Listing, Paginated, RequestedPage
from tailrace.fastapi.part_status import PartStatus
from tailrace.fastapi.streams import EventStreamResponse, StreamingDependency

__all__ = [
    "Alias",
    "CacheDependency",
    "DatabaseDependency",
    "Deprecated",
    "ErrorShape",
    "EventStreamResponse",
    "Exchange",
    "Finish",
    "Listing",
    "Paginated",
    "PartStatus",
    "Problem",
    "RequestDependency",
    "RequestedPage",
    "RouteLimit",
    "RoutePolicy",
    "ServerSentEvent",
    "SessionDependency",
    "StreamingDependency",
    "Tailrace",
    "Version",
    "VersionDependency",
    "Versions",
    "by_header",
    "cached",
    "first_of",
    "install_error_handlers",
    "limited",
    "tag",
    "uncompressed",
    "unlimited",
]
