"""The tools' addresses in the first version of the API, built once for an implementation. Touches nothing itself.

Each route reads the question, asks the implementation and sends what it answers, ready as JSON: nothing is validated
or serialised a second time on the way out.
"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends, Request, Response, Security

from tailrace.fastapi import limited
from tailrace_services.call_coach.api.callers import Callers
from tailrace_services.call_coach.api.coach import Coach
from tailrace_services.call_coach.api.errors import SHAPE, ErrorBody
from tailrace_services.call_coach.api.v1.schemas.analyze_call import AnalyzeCallRequest, AnalyzeCallResponse
from tailrace_services.call_coach.api.v1.schemas.analyze_opportunity import (
    AnalyzeOpportunityRequest,
    AnalyzeOpportunityResponse,
)
from tailrace_services.call_coach.api.v1.schemas.get_learning_insights import (
    GetLearningInsightsRequest,
    GetLearningInsightsResponse,
)
from tailrace_services.call_coach.api.v1.schemas.get_rep_insights import GetRepInsightsRequest, GetRepInsightsResponse
from tailrace_services.call_coach.api.v1.schemas.search_calls import SearchCallsRequest, SearchCallsResponse
from tailrace_services.call_coach.api.v1.schemas.token import TokenResponse
from tailrace_services.call_coach.keys import KEYS
from tailrace_services.identity.accounts import Account
from tailrace_services.identity.authentication import UnauthorizedError, security_schemes

__all__ = ["PREFIX", "build_routes"]

PREFIX = "/api/v1"

expensive = limited("20/minute", burst=30, name="expensive")
"""For tools that read or work much: one bucket for all of them, beside the general one."""

DESCRIPTIONS = {
    400: "The cursor was not issued for this search, or there is no such page.",
    401: "A credential that is not valid, or none where one is needed.",
    403: "The caller is switched off.",
    404: "There is no such thing.",
    422: "A value is missing, unknown or out of range.",
    500: "Something unexpected.",
    503: "Not now; `Retry-After` says when.",
}
ALWAYS = (401, 403, 422, 500, 503)


def _failures(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """What a route documents of its failures: both shapes for each status."""
    content = {other.media_type: {"schema": dict(other.schema)} for other in SHAPE.others}
    return {
        status: {"model": ErrorBody, "description": DESCRIPTIONS[status], "content": content}
        for status in sorted((*ALWAYS, *statuses))
    }


def _json(body: bytes) -> Response:
    return Response(body, headers={"cache-control": "no-store"}, media_type="application/json")


def build_routes(coach: Coach, callers: Callers) -> APIRouter:
    """All routes of this version, answered by ``coach``; everybody may ask whom ``callers`` do not refuse."""
    ways_in = security_schemes(KEYS, f"{PREFIX}/auth/token")
    caller = Depends(callers.anybody)
    router = APIRouter(prefix=PREFIX, dependencies=[caller, *(Security(scheme) for scheme in ways_in)], tags=["tools"])
    _add_token(router, callers)
    _add_analyze_call(router, coach, caller)
    _add_get_rep_insights(router, coach)
    _add_analyze_opportunity(router, coach)
    _add_search_calls(router, coach)
    _add_get_learning_insights(router, coach)
    return router


def _add_token(router: APIRouter, callers: Callers) -> None:
    @router.post("/auth/token", response_model=TokenResponse, responses=_failures())
    async def exchange(request: Request) -> Response:
        """Exchange the API key for a token that is good for a quarter of an hour."""
        return _json(TokenResponse.of(await callers.exchange(request.scope["headers"])).json_bytes())


def _add_analyze_call(router: APIRouter, coach: Coach, caller: Any) -> None:
    @router.post("/tools/analyze_call", response_model=AnalyzeCallResponse, responses=_failures(404))
    @expensive
    async def analyze_call(request: AnalyzeCallRequest, account: Account | None = caller) -> Response:
        """How the representatives did in a call: scores, remarks, evidence and figures of the conversation."""
        if request.force and account is None:
            raise UnauthorizedError  # it changes what everybody reads
        found = await coach.analyze_call(request.question())
        return _json(AnalyzeCallResponse.of(found).json_bytes())


def _add_get_rep_insights(router: APIRouter, coach: Coach) -> None:
    @router.post("/tools/get_rep_insights", response_model=GetRepInsightsResponse, responses=_failures(404))
    async def get_rep_insights(request: GetRepInsightsRequest) -> Response:
        """How a representative is doing: averages, trends, rank among peers, skill gaps and a coaching plan."""
        found = await coach.get_rep_insights(request.question())
        return _json(GetRepInsightsResponse.of(found).json_bytes())


def _add_analyze_opportunity(router: APIRouter, coach: Coach) -> None:
    @router.post("/tools/analyze_opportunity", response_model=AnalyzeOpportunityResponse, responses=_failures(404))
    @expensive
    async def analyze_opportunity(request: AnalyzeOpportunityRequest) -> Response:
        """Where a sale stands: its timeline, themes and objections, the prospect's mood, risks and what to do."""
        found = await coach.analyze_opportunity(request.question())
        return _json(AnalyzeOpportunityResponse.of(found).json_bytes())


def _add_search_calls(router: APIRouter, coach: Coach) -> None:
    @router.post("/tools/search_calls", response_model=SearchCallsResponse, responses=_failures(400))
    async def search_calls(request: SearchCallsRequest) -> Response:
        """Calls that fit, in an order, page by page, with the moments that were looked for."""
        found = await coach.search_calls(request.question())
        return _json(SearchCallsResponse.of(found).json_bytes())


def _add_get_learning_insights(router: APIRouter, coach: Coach) -> None:
    @router.post("/tools/get_learning_insights", response_model=GetLearningInsightsResponse, responses=_failures(404))
    @expensive
    async def get_learning_insights(request: GetLearningInsightsRequest) -> Response:
        """A representative beside the top performers: what they do differently, and moments to listen to."""
        found = await coach.get_learning_insights(request.question())
        return _json(GetLearningInsightsResponse.of(found).json_bytes())
