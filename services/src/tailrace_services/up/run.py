"""Everything that ``up`` starts, in order, and stops in the opposite one. Touches: processes, files, the terminal."""

from __future__ import annotations

import asyncio
import hashlib
import http.client
import os
import signal
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from tailrace.embedded import free_port, port_is_free, process
from tailrace.errors import EmbeddedServerError, TailraceError
from tailrace.observe import folder_for_workers
from tailrace.settings import load_settings
from tailrace_services.data.generation import GeneratedDataset
from tailrace_services.services import Service
from tailrace_services.settings import ServicesSettings, load_services_settings
from tailrace_services.up.announcement import Served, announcement
from tailrace_services.up.ground import Ground, ground
from tailrace_services.up.interruption import Interruption, interruptible
from tailrace_services.up.occupancy import Occupancy, Run
from tailrace_services.up.preparation import prepare_on
from tailrace_services.up.supervisor import PythonProcess, Supervisor, leftovers
from tailrace_services.up.terminal import Terminal

__all__ = ["NotServingError", "Options", "run"]

READY_TIMEOUT = 60.0
"""Seconds within which the workers must serve."""
PROVIDER_LATENCY_MS = 200
"""What the simulated provider takes to answer."""
METRICS_FOLDER = "TAILRACE_HTTP__METRICS_FOLDER"
"""Names where the workers share what they count."""
DRAIN = 12.0
"""Seconds a worker gets to finish the requests under way."""


@dataclass(frozen=True, slots=True)
class Options:
    """What was asked for; ``port`` 0 is any free one, ``scale`` None what is there."""

    scale: str | None
    port: int
    home: Path
    workers: int
    replace: bool


def run(options: Options) -> None:
    """Serve until interrupted; returns after everything has been stopped in order.

    Raises:
        TailraceError: something cannot be started; the message says why and what to do.
    """
    # Wrong settings are told before anything is touched.
    load_settings()
    settings = load_services_settings()
    if os.environ.get("TAILRACE_UP_WITH_PARENT"):
        process.end_with_parent(signal.SIGTERM)
    with interruptible() as interruption:
        try:
            _Up(options, settings, interruption).serve()
        except KeyboardInterrupt:
            return  # asked to stop, and stopped


class NotServingError(TailraceError):
    """The services do not come up."""

    code = "not_serving"


class _Up:
    """One run of ``up``."""

    def __init__(self, options: Options, settings: ServicesSettings, interruption: Interruption) -> None:
        self._began = time.monotonic()
        self._options = options
        self._settings = settings
        self._interruption = interruption
        self._terminal = Terminal()
        self._supervisor = Supervisor(self._terminal.say)
        self._mark = "tailrace-" + hashlib.sha256(os.fsencode(options.home)).hexdigest()[:16]
        self._processes: list[tuple[str, PythonProcess]] = []
        self._state = Run(pid=os.getpid())
        self._ground: Ground | None = None

    def serve(self) -> None:
        """Start, announce, watch; stop at the end, whatever ends it."""
        with ExitStack() as stack:
            occupancy = stack.enter_context(Occupancy(self._options.home, self._terminal.say))
            try:
                self._start(stack, occupancy)
                self._supervisor.watch()
            except BaseException as error:
                self._interruption.begin(self._pids)
                occupancy.tell(replace(self._state, state="stopping"))
                if isinstance(error, KeyboardInterrupt):
                    self._terminal.say("stopping")
                raise

    def _pids(self) -> list[int]:
        kept = [each for _, each in self._processes]
        servers = [self._ground.postgres, self._ground.valkey] if self._ground else []
        return [each.pid for each in (*kept, *servers) if each is not None and each.pid is not None]

    def _start(self, stack: ExitStack, occupancy: Occupancy) -> None:
        process.end(leftovers(self._mark), ((signal.SIGTERM, 1.0), (signal.SIGKILL, 5.0)))
        listener = stack.enter_context(_listen(self._options.port))
        port = int(listener.getsockname()[1])
        with self._terminal:
            self._terminal.say(_servers_meant(os.environ))
            self._ground = stack.enter_context(ground(self._options.home))
            self._keep_servers(self._ground)
            provider_url = self._start_provider(stack)
            environment = {
                **os.environ,
                **self._ground.environment,
                "TAILRACE_SERVICES_PROVIDER_URL": provider_url,
            }
            if METRICS_FOLDER not in environment:
                environment[METRICS_FOLDER] = str(stack.enter_context(folder_for_workers(self._mark)))
            let_serve = self._load_workers(stack, listener, environment)
            prepared = asyncio.run(
                prepare_on(
                    self._ground.database_url,
                    self._terminal,
                    scale=self._options.scale,
                    seed=self._settings.seed,
                    replace=self._options.replace,
                )
            )
        self._keep(stack, "the relays", PythonProcess("tailrace_services.up.relay", [], self._mark, environment))
        listener.listen(2048)
        let_serve()
        self._await_ready(port)
        # Nobody waits for these: they come when the workers need the processor no more.
        self._keep(
            stack, "the jobs", PythonProcess("tailrace_services.up.jobs", [], self._mark, environment, patience=DRAIN)
        )
        self._state = Run(
            os.getpid(), "serving", port, self._ground.database_url, self._ground.valkey_url, provider_url
        )
        occupancy.tell(self._state)
        print(self._announcement(prepared), flush=True)

    def _keep_servers(self, servers: Ground) -> None:
        if servers.postgres is not None:
            self._supervisor.keep("PostgreSQL", servers.postgres)
        if servers.valkey is not None:
            self._supervisor.keep("Valkey", servers.valkey)

    def _start_provider(self, stack: ExitStack) -> str:
        """The simulator, unless the environment names a provider."""
        if "provider_url" in self._settings.model_fields_set:
            return self._settings.provider_url
        port = free_port()
        arguments = ["--port", str(port), "--latency-ms", str(PROVIDER_LATENCY_MS)]
        arguments += ["--api-key", self._settings.provider_api_key.get_secret_value()]
        module = "tailrace_services.voice_dashboard.provider.simulator"
        self._keep(stack, "the provider's simulator", PythonProcess(module, arguments, self._mark, dict(os.environ)))
        return f"http://127.0.0.1:{port}"

    def _load_workers(
        self, stack: ExitStack, listener: socket.socket, environment: Mapping[str, str]
    ) -> Callable[[], None]:
        """Workers that load what they need while the data is prepared, and serve once the returned function is called.

        They wait for the end of a pipe, at which one that is started again later finds itself at once.
        """
        gate, held = os.pipe()
        stack.callback(os.close, gate)
        writer = stack.enter_context(os.fdopen(held, "wb"))
        for number in range(1, self._options.workers + 1):
            worker = PythonProcess(
                "tailrace_services.up.serve",
                ["--fd", str(listener.fileno()), "--gate", str(gate)],
                self._mark,
                environment,
                patience=DRAIN,
                keep_open=[listener.fileno(), gate],
            )
            self._keep(stack, f"worker {number}", worker)
        return writer.close

    def _keep(self, stack: ExitStack, name: str, kept: PythonProcess) -> None:
        stack.callback(kept.stop)
        self._processes.append((name, kept))
        kept.start()
        self._supervisor.keep(name, kept)

    def _await_ready(self, port: int) -> None:
        """Until ``/readyz`` says so.

        Raises:
            NotServingError: something does not stay up, or is not ready in time.
        """
        deadline = time.monotonic() + READY_TIMEOUT
        answer = "no answer"
        while time.monotonic() < deadline:
            for name, kept in self._processes:
                if not kept.running:
                    raise NotServingError(f"{name} does not start: see above for why")
            try:
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
                connection.request("GET", "/readyz")
                response = connection.getresponse()
                answer = f"{response.status} {response.read(500).decode(errors='replace')}"
                connection.close()
                if response.status == 200:
                    return
            except (OSError, http.client.HTTPException) as error:
                answer = str(error) or type(error).__name__
            time.sleep(0.05)
        raise NotServingError(f"the services were not ready within {READY_TIMEOUT:.0f} s: {answer}")

    def _announcement(self, prepared: list[tuple[Service, GeneratedDataset | None]]) -> str:
        address, served = self._state.address, []
        for service, dataset in prepared:
            # Who is in imported rows, and by which key, is not known here.
            commands = service.examples()(f"{address}/{service.name}", dataset.seed) if dataset else []
            served.append(Served(service.title, f"/{service.name}", str(dataset or "imported rows"), commands))
        seconds = time.monotonic() - self._began
        return announcement(address, served, provider_url=self._state.provider_url, seconds=seconds)


def _servers_meant(environment: Mapping[str, str]) -> str:
    """Which servers are started, and which are there already.

    >>> _servers_meant({"TAILRACE_VALKEY_URL": "redis://cache"})
    'starting PostgreSQL, using the Valkey of TAILRACE_VALKEY_URL'
    """
    named = {"PostgreSQL": "TAILRACE_DATABASE_URL", "Valkey": "TAILRACE_VALKEY_URL"}
    started = [server for server, variable in named.items() if not environment.get(variable)]
    used = [f"the {server} of {variable}" for server, variable in named.items() if environment.get(variable)]
    parts = [f"starting {' and '.join(started)}"] if started else []
    return ", ".join([*parts, f"using {' and '.join(used)}"] if used else parts)


def _listen(port: int) -> socket.socket:
    """A socket bound to ``port``; nobody is accepted before it listens.

    Raises:
        EmbeddedServerError: the port is taken, or not for this user.
    """
    choice = 'another, as in: make up ARGS="--port 8001"'
    if port and not port_is_free(port):
        if port < 1024 and os.geteuid() != 0:
            raise EmbeddedServerError(f"port {port} is for root alone: choose {choice}")
        raise EmbeddedServerError(f"port {port} on 127.0.0.1 is taken: stop what listens there, or choose {choice}")
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port or free_port()))
    except OSError as error:
        listener.close()
        raise EmbeddedServerError(f"port {port} on 127.0.0.1: {error.strerror}: choose {choice}") from error
    return listener
