"""What is hunted of a service: who there is, what is asked, what is written. Pure: values only.

The words are those of a dashboard of calls, whatever the service: a *user* has *agents*, each with a *name* that can be
changed, and *calls*, which are counted for their user and for their agent.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tailrace.verify.client import Request
from tailrace_services.data.service import ServiceData
from tailrace_services.hunt.observation import Observation
from tailrace_services.prove.subject import Simulator

__all__ = ["Cast", "Endpoint", "Quarry"]


@dataclass(frozen=True, slots=True)
class Cast:
    """Who there is, before anything is written.

    Args:
        agents: for each user's id the name of each of the user's agents.
        headers: what shows who a user is.
        last_call: the largest id of a call.
    """

    agents: Mapping[int, Mapping[int, str]]
    headers: Mapping[int, Mapping[str, str]]
    last_call: int


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Something that is asked.

    Args:
        target: its path and query; ``{user}`` and ``{agent}`` stand for whom it is about.
        observe: what an answer about an agent shows; KeyError or TypeError if it is no such answer.
        weight: how often it is asked beside the others.
    """

    target: str
    observe: Callable[[int, Any], Observation]
    weight: int

    def asked(self, user: int, agent: int) -> str:
        """The path to ask."""
        return self.target.format(user=user, agent=agent)


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarry:
    """A service whose answers are judged.

    Args:
        data: its tables and rows.
        ready: a path that answers below 500 once a server is up.
        load: finds, or makes, as many users as are wanted in the database at an address, before it is served.
        endpoints: what is asked, by name; ``agent`` is about one agent and shows its name.
        record, rename: a request that records a call of a user's agent at a moment, and one that changes a name.
        insert, update: statements that do the same.
        calls: selects ``agent_id`` and ``calls``, for the user $1 those whose id is above $2.
        names: selects ``id`` and ``name`` of the agents of the user $1.
        variables: what servers find in their environment beside the usual.
        simulator: what the service calls, if anything.
    """

    data: ServiceData
    ready: str
    load: Callable[[str, int], Awaitable[Cast]]
    endpoints: Mapping[str, Endpoint]
    record: Callable[[int, int, str], Request]
    rename: Callable[[int, str], Request]
    insert: Callable[[int, int, str], str]
    update: Callable[[int, str], str]
    calls: str
    names: str
    variables: Mapping[str, str] = field(default_factory=dict)
    simulator: Simulator | None = None
