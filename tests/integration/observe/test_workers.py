"""Four workers behind one port: whoever is asked shows what all of them counted."""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
from tests.integration.fastapi.serving import talk
from tests.waiting import wait_until

from tailrace.embedded import process
from tailrace.observe import Metrics, share_figures
from tailrace.observe.sharing import SharedFigures
from tailrace.observe.siblings import PREFIX

ROOT = Path(__file__).parents[3]
WORKERS = 4
KEPT = 'http_server_request_duration_seconds_count{http_request_method="GET",http_route="/kept"'
LINE = re.compile(r"^([a-z_]+(?:\{.*\})?) (\S+)$", re.MULTILINE)


@pytest.fixture
async def port() -> AsyncIterator[int]:
    """Where uvicorn serves by four workers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        command = [sys.executable, "-m", "uvicorn", "tests.integration.observe._service:app"]
        command += ["--fd", str(listener.fileno()), "--workers", str(WORKERS), "--log-level", "warning"]
        serving = process.spawn(
            command, environment={**os.environ, "PYTHONPATH": str(ROOT)}, keep_open=[listener.fileno()]
        )
        try:
            yield listener.getsockname()[1]
        finally:
            process.end([serving.pid], ((signal.SIGTERM, 30.0), (signal.SIGKILL, 5.0)))
            serving.wait()
            for folder in Path("/dev/shm").glob(f"{PREFIX}-{os.geteuid()}-{serving.pid}-*"):
                shutil.rmtree(folder)


async def get(port: int, path: str) -> str:
    """The body, over a connection of its own, which any worker may take."""
    answer = await talk(port, f"GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".encode())
    return answer.partition(b"\r\n\r\n")[2].decode()


async def scrape(port: int) -> dict[str, float]:
    return {series: float(value) for series, value in LINE.findall(await get(port, "/metrics"))}


def kept(samples: dict[str, float]) -> float:
    return sum(value for series, value in samples.items() if series.startswith(KEPT))


def workers(samples: dict[str, float]) -> set[int]:
    found = [re.fullmatch(r'process_start_time_seconds\{worker="(\d+)"\}', series) for series in samples]
    return {int(match[1]) for match in found if match}


async def test_sums_over_all_workers_and_nothing_goes_down(port: int) -> None:
    """Every scrape has the requests to all workers, whichever answers it; none of what a killed one counted is lost,
    and no counter of any scrape is less than it was in the one before."""

    async def all_serve() -> bool:
        with contextlib.suppress(OSError):
            return len(workers(await scrape(port))) == WORKERS
        return False

    async def counted(expected: int) -> bool:
        return kept(await scrape(port)) == expected

    await wait_until(all_serve, 60)
    await asyncio.gather(*[get(port, "/kept") for _ in range(100)])
    # A request is counted when its last byte has gone, so its client may be quicker.
    await wait_until(lambda: counted(100))
    for _ in range(3 * WORKERS):
        assert kept(await scrape(port)) == 100
    before = await scrape(port)
    victim = max(workers(before))
    os.kill(victim, signal.SIGKILL)

    async def replaced() -> bool:
        nonlocal before
        after = await scrape(port)
        for series, value in before.items():
            if re.match(r"[a-z_]+_(total|count|sum|bucket)\b", series):
                assert after[series] >= value, series
        before = after
        return victim not in workers(after) and len(workers(after)) == WORKERS

    await wait_until(replaced, 60)
    assert kept(before) == 100
    await asyncio.gather(*[get(port, "/kept") for _ in range(50)])
    await wait_until(lambda: counted(150))


def _count(folder: str | None, amount: int, told: Connection) -> None:
    """Count, say so, and wait to be killed."""
    metrics = Metrics()
    shared = share_figures(["a"], folder=None if folder is None else Path(folder))
    assert shared is not None
    metrics.share(shared)
    metrics["tailrace.upstream.bulkhead.refusals"].add(("d",), amount)
    metrics["tailrace.stream.open"].add((), amount)
    told.send("counted")
    signal.pause()


@contextlib.contextmanager
def counting(folder: Path | None, amount: int) -> Iterator[multiprocessing.process.BaseProcess]:
    """Another process that counts; killed at the end."""
    context = multiprocessing.get_context("spawn")
    ours, its = context.Pipe()
    child = context.Process(target=_count, args=(None if folder is None else str(folder), amount, its))
    child.start()
    try:
        assert ours.poll(60)
        ours.recv()
        yield child
    finally:
        child.kill()
        child.join()


def seen(shared: SharedFigures) -> tuple[float, float]:
    """A counter and a gauge, over all other processes."""
    parts = shared.others()
    counters = [part.figures.get("tailrace.upstream.bulkhead.refusals", {}).get(("d",), (0.0,))[0] for part in parts]
    gauges = [part.figures.get("tailrace.stream.open", {}).get((), (0.0,))[0] for part in parts if part.alive]
    return sum(counters), sum(gauges)


def test_the_dead_are_counted_once_for_ever(tmp_path: Path) -> None:
    """Of who was killed the counters stay and the gauges go; the files of any number of them become one."""
    shared = share_figures(["a"], folder=tmp_path)
    assert shared is not None
    with counting(tmp_path, 5):
        for amount in (1, 2, 3):
            with counting(tmp_path, amount):
                pass
            assert [seen(shared) for _ in range(3)] == [(5 + sum(range(amount + 1)), 5)] * 3
        assert len(list(tmp_path.glob("*.figures"))) == 2
    assert seen(shared) == (11, 0)


def test_workers_of_one_supervisor_find_each_other() -> None:
    """Processes that one parent made by multiprocessing share a folder that is named after it, without any setting."""
    with counting(None, 1), counting(None, 2):
        (folder,) = Path("/dev/shm").glob(f"{PREFIX}-{os.geteuid()}-{os.getpid()}-*")
        shared = share_figures(["a"], folder=folder)
        assert shared is not None
        assert seen(shared) == (3, 3)
    shutil.rmtree(folder)


FORKING = """
import os
from tailrace.observe.siblings import _supervisor
if os.fork() == 0:
    print(_supervisor() == os.getppid(), flush=True)
else:
    os.wait()
    print(_supervisor(), flush=True)
"""


def test_forked_workers_know_their_supervisor() -> None:
    """Gunicorn's workers are forks of it; a process that a shell or another program started is no worker."""
    done = subprocess.run([sys.executable, "-c", FORKING], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.split() == ["True", "None"]
