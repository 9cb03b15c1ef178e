from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any

import pytest
from tests.unit.asgi.driver import ask

from tailrace.asgi import ErrorShape, Problem, ProblemDetailsMiddleware, RequestContextMiddleware, rfc9457
from tailrace.errors import (
    CircuitOpenError,
    DatabaseError,
    DatabaseTimeoutError,
    OutcomeUnknownError,
    RequestError,
    TailraceError,
)


def raising(error: BaseException, after: list[dict[str, Any]] | None = None) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        for message in after or []:
            await send(message)
        raise error

    return app


START = {"type": "http.response.start", "status": 200, "headers": []}


@pytest.mark.parametrize(
    ("error", "status", "code", "retry_after"),
    [
        (RequestError("days must be 1..90", code="bad_days"), 400, "bad_days", None),
        (DatabaseTimeoutError("canceling statement"), 503, "database_timeout", b"1"),
        (CircuitOpenError("provider", retry_after=1.2), 503, "circuit_open", b"2"),
        (OutcomeUnknownError("COMMIT of secret_table"), 503, "outcome_unknown", b"1"),
        (DatabaseError("relation secret_table"), 500, "database_error", None),
        (KeyError("secret"), 500, "internal_error", None),
    ],
)
async def test_every_error_is_a_problem(error: Exception, status: int, code: str, retry_after: bytes | None) -> None:
    """Each error answers its own status, code and Retry-After as RFC 9457 problem details."""
    reply = await ask(ProblemDetailsMiddleware(raising(error)))
    body = json.loads(reply.body)
    assert (reply.status, body["status"], body["code"]) == (status, status, code)
    assert reply.headers[b"content-type"] == b"application/problem+json"
    assert reply.headers[b"content-length"] == b"%d" % len(reply.body)
    assert reply.headers.get(b"retry-after") == retry_after


@pytest.mark.parametrize(
    "error",
    [
        DatabaseError("secret_table"),
        RuntimeError("secret_table"),
        DatabaseTimeoutError("secret_table"),
        OutcomeUnknownError("secret_table"),
    ],
)
async def test_server_errors_say_nothing(error: Exception) -> None:
    """What is behind a 5xx is the log's business, not the client's."""
    assert b"secret_table" not in (await ask(ProblemDetailsMiddleware(raising(error)))).body


async def test_500_keeps_the_request_id(caplog: pytest.LogCaptureFixture) -> None:
    """The id is in the header, in the body and beside the traceback in the log."""
    with caplog.at_level(logging.ERROR, "tailrace.asgi"):
        reply = await ask(
            RequestContextMiddleware(ProblemDetailsMiddleware(raising(RuntimeError("boom")))),
            headers=[(b"x-request-id", b"r-1")],
        )
    assert reply.headers[b"x-request-id"] == b"r-1"
    assert json.loads(reply.body)["request_id"] == "r-1"
    assert "r-1" in caplog.text
    assert "boom" in caplog.text


async def test_head_has_no_body() -> None:
    """A HEAD answers the GET's headers without its body (RFC 9110 9.3.2)."""
    reply = await ask(ProblemDetailsMiddleware(raising(RequestError("no"))), method="HEAD")
    assert reply.body == b""
    assert int(reply.headers[b"content-length"]) > 0


async def test_begun_response_is_broken_off() -> None:
    """A part of a response must not pass for the whole, so the server learns of the error and closes."""
    with pytest.raises(RuntimeError):
        await ask(ProblemDetailsMiddleware(raising(RuntimeError(), [START])))


async def test_complete_response_stands() -> None:
    """What fails behind a complete response is logged and does not cost the connection."""
    reply = await ask(
        ProblemDetailsMiddleware(raising(RuntimeError(), [START, {"type": "http.response.body", "body": b"ok"}]))
    )
    assert (reply.status, reply.body, len(reply.messages)) == (200, b"ok", 2)


async def test_own_shape() -> None:
    """A service may hand in its own shape."""

    def render(problem: Problem) -> Mapping[str, Any]:
        return {"success": False, "error": {"code": problem.code.upper(), "message": problem.detail}}

    layer = ProblemDetailsMiddleware(raising(RequestError("no", status=409, code="taken")), shape=ErrorShape(render))
    reply = await ask(layer)
    assert json.loads(reply.body) == {"success": False, "error": {"code": "TAKEN", "message": "no"}}
    assert (reply.status, reply.headers[b"content-type"]) == (409, b"application/json")


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        (None, b"application/json"),
        (b"*/*", b"application/json"),
        (b"application/json", b"application/json"),
        (b"application/problem+json", b"application/problem+json"),
        (b"Application/Problem+JSON; charset=utf-8; q=0.9, application/json;q=0.8", b"application/problem+json"),
        (b"application/json, application/problem+json", b"application/problem+json"),
        (b"application/problem+json;q=0.1, application/json", b"application/json"),
        (b"application/problem+json;q=0", b"application/json"),
        (b"application/problem+json;q=nonsense", b"application/json"),
        (b"\xff,;q=,,=", b"application/json"),
    ],
)
async def test_another_shape_for_who_asks_for_it(accept: bytes | None, media_type: bytes) -> None:
    """RFC 9457 beside a shape of one's own goes to clients that name it; caches are told that it depends."""
    shape = ErrorShape(lambda problem: {"error": problem.code}, others=(rfc9457,))
    layer = ProblemDetailsMiddleware(raising(RequestError("no", status=409, code="taken")), shape=shape)
    reply = await ask(layer, headers=[] if accept is None else [(b"accept", accept)])
    assert (reply.headers[b"content-type"], reply.headers[b"vary"]) == (media_type, b"accept")
    body = json.loads(reply.body)
    assert body["code" if media_type.endswith(b"problem+json") else "error"] == "taken"


async def test_error_hook() -> None:
    """Error trackers hear of what nobody expected, and only of that; a hook that fails changes nothing."""
    heard: list[BaseException] = []

    def hook(error: BaseException, exchange: Any) -> None:
        heard.append(error)
        raise ValueError

    for error in (RuntimeError(), RequestError("no"), DatabaseTimeoutError("slow")):
        await ask(ProblemDetailsMiddleware(raising(error), on_error=hook))
    assert [type(error) for error in heard] == [RuntimeError]


async def test_values_that_json_cannot_hold() -> None:
    """A detail with odd values still makes a body."""

    class Odd(TailraceError):
        status = 503
        data = {"when": object(), "text": "\ud800"}  # noqa: RUF012

    reply = await ask(ProblemDetailsMiddleware(raising(Odd("x"))))
    assert reply.status == 503
    assert json.loads(reply.body)["status"] == 503


async def test_a_write_of_unknown_outcome_is_not_said_to_be_repeatable() -> None:
    """Its client is told to look first; no error tracker is told, since nothing is to be mended."""
    told: list[BaseException] = []
    layer = ProblemDetailsMiddleware(raising(OutcomeUnknownError("")), on_error=lambda error, _: told.append(error))
    body = json.loads((await ask(layer)).body)
    assert body["retryable"] is False
    assert "Look before you ask again" in body["detail"]
    assert told == []
