"""The proxy on a port, by uvicorn on uvloop. Touches: sockets, signals."""

from __future__ import annotations

import logging
import math
import socket
from collections.abc import Callable, Coroutine
from typing import Any

from tailrace.errors import TailraceError
from tailrace.extras import require
from tailrace.proxy.service import CacheProxy

__all__ = ["listen", "run", "server_of"]

BACKLOG = 2048

KEEP_ALIVE = 75
"""Seconds for which a client's idle connection is kept: longer than most clients keep theirs, so that none is closed
under a request that is on its way."""


def listen(host: str, port: int) -> socket.socket:
    """A socket on which clients can ask from now on.

    Nothing that is sent on its connections waits for more: a response is written as head and body, and a body that
    waited for the head's acknowledgement would be some 40 ms late. **Source:** RFC 9293 section 3.7.4 (Nagle).

    Raises:
        OSError: the address is taken, or not this machine's.
    """
    [(family, _, _, _, address), *_] = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    listening = socket.create_server((str(address[0]), port), family=family, backlog=BACKLOG)
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # connections take it from here
    return listening


def run(serve: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run what ``serve`` makes to its end on the event loop that serves quickest.

    Raises:
        MissingExtraError: uvloop is not installed.
    """
    require("uvloop", "proxy").run(serve())


def server_of(proxy: CacheProxy, *, drain: float) -> Any:
    """A ``uvicorn.Server``, whose ``serve(sockets=...)`` runs until Ctrl-C or SIGTERM.

    Args:
        drain: seconds that requests under way get at the end.

    Raises:
        MissingExtraError: uvicorn is not installed.
    """
    uvicorn = require("uvicorn", "proxy")
    configuration = uvicorn.Config(
        proxy,
        http="httptools",
        ws="none",
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE,
        lifespan="on",
        log_level="warning",
        access_log=False,
        server_header=False,
        date_header=False,  # the origin's is passed on, and what has none gets one as it comes
        proxy_headers=False,
        timeout_graceful_shutdown=math.ceil(drain) or 1,
    )
    logging.getLogger("uvicorn.error").addFilter(_is_unexpected)
    return uvicorn.Server(configuration)


def _is_unexpected(record: logging.LogRecord) -> bool:
    """Whether to log: a response that broke off is told by the proxy itself, without the stack."""
    return not (record.exc_info and isinstance(record.exc_info[1], TailraceError))
