"""Which of several processes runs which tests. Loaded only when there are several."""

from __future__ import annotations

from xdist.scheduler import LoadScopeScheduling

__all__ = ["FolderScheduling"]


class FolderScheduling(LoadScopeScheduling):
    """Each folder's tests are run by one process, so that what they share is made once."""

    def _split_scope(self, nodeid: str) -> str:
        return nodeid.partition("::")[0].rpartition("/")[0]
