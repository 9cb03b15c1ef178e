"""Free loopback ports. Touches: sockets.

Ports are taken from below the range that the kernel gives to outgoing connections: one from inside it could be handed
to a client while its server restarts, and a client that retries a dead one can even connect to itself.
"""

from __future__ import annotations

import random
import socket
from pathlib import Path

from tailrace.errors import EmbeddedServerError

__all__ = ["free_port", "port_is_free"]

EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")
LOWEST, HIGHEST = 15_000, 32_000
ATTEMPTS = 200


def port_is_free(port: int, host: str = "127.0.0.1") -> bool:
    """True if a server could listen on ``port`` now. Cost: one bind."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError:
            return False
        return True


def free_port() -> int:
    """A loopback port that nobody listens on now.

    Raises:
        EmbeddedServerError: none was found.
    """
    highest = HIGHEST
    try:
        highest = min(highest, int(EPHEMERAL.read_text().split()[0]) - 1)
    except (OSError, ValueError, IndexError):
        pass
    lowest = min(LOWEST, max(1024, highest - 1000))
    for _ in range(ATTEMPTS):
        port = random.randint(lowest, max(lowest, highest))  # noqa: S311 - spread, not secrecy
        if port_is_free(port):
            return port
    raise EmbeddedServerError(f"no free port between {lowest} and {highest} on 127.0.0.1: stop something that listens")
