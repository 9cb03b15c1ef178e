"""The simulator, served by uvicorn in a thread, so that its loop and the test's do not share their turns."""

from __future__ import annotations

import json
import socket
import threading
import urllib.request
from typing import Any

import uvicorn

from tailrace_services.voice_dashboard.provider.simulator import Simulator

__all__ = ["RunningSimulator"]


class RunningSimulator:
    """A simulator that listens on a free port; the port stays the same when it is stopped and started again."""

    def __init__(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = probe.getsockname()[1]
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        config = uvicorn.Config(
            Simulator(api_key="key"),
            host="127.0.0.1",
            port=self.port,
            log_level="critical",
            access_log=False,
            lifespan="off",
            timeout_graceful_shutdown=0,
        )
        self._server = server = uvicorn.Server(config)
        self._thread = threading.Thread(target=server.run, daemon=True)
        self._thread.start()
        while not server.started:
            self._thread.join(0.005)
            assert self._thread.is_alive(), "the simulator did not start"

    def stop(self) -> None:
        if self._server is not None and self._thread is not None:
            self._server.should_exit = True
            self._thread.join()
        self._server = self._thread = None

    def control(self, method: str = "GET", **faults: Any) -> Any:
        """Show or change the faults."""
        data = json.dumps(faults).encode() if method == "PATCH" else None
        request = urllib.request.Request(f"{self.url}/_control", data=data, method=method)
        with urllib.request.urlopen(request) as response:
            return json.load(response)

    def set(self, **faults: Any) -> None:
        self.control("PATCH", **faults)

    @property
    def served(self) -> int:
        """Requests answered or left hanging since the last reset."""
        return sum(self.control()["served"].values())
