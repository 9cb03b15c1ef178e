"""Where data is kept when nobody says."""

from __future__ import annotations

from pathlib import Path

from tailrace.embedded import default_home


def test_named_home_comes_first() -> None:
    """``TAILRACE_HOME`` decides, for root too."""
    assert default_home({"TAILRACE_HOME": "/srv/tailrace", "XDG_DATA_HOME": "/x"}, uid=0) == Path("/srv/tailrace")


def test_named_home_is_made_absolute() -> None:
    """Servers run elsewhere in the file system: a relative folder would mean another one to them."""
    assert default_home({"TAILRACE_HOME": "here"}, uid=1000) == Path.cwd() / "here"


def test_root_keeps_nothing_in_its_own_folder() -> None:
    """The servers' unprivileged user cannot reach anything below root's home."""
    assert default_home({"HOME": "/root"}, uid=0) == Path("/var/lib/tailrace")


def test_a_user_keeps_it_in_the_data_folder() -> None:
    """The XDG base directory decides, and its default where it is not set."""
    assert default_home({"HOME": "/h", "XDG_DATA_HOME": "/data"}, uid=1000) == Path("/data/tailrace")
    assert default_home({"HOME": "/h"}, uid=1000) == Path("/h/.local/share/tailrace")


def test_relative_data_folder_is_ignored() -> None:
    """As the XDG base directory specification has it."""
    assert default_home({"HOME": "/h", "XDG_DATA_HOME": "data"}, uid=1000) == Path("/h/.local/share/tailrace")
