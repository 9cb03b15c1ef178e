from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest


@pytest.mark.parametrize("integrations", [[], ["auto"]], ids=["hook alone", "with Sentry's integrations"])
def test_sentry_hears_of_what_nobody_expected(integrations: list[str]) -> None:
    """One event for the unexpected error, by the SDK's own transport, named by its route and with the request id; none
    for refusals and passing trouble; the caller's key is not in it."""
    command = [sys.executable, "-m", "tests.integration.fastapi._sentry_service", *integrations]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    events: list[dict[str, Any]] = json.loads(done.stdout)
    assert [event["exception"]["values"][-1]["value"] for event in events] == ["nobody expected this"]
    (event,) = events
    assert event["transaction"] == "GET /orders/{number}"
    assert event["tags"] == {"request_id": "r-1"}
    assert "secret-key" not in done.stdout
    assert "traceback" in done.stderr.lower(), "the log still has it"
