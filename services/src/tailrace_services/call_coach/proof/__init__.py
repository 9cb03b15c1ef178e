"""Call Coach as a subject of the proof: what is asked of it, by whom, and who writes meanwhile."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Any

from tailrace.verify.client import Request
from tailrace_services.call_coach.data import DATA
from tailrace_services.call_coach.model import DIMENSIONS
from tailrace_services.call_coach.proof.people import Manager, load_managers
from tailrace_services.call_coach.proof.writes import sql_write
from tailrace_services.prove.subject import Endpoint, Subject

__all__ = ["SUBJECT"]


def _tool(
    name: str, question: Callable[[Manager, int], dict[str, Any]], *, share: float, stores: bool = False
) -> Endpoint:
    """A tool, all of which are to answer within 30 ms whatever the caches hold."""

    def request(manager: Manager, number: int) -> Request:
        body = json.dumps(question(manager, number), default=_plain).encode()
        return Request(name, f"/api/v1/tools/{name}", "POST", manager.headers, body)

    return Endpoint(name, request, asked=30, share=share, warm=3, smaller=0.6, stores=stores)


def _analyze_call(manager: Manager, number: int) -> dict[str, Any]:
    return {"call_id": manager.calls[number % len(manager.calls)]}


def _get_rep_insights(manager: Manager, number: int) -> dict[str, Any]:
    narrower: tuple[dict[str, Any], ...] = ({}, {"product": manager.product})
    return {"rep_email": manager.rep_email, **narrower[number % 2]}


def _get_learning_insights(manager: Manager, number: int) -> dict[str, Any]:
    return {"rep_email": manager.rep_email, "focus_area": DIMENSIONS[number % len(DIMENSIONS)]}


def _search_calls(manager: Manager, number: int) -> dict[str, Any]:
    asked = dataclasses.asdict(manager.searches[number % len(manager.searches)])
    return {name: value for name, value in asked.items() if value not in (None, ())}


def _analyze_opportunity(manager: Manager, number: int) -> dict[str, Any]:
    return {"opportunity_id": manager.opportunities[number % len(manager.opportunities)]}


def _plain(value: datetime | Decimal) -> str | float:
    return value.isoformat() if isinstance(value, datetime) else float(value)


SUBJECT = Subject(
    data=DATA,
    endpoints=(
        _tool("search_calls", _search_calls, share=0.30),
        _tool("analyze_call", _analyze_call, share=0.20, stores=True),
        _tool("get_rep_insights", _get_rep_insights, share=0.20),
        _tool("analyze_opportunity", _analyze_opportunity, share=0.15),
        _tool("get_learning_insights", _get_learning_insights, share=0.15),
    ),
    load_people=load_managers,
    sql_write=sql_write,
    reference="tailrace_services.call_coach.proof.reference:create_reference_app",
    reference_indexes={},
    ready="/docs",
    shared=True,
    variables={
        "TAILRACE_RATE_LIMIT__ENABLED": "false",
        "TAILRACE_HTTP__SERVER_TIMING": "true",
        "TAILRACE_HTTP__CURSOR_SECRETS": '["the same for all that are compared"]',
    },
    notes=(
        "rate limits are off, since one load driver asks for all; a hit is an answer for which the database was not "
        "asked, by its Server-Timing; writes of the mix are plain SQL, one for 100 requests",
    ),
)
