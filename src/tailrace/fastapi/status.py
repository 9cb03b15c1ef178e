"""How each part of a service is: ``/monitoring/status``. Touches: the parts, asked for their state.

Everybody is told whether all is well (``up``) or something is not (``degraded``); operators see each part, and in a
browser it is a page. It is for people: load balancers ask ``/readyz``, which a cache that is down does not close.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from tailrace.asgi.exchange import Exchange
from tailrace.asgi.monitoring import Answer, as_json, is_operator
from tailrace.cache import SingleFlight
from tailrace.errors import TailraceError
from tailrace.fastapi.part_status import Check, PartStatus, library_parts
from tailrace.fastapi.status_page import status_page

if TYPE_CHECKING:
    from tailrace.fastapi.integration import Tailrace

__all__ = ["PATH", "Status"]

PATH = "/monitoring/status"
PATIENCE = 2.0
"""Seconds within which a part must say how it is."""
REMEMBERED = 1.0
"""Seconds for which what the parts said is told again: however many ask, the parts are not asked more often."""

_log = logging.getLogger("tailrace.status")


class Status:
    """The parts of one Tailrace, and those that its application adds.

    Args:
        tailrace: is asked at each request, since its parts are made anew when the application starts again.
    """

    def __init__(self, tailrace: Tailrace) -> None:
        self._tailrace = tailrace
        self._own: dict[str, Check] = {}
        self._flight: SingleFlight[dict[str, PartStatus]] = SingleFlight()
        self._told: tuple[float, dict[str, PartStatus]] | None = None

    def add(self, name: str, check: Check) -> None:
        """Let the application's own part be asked, too."""
        self._own[name] = check

    async def answer(self, exchange: Exchange) -> Answer:
        """For the monitoring layer."""
        parts = await self.parts()
        state = "up" if all(part.state == "up" for part in parts.values()) else "degraded"
        shown = parts if is_operator(exchange, self._tailrace.settings.http) else None
        if (exchange.header("accept") or "").startswith("text/html"):
            return 200, b"text/html; charset=utf-8", status_page(state, shown).encode()
        document: dict[str, object] = {"status": state}
        if shown is not None:
            document["parts"] = {name: {"status": part.state, **part.detail} for name, part in shown.items()}
        return as_json(200, document)

    async def parts(self) -> dict[str, PartStatus]:
        """How each is, as of the last second."""
        now = self._tailrace.clock.monotonic()
        if self._told is not None and now - self._told[0] < REMEMBERED:
            return self._told[1]
        return (await self._flight.join("status", self._ask))[0]

    async def _ask(self) -> dict[str, PartStatus]:
        checks = {**library_parts(self._tailrace), **self._own}
        states = await asyncio.gather(*[_asked(name, check) for name, check in checks.items()])
        found = {name: state for name, state in zip(checks, states, strict=True) if state is not None}
        self._told = self._tailrace.clock.monotonic(), found
        return found


async def _asked(name: str, check: Check) -> PartStatus | None:
    try:
        async with asyncio.timeout(PATIENCE):
            return await check()
    except TimeoutError:
        return PartStatus("down", {"problem": f"no answer within {PATIENCE:g} s"})
    except TailraceError as error:
        return PartStatus("down", {"problem": f"{error.code}: {error}"})
    except Exception as error:  # one part must not hide the others
        _log.exception("the part %s cannot be asked", name)
        return PartStatus("down", {"problem": type(error).__name__})
