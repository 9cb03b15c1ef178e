"""What answers and failures mean."""

from __future__ import annotations

import pytest

from tailrace.errors import UpstreamRejectedError, UpstreamUnavailableError
from tailrace.upstream.classify import classify, error_for, repeatable


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_passing_answers(status: int) -> None:
    """Overload and outage may be over at the next attempt."""
    assert classify(status) == "passing"
    assert isinstance(error_for("svc", status, None), UpstreamUnavailableError)


@pytest.mark.parametrize("status", [100, 301, 302, 304, 307, 400, 401, 403, 404, 409, 422, 501, 505, 600])
def test_lasting_answers(status: int) -> None:
    """Refusals, redirects (never followed) and what the service cannot do are not repeated."""
    assert classify(status) == "rejected"
    error = error_for("svc", status, None)
    assert isinstance(error, UpstreamRejectedError)
    assert error.answered == status


@pytest.mark.parametrize(("method", "expected"), [("GET", True), ("PUT", True), ("DELETE", True), ("POST", False)])
def test_only_idempotent_methods_are_repeatable(method: str, expected: bool) -> None:
    """What might be done twice is not sent twice, unless it carries an idempotency key."""
    assert repeatable(method, {"accept"}) is expected
    assert repeatable(method, {"idempotency-key"})
