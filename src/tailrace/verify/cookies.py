"""One client's cookies, as a browser would send them back. Pure.

Only what a test against one service needs: the newest value of each name, dropped when the server expires it. Paths and
domains are not told apart, because all requests of a client go to one service (however many processes answer for it).

**Source:** RFC 6265 sections 5.2 and 5.4.
"""

from __future__ import annotations

from collections.abc import Mapping

from tailrace.verify.http1 import Response

__all__ = ["Cookies"]


class Cookies:
    """What a server set. ``headers`` gives what to send back."""

    __slots__ = ("_values",)

    def __init__(self) -> None:
        self._values: dict[str, str] = {}

    def take(self, response: Response) -> None:
        """Remember what ``response`` sets and forget what it expires."""
        for line in response.headers("set-cookie"):
            pair, _, attributes = line.partition(";")
            name, _, value = pair.strip().partition("=")
            if any(part.strip().lower() == "max-age=0" for part in attributes.split(";")):
                self._values.pop(name, None)
            elif name:
                self._values[name] = value

    def headers(self) -> Mapping[str, str]:
        """The header to send; empty when there is no cookie."""
        if not self._values:
            return {}
        return {"Cookie": "; ".join(f"{name}={value}" for name, value in self._values.items())}
