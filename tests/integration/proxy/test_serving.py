"""The proxy's socket."""

from __future__ import annotations

import socket

from tailrace.proxy.serving import listen


def test_nothing_that_is_sent_waits_for_more() -> None:
    """A body that follows its head at once is sent at once, whatever the event loop asks of its sockets."""
    with listen("127.0.0.1", 0) as listening, socket.create_connection(listening.getsockname()):
        accepted, _ = listening.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0
