"""One request to a running service. Touches: the network."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from tailrace.errors import SettingsError
from tailrace.verify.client import Connections, Request

__all__ = ["ask"]

TIMEOUT = 10.0
"""Seconds for a whole answer."""


async def ask(
    url: str, *, method: str = "GET", headers: Mapping[str, str] | None = None, token: str | None = None
) -> tuple[int, Mapping[str, str], bytes]:
    """Status, first values of the header fields by lower-case name, and body.

    Args:
        token: of an operator; sent as a field of its own, beside whoever the headers say asks.

    Raises:
        SettingsError: not an http address.
        ExchangeFailedError: no whole answer.
    """
    parts = urlsplit(url)
    try:
        connections = Connections(f"{parts.scheme}://{parts.netloc}", timeout=TIMEOUT)
    except ValueError:
        raise SettingsError(f"not an http address: {url}") from None
    sent = {"User-Agent": "tailrace", "Tailrace-Operator": token or "1", **(headers or {})}
    place = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    try:
        response = await connections.send(Request("operator", place, method, sent))
    finally:
        connections.close()
    lines = response.head.decode("latin-1").split("\r\n")[1:]
    fields: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if colon:
            fields.setdefault(name.lower(), value.strip())
    return response.status, fields, response.body
