"""A service that reports to Sentry; prints what the SDK would send. ``python -m ... [auto]``: with its integrations.

A process of its own, because the SDK's integrations change logging and the framework for good.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import sentry_sdk
from fastapi import FastAPI
from sentry_sdk.envelope import Envelope
from sentry_sdk.transport import Transport
from tests.unit.asgi.driver import ask

from tailrace import Tailrace
from tailrace.asgi import report_to_sentry
from tailrace.errors import DatabaseTimeoutError, RequestError
from tailrace.settings import Settings

SENT: list[dict[str, Any]] = []


class KeepingTransport(Transport):
    """Keeps events as they would go out, in place of the network."""

    def capture_envelope(self, envelope: Envelope) -> None:
        SENT.extend(json.loads(item.get_bytes()) for item in envelope.items if item.type == "event")


app = FastAPI()


@app.get("/orders/{number}")
async def order(number: int) -> None:
    """Fails as its path asks."""
    if number == 1:
        raise RequestError("no")
    if number == 2:
        raise DatabaseTimeoutError("slow")
    raise RuntimeError("nobody expected this")


async def main() -> None:
    """Ask for all three failures."""
    sentry_sdk.init(
        dsn="http://public@sentry.invalid/1", transport=KeepingTransport, auto_enabling_integrations="auto" in sys.argv
    )
    tailrace = Tailrace(app, Settings(database_url=None, valkey_url=None), on_error=report_to_sentry)
    headers = [(b"x-request-id", b"r-1"), (b"x-api-key", b"secret-key")]
    async with tailrace.running():
        for number in (1, 2, 3):
            await ask(app, f"/orders/{number}", headers=headers)
    sentry_sdk.flush()
    sys.stdout.write(json.dumps(SENT))


if __name__ == "__main__":
    asyncio.run(main())
