"""How the services' processes serve and log, whoever starts them. Pure data."""

from __future__ import annotations

from typing import Any

__all__ = ["DRAIN", "LOGGING", "SERVING"]

DRAIN = 8
"""Seconds that requests under way get when a server is stopped."""

LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"request": {"()": "tailrace.logs.RequestIdFilter"}},
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s %(request_id)s %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "filters": ["request"], "formatter": "line"}},
    "root": {"level": "WARNING", "handlers": ["stderr"]},
}
"""A line with the id of the request, or of that which a job is done for; for ``logging.config.dictConfig``."""

SERVING: dict[str, Any] = {
    "loop": "uvloop",
    "http": "httptools",
    "lifespan": "on",
    "log_config": LOGGING,
    "log_level": "warning",
    "access_log": False,
    "server_header": False,
    "proxy_headers": False,  # whose word on a client's address counts is Tailrace's to say
    "backlog": 2048,
    "timeout_keep_alive": 75,  # longer than a proxy in front keeps its own, or one is lost now and then
    "timeout_graceful_shutdown": DRAIN,
}
"""Uvicorn's options."""
