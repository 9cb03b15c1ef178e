"""The reference services there are, and where each keeps what is its own. Touches nothing until it is asked for."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from tailrace.jobs import Jobs
    from tailrace_services.data.service import ServiceData
    from tailrace_services.hunt.quarry import Quarry
    from tailrace_services.prove.subject import Subject

__all__ = ["SERVICES", "Service"]


@dataclass(frozen=True, slots=True)
class Service:
    """A reference service, whose package has modules of the same names as every other's.

    Args:
        name: in addresses and commands, as in ``voice-dashboard``; its package is called so, too.
        title: for people.
        works: whether it has jobs, in its module ``jobs``.
        hunted: whether stale answers are looked for, with what its module ``proof.quarry`` has.
    """

    name: str
    title: str
    works: bool = False
    hunted: bool = False

    @property
    def package(self) -> str:
        """Holds ``app`` (optimised) and ``baseline_app``.

        >>> Service("voice-dashboard", "Voice Dashboard").package
        'tailrace_services.voice_dashboard'
        """
        return f"tailrace_services.{self.name.replace('-', '_')}"

    def data(self) -> ServiceData:
        """Its tables and rows."""
        return cast("ServiceData", self._own("data", "DATA"))

    def subject(self) -> Subject:
        """What is proved of it."""
        return cast("Subject", self._own("proof", "SUBJECT"))

    def quarry(self) -> Quarry:
        """What is hunted of it."""
        return cast("Quarry", self._own("proof.quarry", "QUARRY"))

    def jobs(self) -> Jobs | None:
        """What is done for it in the background; None if nothing is."""
        return cast("Jobs", self._own("jobs", "JOBS")) if self.works else None

    def examples(self) -> Callable[[str, int], list[str]]:
        """Makes commands to try: from its address and the seed of its generated rows."""
        return cast("Callable[[str, int], list[str]]", self._own("examples", "examples"))

    def _own(self, module: str, name: str) -> Any:
        return getattr(importlib.import_module(f"{self.package}.{module}"), name)


SERVICES = (
    Service("voice-dashboard", "Voice Dashboard", works=True, hunted=True),
    Service("call-coach", "Call Coach"),
    Service("research-hub", "Research Hub", works=True),
    Service("trading-desk", "Trading Desk", works=True, hunted=True),
)
