"""Loopback ports for servers."""

from __future__ import annotations

import socket
from pathlib import Path

from tailrace.embedded import free_port, port_is_free


def test_a_port_somebody_listens_on_is_not_free() -> None:
    """A taken port is found out before a server fails on it."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert not port_is_free(taken.getsockname()[1])


def test_ports_are_not_those_of_outgoing_connections() -> None:
    """A port from the kernel's own range may go to a client while its server restarts."""
    lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    ports = {free_port() for _ in range(20)}
    assert len(ports) > 1
    assert all(1024 <= port < lowest and port_is_free(port) for port in ports)
