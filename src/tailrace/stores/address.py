"""Where a Valkey or Redis server is, read from a URL. Pure.

    redis://[[user]:password@]host[:port][/database]      valkey:// is the same
    rediss://...                                          the same over TLS; valkeys:// too
    unix://[[user]:password@]/path/to/socket[?db=number]

The password never shows in ``repr``, ``str`` or an error.

**Source:** the ``redis`` and ``rediss`` URI schemes registered with IANA.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import parse_qs, unquote, urlsplit

from tailrace.errors import SettingsError

__all__ = ["Address", "parse_address"]

PLAIN = frozenset({"redis", "valkey"})
ENCRYPTED = frozenset({"rediss", "valkeys"})
DEFAULT_PORT = 6379


@dataclass(frozen=True, slots=True)
class Address:
    """A server and how to introduce oneself. ``path`` is a Unix socket and excludes ``host``."""

    host: str = "localhost"
    port: int = DEFAULT_PORT
    database: int = 0
    username: str = "default"
    password: str | None = field(default=None, repr=False)
    tls: bool = False
    path: str | None = None

    def __str__(self) -> str:
        place = self.path or (f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}")
        return f"{place}/{self.database}" if self.path is None else place


def parse_address(url: str) -> Address:
    """Read ``url``.

    Raises:
        SettingsError: the scheme is unknown, or the port or database is not a number; the URL is not repeated.
    """
    try:
        parts = urlsplit(url)
        port = parts.port or DEFAULT_PORT
        # From here on nothing may come from `error`: it could quote the password.
    except ValueError:
        raise SettingsError("the store's URL cannot be read: is the port a number?") from None
    if parts.scheme not in PLAIN | ENCRYPTED | {"unix"}:
        raise SettingsError("the store's URL must begin with redis://, rediss://, valkey://, valkeys:// or unix://")
    query = parse_qs(parts.query, keep_blank_values=True)
    if unknown := sorted(set(query) - {"db"}):
        raise SettingsError(f"the store's URL has options that are not known: {', '.join(unknown)}")
    unix = parts.scheme == "unix"
    if unix and not parts.path.strip("/"):
        raise SettingsError("the store's URL names no socket: unix:///path/to/socket")
    number = query["db"][-1] if "db" in query else "" if unix else parts.path.strip("/")
    if number and not (number.isascii() and number.isdigit()):
        raise SettingsError("the store's URL must name the database by its number, as in redis://host:6379/0")
    return Address(
        host=parts.hostname or "localhost",
        port=port,
        database=int(number or 0),
        username=unquote(parts.username) if parts.username else "default",
        password=unquote(parts.password) if parts.password else None,
        tls=parts.scheme in ENCRYPTED,
        path=unquote(parts.path) if unix else None,
    )
