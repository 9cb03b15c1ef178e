"""Where Tailrace keeps its own data on a machine. Touches: the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

__all__ = ["default_home"]

ROOT_HOME = Path("/var/lib/tailrace")
"""Root's: its own folder is closed to the unprivileged user that the servers run as."""


def default_home(environment: Mapping[str, str] | None = None, *, uid: int | None = None) -> Path:
    """``TAILRACE_HOME``, else ``/var/lib/tailrace`` for root, else ``tailrace`` in the user's data folder.

    Args:
        environment: the process's by default.
        uid: the process's effective one by default.
    """
    environment = os.environ if environment is None else environment
    if chosen := environment.get("TAILRACE_HOME"):
        return Path(chosen).expanduser().absolute()
    if (os.geteuid() if uid is None else uid) == 0:
        return ROOT_HOME
    data = environment.get("XDG_DATA_HOME", "")
    # The XDG base directory specification has relative values ignored.
    base = Path(data) if data.startswith("/") else Path(environment.get("HOME") or Path.home()) / ".local" / "share"
    return base / "tailrace"
