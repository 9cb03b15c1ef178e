"""The stale-answer hunt in its short form: three real servers, writers and readers, while parts are killed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tailrace.embedded import PostgresServer, ValkeyServer
from tailrace_services.hunt.commands import SHORT_SECONDS, own_servers, plan_of
from tailrace_services.hunt.quarry import Quarry
from tailrace_services.hunt.run import hunt
from tailrace_services.trading_desk.proof.quarry import QUARRY as TRADING_DESK
from tailrace_services.voice_dashboard.proof.quarry import QUARRY as VOICE_DASHBOARD

Servers = tuple[PostgresServer, ValkeyServer]


@pytest.fixture(scope="module")
def servers() -> Iterator[Servers]:
    """Servers that may be broken: nobody else's."""
    with own_servers() as both:
        yield both


@pytest.mark.parametrize("quarry", [VOICE_DASHBOARD, TRADING_DESK], ids=lambda quarry: quarry.data.service)
async def test_no_answer_is_stale_foreign_or_invented_while_parts_are_killed(servers: Servers, quarry: Quarry) -> None:
    """Own writes at once, others' within the bound, nobody else's answer, nothing that was never committed."""
    report = await hunt(*servers, quarry, plan_of(SHORT_SECONDS, short=True, calm=False, self_check=False, seed=1))
    assert not report.violations, "\n\n".join(str(finding) for finding in report.findings)
    # It hunted: answers were judged, some of them from caches, writes of every kind were made, everything was broken.
    assert report.checked > 200
    assert report.outcomes["hit"] > 0
    assert {"api acknowledged", "sql acknowledged", "sql rolled back"} <= set(report.writes)
    assert len(report.faults) == 4
    assert report.unsettled == 0


async def test_a_broken_protocol_is_caught(servers: Servers) -> None:
    """With freshness switched off the same hunt finds violations: it can fail."""
    report = await hunt(*servers, VOICE_DASHBOARD, plan_of(6.0, short=True, calm=False, self_check=True, seed=1))
    assert report.violations["stale beyond the bound"] > 0
    assert not report.clean
    assert "Cache-Status" in str(report.findings[0])
