"""The reference services as the compose file starts them: its commands, its environment and its health checks.

What containers give, names for addresses and a folder that is shared, is put in its place; nothing else is changed.
Before them stand PgBouncer and Valkey of the deployed files. PostgreSQL is the embedded one, started with the settings
that the file gives it.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import httpx
import pytest
from tests.integration.deploy.conftest import DeployedValkey, deployed_pgbouncer
from tests.integration.deploy.test_compose import OURS, SERVICES
from tests.services.running import PATIENCE, small_home
from tests.waiting import wait_until

from tailrace.embedded import free_port, process
from tailrace_services.settings import database_name
from tailrace_services.up.ground import ground

TOKEN = "the-admins"
PROGRAMS = Path(sys.executable).parent


@dataclass(frozen=True)
class Composed:
    """The file's services with a test's addresses: words of the file, and what stands for them here."""

    words: Mapping[str, str]
    folder: Path

    def here(self, said: str) -> str:
        """As Compose reads it, and then with this machine's addresses."""
        # In one pass: what was put in, such as a password, may look like a word of the file.
        said = re.sub("|".join(map(re.escape, self.words)), lambda found: self.words[found.group()], said)
        left = re.findall(r"\$\{|/run/tailrace|@(?:postgres|pgbouncer|valkey):", said)
        assert not left, said
        return said

    def environment(self, name: str) -> dict[str, str]:
        """What the service finds in it, and nothing of this process's."""
        given = {key: self.here(value) for key, value in OURS[name]["environment"].items()}
        home = {
            "TAILRACE_SERVICES_DEFAULT_DOCUMENTS": "false",
            "TAILRACE_SERVICES_EMBED_POSTS": "false",
        }  # a minute each
        return {"PATH": f"{PROGRAMS}:{os.environ['PATH']}", "PYTHONUNBUFFERED": "1", **home, **given}

    def start(self, name: str) -> subprocess.Popen[bytes]:
        """The service's command."""
        command = [self.here(word) for word in OURS[name]["command"]]
        with self.log(name).open("wb") as output:
            return subprocess.Popen(
                [PROGRAMS / command[0], *command[1:]],
                env=self.environment(name),
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
            )

    def log(self, name: str) -> Path:
        """What it says."""
        return self.folder / f"{name}.log"

    def healthy(self, name: str) -> bool:
        """Whether its health check says so."""
        kind, program, *arguments = OURS[name]["healthcheck"]["test"]
        assert kind == "CMD"
        command = [PROGRAMS / program, *map(self.here, arguments)]
        return not subprocess.run(
            command, env=self.environment(name), stderr=subprocess.DEVNULL, check=False
        ).returncode


def postgres_settings() -> dict[str, str]:
    """What the file's command gives PostgreSQL."""
    program, *arguments = SERVICES["postgres"]["command"]
    assert program == "postgres"
    assert set(arguments[::2]) == {"-c"}
    return dict(each.split("=", 1) for each in arguments[1::2])


@pytest.fixture(scope="module")
def composed(server_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Composed]:
    """Servers, and databases with very few rows, of which ``prepare`` has not heard."""
    home, folder = small_home(server_folder / "composed"), tmp_path_factory.mktemp("composed")
    with ExitStack() as stack:
        servers = stack.enter_context(ground(home, environment={}, postgres_settings=postgres_settings()))
        direct = urlsplit(servers.database_url)
        pooled = urlsplit(stack.enter_context(deployed_pgbouncer(servers.database_url, server_folder)))
        valkey = urlsplit(
            stack.enter_context(DeployedValkey(server_folder / "composed-valkey", settings={"appendonly": "yes"})).url
        )
        port, provider = free_port(), free_port()
        assert direct.username == "tailrace"
        yield Composed(
            {
                "${POSTGRES_PASSWORD}": direct.password or "",
                "${VALKEY_PASSWORD:?set it in deploy/.env}": valkey.password or "",
                "${ADMIN_TOKEN:?set it in deploy/.env}": TOKEN,
                "@pgbouncer:6432": f"@127.0.0.1:{pooled.port}",
                "@postgres:5432": f"@127.0.0.1:{direct.port}",
                "@valkey:6379": f"@127.0.0.1:{valkey.port}",
                "provider:8010": f"127.0.0.1:{provider}",
                "/run/tailrace": str(folder),
                "8000": str(port),
                "8010": str(provider),
            },
            folder,
        )


@contextmanager
def started(composed: Composed, name: str) -> Iterator[subprocess.Popen[bytes]]:
    """It runs until the end of the block, and then ends by itself when it is told to, in the time that it has."""
    running = composed.start(name)
    try:
        yield running
        assert running.poll() is None, composed.log(name).read_text()
        running.send_signal(signal.SIGTERM)
        assert running.wait(PATIENCE) in (0, -signal.SIGTERM), composed.log(name).read_text()
    finally:
        if running.poll() is None:
            running.kill()
            running.wait()


def answered(composed: Composed, path: str, token: str | None = None) -> httpx.Response:
    """What the servers answer: to anybody, or to who has the token, for whom alone an answer may be."""
    headers = {} if token is None else {"authorization": f"Bearer {token}"}
    answer = httpx.get(f"http://127.0.0.1:{composed.words['8000']}{path}", headers=headers, timeout=30)
    assert answer.status_code == 200, answer.text
    return answer


def metric(composed: Composed, service: str, name: str) -> list[str]:
    """The samples of a metric, as text."""
    lines = answered(composed, f"/{service}/metrics", TOKEN).text.splitlines()
    return [line for line in lines if line.startswith(name)]


@pytest.mark.skipif(sys.platform != "linux", reason="the servers' wheels are Linux's")
async def test_it_runs_as_it_is_written(composed: Composed) -> None:
    """What is prepared is served, by way of the pooler, once it says that it is healthy; a write past the API ends
    kept answers, which is the relay's work; what the jobs' process counts is shown by the servers; all of it ends."""
    prepared = composed.start("prepare")
    assert prepared.wait(PATIENCE) == 0, composed.log("prepare").read_text()
    with ExitStack() as stack:
        stack.enter_context(started(composed, "provider"))
        server = stack.enter_context(started(composed, "services"))
        assert not composed.healthy("services")
        ended = lambda: server.poll() is not None  # noqa: E731
        assert process.wait_until(lambda: ended() or composed.healthy("services"), PATIENCE)
        assert not ended(), composed.log("services").read_text()
        for name in ("relay", "jobs"):
            stack.enter_context(started(composed, name))
        for service in ("voice-dashboard", "call-coach", "research-hub", "trading-desk"):
            answered(composed, f"/{service}/readyz")
        await wait_until(lambda: _there(composed, "trading-desk", "tailrace_job_waiting"), timeout=PATIENCE)
        await _written_past_the_api(composed)


async def _there(composed: Composed, service: str, name: str) -> bool:
    return bool(await asyncio.to_thread(metric, composed, service, name))


async def _written_past_the_api(composed: Composed) -> None:
    """A card's new title, by SQL, is what the next readers see."""
    path = "/research-hub/api/cards?limit=1"

    async def kept() -> bool:
        return "; hit" in (await asyncio.to_thread(answered, composed, path)).headers["cache-status"]

    await wait_until(kept, timeout=PATIENCE)
    before = answered(composed, path).json()
    url = composed.environment("services")["TAILRACE_DATABASE__DIRECT_URL"]
    connection = await asyncpg.connect(url.rpartition("/")[0] + "/" + database_name("tailrace", "research_hub"))
    await connection.execute("UPDATE cards SET title = 'told by SQL' WHERE id = $1", _first(before)["id"])
    await connection.close()

    async def seen() -> bool:
        return bool(_first((await asyncio.to_thread(answered, composed, path)).json())["title"] == "told by SQL")

    await wait_until(seen, timeout=PATIENCE)


def _first(page: Any) -> Any:
    (item,) = page["items"]
    return item
