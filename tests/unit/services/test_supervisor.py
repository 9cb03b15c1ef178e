"""Processes kept alive, and homes that have one supervisor."""

from __future__ import annotations

from pathlib import Path

import pytest

from tailrace.errors import EmbeddedServerError
from tailrace_services.up.occupancy import AlreadyRunningError, Occupancy, Run, read_run
from tailrace_services.up.supervisor import RESTARTS, Supervisor


class Part:
    """Something that is kept alive, in vain if ``mortal``."""

    def __init__(self, *, mortal: bool) -> None:
        self.running = True
        self.starts = 0
        self._mortal = mortal

    def start(self) -> None:
        self.starts += 1
        self.running = not self._mortal


def test_what_ended_is_started_again_and_said() -> None:
    """Once, and by name."""
    said: list[str] = []
    part = Part(mortal=False)
    supervisor = Supervisor(said.append)
    supervisor.keep("the cache", part)
    supervisor.look()
    part.running = False
    supervisor.look()
    supervisor.look()
    assert (part.starts, said) == (1, ["the cache ended unexpectedly; starting it again"])


def test_what_does_not_stay_up_is_given_up() -> None:
    """A broken installation is an error, not an endless loop."""
    part = Part(mortal=True)
    part.running = False
    supervisor = Supervisor(lambda line: None)
    supervisor.keep("worker 1", part)
    for _ in range(RESTARTS):
        supervisor.look()
    with pytest.raises(EmbeddedServerError, match="worker 1 ended 5 times"):
        supervisor.look()
    assert part.starts == RESTARTS


def test_a_home_has_one_up(tmp_path: Path) -> None:
    """The second is told about the first; when that has gone, the home is free."""
    with Occupancy(tmp_path / "home") as first:
        first.tell(Run(4711, "serving", 8000))
        with pytest.raises(AlreadyRunningError, match=r"process 4711 and serves http://127\.0\.0\.1:8000"):
            Occupancy(tmp_path / "home").__enter__()
        assert read_run(tmp_path / "home") == Run(4711, "serving", 8000)
    assert read_run(tmp_path / "home") is None
    with Occupancy(tmp_path / "home"):
        pass


def test_what_a_dead_one_wrote_counts_for_nothing(tmp_path: Path) -> None:
    """A file outlives its writer; the kernel's lock does not."""
    with Occupancy(tmp_path) as up:
        up.tell(Run(4711, "serving", 8000))
        text = (tmp_path / "run.json").read_text()
    (tmp_path / "run.json").write_text(text)
    assert read_run(tmp_path) is None


def test_what_it_tells_is_for_its_owner_alone(tmp_path: Path) -> None:
    """The addresses contain passwords."""
    with Occupancy(tmp_path) as up:
        up.tell(Run(1, database_url="postgresql://u:secret@h/d"))
        assert (tmp_path / "run.json").stat().st_mode & 0o777 == 0o600
