"""Measures how soon what one process wrote shows on another. Touches: the network and the database."""

from __future__ import annotations

import asyncio

from tailrace_services.hunt.actors import Browser, Field, Outcome, SqlClient
from tailrace_services.hunt.world import User

__all__ = ["probe"]

GIVE_UP = 5.0
"""Seconds after which a write that does not show is no longer waited for; the model has long complained by then."""


async def probe(field: Field, user: User, client: SqlClient | None, pause: float = 0.05) -> None:
    """Rename an agent, and ask another server as somebody else until the new name shows.

    Counts seconds from the acknowledgement of the write to the arrival of the first answer that shows it, its waiting
    and its calculation included; and to the moment at which the last request left that got the old answer, which is
    what the invalidation itself took. With a ``client`` the write is raw SQL, else it goes through the API. ``user`` is
    nobody else's to write to.
    """
    writer, watcher = (
        Browser(field, user, f"probe of user {user.id}"),
        Browser(field, user, f"watcher of user {user.id}"),
    )
    agent = min(user.names)
    turn = 0
    while not field.over.is_set():
        await asyncio.sleep(pause * (0.5 + field.random.random()))
        if agent in user.renaming:
            continue  # its last rename is not settled yet
        turn += 1
        server = turn % len(field.servers)
        was_calm = field.calm()
        if client is None:
            outcome: Outcome = await writer.rename(server, agent)
        else:
            write = field.world.begin_rename(user, agent, None, field.now(), client.name)
            outcome = await client.run(field.quarry.update(agent, write.value))
            field.world.end_rename(user, agent, write, outcome, field.now(), client.name)
        if outcome != "acknowledged":
            continue
        name = field.world.newest_name(user, agent)
        took = await _until_shown(field, watcher, (server + 1) % len(field.servers), agent, name)
        if took is None:
            continue
        if was_calm and field.calm():
            field.visibility.append(took[0])
            field.asked_too_early.append(took[1])
        else:
            field.disturbed_visibility.append(took[0])


async def _until_shown(
    field: Field, watcher: Browser, server: int, agent: int, name: str
) -> tuple[float, float] | None:
    """Seconds until the new name arrived, and until the last request left that got another."""
    began, last_old = field.now(), 0.0
    while (asked := field.now()) < began + GIVE_UP and not field.over.is_set():
        response = await watcher.read("agent", server, agent)
        if response is None:
            return None
        if field.quarry.endpoints["agent"].observe(agent, response.json()).names[agent] == name:
            return field.now() - began, last_old
        last_old = asked - began
    return None
