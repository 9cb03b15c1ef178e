"""A server's folder and its one supervisor."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from tailrace.embedded.folder import ServerFolder
from tailrace.errors import EmbeddedServerError


def test_one_supervisor_at_a_time(tmp_path: Path) -> None:
    """Two supervisors of one folder would be two servers on the same data, even within a process."""
    one, two = ServerFolder(tmp_path / "server", None), ServerFolder(tmp_path / "server", None)
    one.open()
    with pytest.raises(EmbeddedServerError, match="in use by process"):
        two.open()
    one.close()
    two.open()
    two.close()


def test_a_child_that_is_just_being_made_does_not_keep_the_folder(tmp_path: Path) -> None:
    """A forked child holds the lock until it runs its own program: the next start of the same process waits for it."""
    folder = ServerFolder(tmp_path / "server", None)
    folder.open()
    assert folder._lock is not None
    of_the_child = os.dup(folder._lock)
    folder.close()
    child = threading.Timer(0.1, os.close, [of_the_child])
    child.start()
    folder.open()
    folder.close()
    child.join()
