"""Programs and data where the servers' unprivileged user can reach them."""

from __future__ import annotations

from pathlib import Path

from tailrace.embedded.binaries import closed_folder
from tailrace.embedded.process import Identity

STRANGER = Identity("stranger", 54321, 54321)


def test_a_folder_closed_to_the_server_is_found(tmp_path: Path) -> None:
    """Below a private folder, as a home is, no data of the server's may lie."""
    private = tmp_path / "private"
    (private / "open").mkdir(parents=True)
    tmp_path.chmod(0o711)
    private.chmod(0o700)
    found = closed_folder(private / "open" / "data", STRANGER)
    assert found is not None
    assert found == private or found in private.parents


def test_what_everybody_may_pass_through_is_open(tmp_path: Path) -> None:
    """Passing through needs no right to list."""
    open_to_all = Path("/usr/bin/env")
    assert closed_folder(open_to_all, STRANGER) is None


def test_its_own_folder_is_open_to_the_owner(tmp_path: Path) -> None:
    """The owner's rights count, not everybody's."""
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    status = private.stat()
    assert closed_folder(private / "data", Identity("owner", status.st_uid, status.st_gid)) != private
