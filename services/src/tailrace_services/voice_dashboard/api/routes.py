"""The service's addresses, built once for an implementation. Touches nothing itself.

Each route authenticates, takes the time, asks the implementation and sends what it gives. Reads come back as JSON,
ready to send: nothing is validated or serialised a second time on the way out.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request, Response, Security
from starlette.exceptions import HTTPException

from tailrace.clock import Clock
from tailrace_services.identity.authentication import Authenticator, security_schemes
from tailrace_services.identity.tokens import TOKEN_TTL
from tailrace_services.voice_dashboard.api import schemas
from tailrace_services.voice_dashboard.api.body import ErrorBody
from tailrace_services.voice_dashboard.api.dashboard import Dashboard, Reply
from tailrace_services.voice_dashboard.api.requests import LARGEST_ID, AgentChange, NewAgent, NewCall, NewLead
from tailrace_services.voice_dashboard.api.windows import MAX_DAYS
from tailrace_services.voice_dashboard.keys import KEYS

__all__ = ["Mark", "build_routes"]

Endpoint = Callable[..., Any]

Id = Annotated[int, Path(ge=1, le=LARGEST_ID)]
Days = Annotated[int, Query(ge=1, le=MAX_DAYS, description="UTC days, today included")]

DESCRIPTIONS = {
    400: "The body is not JSON.",
    401: "No credential, or not a valid one.",
    403: "The account is switched off.",
    404: "There is no such thing, or it is another user's.",
    409: "The external id is taken.",
    413: "The body is too large.",
    415: "The body is not declared as JSON.",
    422: "A value is missing, unknown or out of range.",
    500: "Something unexpected.",
    502: "The voice provider failed.",
    503: "Not now; `Retry-After` says when.",
    504: "The voice provider did not answer in time, or the answer was asked for only if cached and is not.",
}
ALWAYS = (401, 403, 422, 500, 503)
WRITES = (400, 413, 415)


def _failures(*statuses: int) -> dict[int | str, dict[str, Any]]:
    return {status: {"model": ErrorBody, "description": DESCRIPTIONS[status]} for status in (*ALWAYS, *statuses)}


def _json(body: bytes, status: int = 200) -> Response:
    return Response(body, status, media_type="application/json")


def _reply(reply: Reply) -> Response:
    response = Response(reply.body, media_type="application/json")
    if reply.max_age is not None:
        response.headers["cache-control"] = f"private, max-age={reply.max_age}" if reply.max_age else "no-store"
    return response


async def _json_only(request: Request) -> None:
    """Refuse a body that is not declared as JSON: 415 rather than a puzzling validation error."""
    declared = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if declared != "application/json":
        raise HTTPException(415, "send the body as application/json")


Mark = Callable[[str, Endpoint], Endpoint]
"""Given a read's name (overview, analytics, agents, agent, configuration, credits) and its endpoint, gives the endpoint
back, marked as the implementation wishes."""


def unmarked(_name: str, endpoint: Endpoint) -> Endpoint:
    """No read is special."""
    return endpoint


def build_routes(dashboard: Dashboard, clock: Clock, authenticator: Authenticator, mark: Mark = unmarked) -> APIRouter:
    """All of the service's routes, answered by ``dashboard`` at ``clock``'s time.

    Args:
        authenticator: knows the dashboard's users.
        mark: called for each read's endpoint.
    """

    def now() -> datetime:
        return datetime.fromtimestamp(clock.now(), UTC)

    async def user(request: Request) -> int:
        return (await authenticator.account(request.scope["headers"])).holder_id

    schemes = security_schemes(KEYS, "/api/auth/token")
    router = APIRouter(prefix="/api", dependencies=[Security(scheme) for scheme in schemes])
    caller = Depends(user)
    _add_dashboard(router, dashboard, caller, now, mark)
    _add_agents(router, dashboard, caller, now, mark)
    _add_agent_writes(router, dashboard, caller, now)
    _add_call_writes(router, dashboard, caller, now)
    _add_account(router, dashboard, authenticator, caller, mark)
    return router


def _add_dashboard(
    router: APIRouter, dashboard: Dashboard, caller: Any, now: Callable[[], datetime], mark: Mark
) -> None:
    @router.get("/dashboard/overview", response_model=schemas.Overview, responses=_failures(504), tags=["dashboard"])
    @partial(mark, "overview")
    async def overview(request: Request, user_id: int = caller) -> Response:
        """Key figures of the last 30 days, credits, agents and the newest calls."""
        only_cached = "only-if-cached" in request.headers.get("cache-control", "").lower()
        return _reply(await dashboard.overview(user_id, now(), only_cached=only_cached))

    @router.get("/dashboard/analytics", response_model=schemas.Analytics, responses=_failures(), tags=["dashboard"])
    @partial(mark, "analytics")
    async def analytics(user_id: int = caller, days: Days = 7) -> Response:
        """Figures by day, by hour and by agent."""
        return _reply(await dashboard.analytics(user_id, days, now()))


def _add_agents(router: APIRouter, dashboard: Dashboard, caller: Any, now: Callable[[], datetime], mark: Mark) -> None:
    @router.get("/agents", response_model=schemas.AgentList, responses=_failures(502, 504), tags=["agents"])
    @partial(mark, "agents")
    async def agents(user_id: int = caller) -> Response:
        """The agents with their figures and their configurations at the voice provider."""
        return _reply(await dashboard.agents(user_id, now()))

    @router.get(
        "/agents/{agent_id}", response_model=schemas.AgentView, responses=_failures(404, 502, 504), tags=["agents"]
    )
    @partial(mark, "agent")
    async def agent(agent_id: Id, user_id: int = caller) -> Response:
        """One agent."""
        return _reply(await dashboard.agent(user_id, agent_id, now()))

    @router.get(
        "/agents/{agent_id}/configuration",
        response_model=schemas.AgentConfigurationAnswer,
        responses=_failures(404, 502, 504),
        tags=["agents"],
    )
    @partial(mark, "configuration")
    async def configuration(agent_id: Id, user_id: int = caller) -> Response:
        """One agent's configuration at the voice provider."""
        return _reply(await dashboard.configuration(user_id, agent_id, now()))


def _add_agent_writes(router: APIRouter, dashboard: Dashboard, caller: Any, now: Callable[[], datetime]) -> None:
    @router.post(
        "/agents",
        status_code=201,
        response_model=schemas.AgentRow,
        responses=_failures(409, *WRITES),
        dependencies=[Depends(_json_only)],
        tags=["agents"],
    )
    async def create_agent(agent: NewAgent, user_id: int = caller) -> Response:
        """A new agent."""
        return _json((await dashboard.create_agent(user_id, agent, now())).json_bytes(), 201)

    @router.patch(
        "/agents/{agent_id}",
        response_model=schemas.AgentRow,
        responses=_failures(404, *WRITES),
        dependencies=[Depends(_json_only)],
        tags=["agents"],
    )
    async def change_agent(agent_id: Id, change: AgentChange, user_id: int = caller) -> Response:
        """Change the fields that are named."""
        return _json((await dashboard.change_agent(user_id, agent_id, change)).json_bytes())

    @router.delete("/agents/{agent_id}", status_code=204, responses=_failures(404), tags=["agents"])
    async def delete_agent(agent_id: Id, user_id: int = caller) -> Response:
        """Delete an agent; its calls still count."""
        await dashboard.delete_agent(user_id, agent_id)
        return Response(status_code=204)


def _add_call_writes(router: APIRouter, dashboard: Dashboard, caller: Any, now: Callable[[], datetime]) -> None:
    @router.post(
        "/calls",
        status_code=201,
        response_model=schemas.CallRow,
        responses=_failures(404, *WRITES),
        dependencies=[Depends(_json_only)],
        tags=["calls"],
    )
    async def record_call(call: NewCall, user_id: int = caller) -> Response:
        """A call that was made; its credits are taken from the balance."""
        return _json((await dashboard.record_call(user_id, call, now())).json_bytes(), 201)

    @router.post(
        "/calls/{call_id}/lead",
        status_code=201,
        response_model=schemas.LeadRow,
        responses=_failures(404, *WRITES),
        dependencies=[Depends(_json_only)],
        tags=["calls"],
    )
    async def record_lead(call_id: Id, lead: NewLead, user_id: int = caller) -> Response:
        """What an analysis made of a call."""
        return _json((await dashboard.record_lead(user_id, call_id, lead, now())).json_bytes(), 201)


def _add_account(
    router: APIRouter, dashboard: Dashboard, authenticator: Authenticator, caller: Any, mark: Mark
) -> None:
    @router.get("/billing/credits", response_model=schemas.CreditBalance, responses=_failures(), tags=["account"])
    @partial(mark, "credits")
    async def credit_balance(user_id: int = caller) -> Response:
        """The balance."""
        return _json((await dashboard.credits(user_id)).json_bytes())

    @router.post("/auth/token", response_model=schemas.Token, responses=_failures(), tags=["account"])
    async def token(request: Request) -> Response:
        """Exchange the API key for a token that is good for a quarter of an hour."""
        access = schemas.Token(
            access_token=await authenticator.exchange(request.scope["headers"]), expires_in=TOKEN_TTL
        )
        return Response(access.json_bytes(), headers={"cache-control": "no-store"}, media_type="application/json")
