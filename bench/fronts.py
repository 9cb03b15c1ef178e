"""Servers before an application: caches (nginx, Varnish, ``tailrace cache proxy``), and an nginx that only passes on.

Each is the real program with one worker where it has workers, its defaults otherwise but for what would be measured of
the disk: it logs no request, as nobody here does. nginx and Varnish are Debian's (``apt-get install nginx varnish``).
Touches: processes, files in the folder it is given.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench.asking import HOST
from bench.contender import NotWorkingError
from tailrace.embedded import free_port

__all__ = ["FRONTS", "PASSING", "Front", "standing"]

PROGRAMS = "/usr/sbin:/usr/bin"
"""Where Debian puts servers: not every user's PATH has both."""
STOP = 10.0
"""Seconds for a server to end by itself."""

NGINX = """
daemon off;
worker_processes 1;
pid {folder}/pid;
error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
{more}
}}
"""
CACHING = """
  sendfile on;
  tcp_nopush on;
  keepalive_requests 1000000000;
  proxy_cache_path {folder}/cache keys_zone=bench:10m;
  upstream origin {{ server {host}:{origin}; keepalive 8; }}
  server {{
    listen {host}:{port};
    location / {{
      proxy_pass http://origin;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_cache bench;
    }}
  }}
"""
PASSING_ON = """
  server {{
    listen {host}:{port};
    location / {{ proxy_pass http://{host}:{origin}; }}
  }}
"""


@dataclass(frozen=True, slots=True)
class Front:
    """A program that can stand before an application.

    Attributes:
        program: its file's name; empty for what comes with this project.
        command: with what it is started, given its file, a folder of its own, its port and the application's.
    """

    program: str
    command: Callable[[str, Path, int, int], Sequence[str]]

    @property
    def file(self) -> str | None:
        """Where the program is; None if it is not installed."""
        if not self.program:
            return sys.executable
        return shutil.which(self.program) or shutil.which(self.program, path=PROGRAMS)


def _nginx(more: str, file: str, folder: Path, port: int, origin: int) -> Sequence[str]:
    configuration = folder / "nginx.conf"
    servers = more.format(folder=folder, host=HOST, port=port, origin=origin)
    configuration.write_text(NGINX.format(folder=folder, more=servers), encoding="ascii")
    return file, "-p", str(folder), "-c", str(configuration)


def _varnish(file: str, folder: Path, port: int, origin: int) -> Sequence[str]:
    # Without the jail, which wants users of its own: what it costs is paid once, at the start.
    addresses = ("-a", f"{HOST}:{port}", "-b", f"{HOST}:{origin}", "-T", "none")
    return file, "-F", "-j", "none", "-n", str(folder), *addresses, "-s", "malloc,64m"


def _proxy(file: str, folder: Path, port: int, origin: int) -> Sequence[str]:
    command = (file, "-m", "tailrace.cli", "cache", "proxy")
    return *command, "--origin", f"http://{HOST}:{origin}", "--port", str(port)


FRONTS = {
    "nginx": Front("nginx", partial(_nginx, CACHING)),
    "Varnish": Front("varnishd", _varnish),
    "Tailrace, cache proxy": Front("", _proxy),
}
"""Caches."""
PASSING = Front("nginx", partial(_nginx, PASSING_ON))
"""With its defaults: it buffers unless it is told not to, and speaks HTTP/1.0 to the application."""


@contextmanager
def standing(front: Front, origin: int, folder: Path) -> Iterator[tuple[int, int]]:
    """A program before the server at a port of this machine: its own port, and its first process.

    It may not listen yet.

    Raises:
        NotWorkingError: it is not installed, or has ended before it was to.
    """
    file, name = front.file, front.program or "the proxy"
    if file is None:
        raise NotWorkingError(f"{name} is not installed")
    port = free_port()
    folder = folder / str(port)
    folder.mkdir()
    folder.chmod(0o755)  # a server's workers are another user's
    with (folder / "output").open("w+b") as output:
        command = front.command(file, folder, port, origin)
        running = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)
        try:
            yield port, running.pid
            ended = running.poll()
        finally:
            running.terminate()
            try:
                running.wait(STOP)
            except subprocess.TimeoutExpired:
                running.kill()
                running.wait()
        if ended is not None:
            output.seek(0)
            raise NotWorkingError(f"{name} has ended with {ended}: {output.read()[-500:].decode(errors='replace')}")
