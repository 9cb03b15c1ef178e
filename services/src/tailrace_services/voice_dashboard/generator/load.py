"""Write generated rows by binary COPY. Touches: the connection handed in.

numpy builds the next chunk on a thread while the server takes in the last; memory does not grow with the scale but for
2 bytes a call.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from tailrace_services.data.generation import GeneratedDataset, Generation
from tailrace_services.data.loading import Connection, Progress, copy_rows, hand_over
from tailrace_services.voice_dashboard.generator.binary_copy import HEADER, TRAILER, call_rows, lead_rows
from tailrace_services.voice_dashboard.generator.population import Population, populate
from tailrace_services.voice_dashboard.generator.scale import SCALES, Scale
from tailrace_services.voice_dashboard.generator.traffic import DAYS, traffic
from tailrace_services.voice_dashboard.model import CALL_STATUSES, Base

__all__ = ["GENERATION", "VoiceDashboardDataset"]

_MONTHLY_CREDITS = 22.0 * 30 / DAYS
"""What a call costs on average (22 credits), times the share of a year that a month is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VoiceDashboardDataset(GeneratedDataset):
    """What is loaded."""

    users: int
    agents: int
    calls: int
    leads: int


async def fill(
    connection: Connection, scale: Scale, seed: int, anchor: datetime, progress: Progress
) -> VoiceDashboardDataset:
    """Write all rows."""
    progress("users and agents", 0, scale.users)
    people = populate(scale, seed)
    await _copy_people(connection, people, anchor - timedelta(days=DAYS))
    progress("users and agents", scale.users, scale.users)
    leads = await _copy_traffic(connection, people, anchor, progress)
    return VoiceDashboardDataset(
        scale=scale.name,
        seed=seed,
        anchor=anchor,
        users=scale.users,
        agents=people.agent_user.size,
        calls=scale.calls,
        leads=leads,
        created=True,
    )


async def _copy_people(connection: Connection, people: Population, start: datetime) -> None:
    users = ("id", "email", "api_key_hash", "credits", "is_active", "created_at")
    agents = ("id", "user_id", "external_id", "name", "type", "status", "description", "is_active", "created_at")
    await connection.copy_records_to_table("users", records=people.user_rows(start, _MONTHLY_CREDITS), columns=users)
    await connection.copy_records_to_table("agents", records=people.agent_rows(start), columns=agents)


async def _copy_traffic(connection: Connection, people: Population, anchor: datetime, progress: Progress) -> int:
    """COPY calls and leads chunk by chunk and return the number of leads."""
    done = leads = 0
    progress("calls", 0, people.scale.calls)

    async def take(chunk: tuple[bytes, bytes, int, int]) -> None:
        nonlocal done, leads
        call_bytes, lead_bytes, call_count, lead_count = chunk
        columns = ("id", "user_id", "agent_id", "created_at", "duration_minutes", "credits_used", "status")
        await _copy(connection, "calls", columns, call_bytes)
        await _copy(connection, "lead_analytics", ("id", "call_id", "created_at", "total_score"), lead_bytes)
        done += call_count
        leads += lead_count
        progress("calls", done, people.scale.calls)

    await hand_over(_encoded(people, anchor), take)
    return leads


def _encoded(people: Population, anchor: datetime) -> Iterator[tuple[bytes, bytes, int, int]]:
    for calls, leads in traffic(people, anchor):
        yield (
            call_rows(
                ids=calls.ids,
                user_ids=calls.user_ids,
                agent_ids=calls.agent_ids,
                created_at=calls.created_at,
                thousandths=calls.thousandths,
                cents=calls.cents,
                status=calls.status,
                statuses=CALL_STATUSES,
            ),
            lead_rows(ids=leads.ids, call_ids=leads.call_ids, created_at=leads.created_at, scores=leads.scores),
            calls.ids.size,
            leads.ids.size,
        )


async def _copy(connection: Connection, table: str, columns: tuple[str, ...], rows: bytes) -> None:
    await copy_rows(connection, table, columns, HEADER, rows, TRAILER, form="binary")


GENERATION = Generation("voice_dashboard", Base.metadata, SCALES, VoiceDashboardDataset, fill)
