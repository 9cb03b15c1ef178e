"""PostgreSQL 18 and Valkey 9 from wheels: real servers, nothing to install.

Touches: processes, files and loopback sockets. The servers listen on 127.0.0.1 only, ask for a password kept readable
by its owner alone, run as an unprivileged user when started by root, and end with the process that started them.
"""

from __future__ import annotations

from tailrace.embedded.folder import unusable
from tailrace.embedded.home import default_home
from tailrace.embedded.ports import free_port, port_is_free
from tailrace.embedded.postgres import PostgresServer
from tailrace.embedded.valkey import ValkeyServer

__all__ = ["PostgresServer", "ValkeyServer", "default_home", "free_port", "port_is_free", "unusable"]
