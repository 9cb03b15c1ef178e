"""A running ``up`` for k6's users."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.services.running import Up, small_home, started
from tests.services.trading_desk.endpoints import documents

from tailrace_services.settings import database_url
from tailrace_services.up.occupancy import read_run

TEXTS = {
    "zip": "# zip\n\nzip does iterate over several iterables in parallel and makes tuples of their items.\n",
    "enumerate": "# enumerate\n\nenumerate does count the items of an iterable and gives pairs of number and item.\n",
    "sorted": "# sorted\n\nsorted does make a new list of the items of an iterable, in ascending order.\n",
    "map": "# map\n\nmap does apply a function to every item of an iterable.\n",
}
"""Of what the suite asks most often."""


@pytest.fixture(scope="package")
def up(server_folder: Path) -> Iterator[Up]:
    """One that serves very few rows."""
    with started(small_home(server_folder / "load"), "--port", "0") as serving:
        run = read_run(serving.home)
        assert run is not None
        url = database_url("trading-desk", environment={"TAILRACE_DATABASE_URL": run.database_url})
        asyncio.run(documents.load(url, TEXTS))
        yield serving
