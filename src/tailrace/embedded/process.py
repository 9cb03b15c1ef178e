"""Server processes: started unprivileged, tied to this process's life, found again, ended.

Touches: processes, /proc.

**Source:** prctl(2) ``PR_SET_PDEATHSIG``, proc(5).
"""

from __future__ import annotations

import ctypes
import os
import pwd
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

from tailrace.errors import EmbeddedServerError

__all__ = [
    "Identity",
    "command_line",
    "end",
    "end_with_parent",
    "find",
    "is_running",
    "kill_all",
    "run",
    "send",
    "server_identity",
    "spawn",
    "wait_until",
]

UNPRIVILEGED_USER = "nobody"
POLL = 0.01
"""Seconds between two looks at a process or a file."""

# Runs between fork and the server: gives up root, asks the kernel to signal the server when its supervisor dies, and
# then becomes the server. A program of its own because code run in a forked child of a threaded process may deadlock.
LAUNCHER = """
import ctypes, os, sys
parent, death_signal, uid, gid, *command = sys.argv[1:]
os.umask(0o077)
if int(uid) >= 0:
    os.setgroups([])
    os.setgid(int(gid))
    os.setuid(int(uid))
ctypes.CDLL(None).prctl(1, int(death_signal), 0, 0, 0)
if os.getppid() != int(parent):
    sys.exit("the supervisor is gone")
os.execv(command[0], command)
"""


@dataclass(frozen=True, slots=True)
class Identity:
    """The user that servers run as when the supervisor is root."""

    name: str
    uid: int
    gid: int


def server_identity() -> Identity | None:
    """The unprivileged user when this process is root, else None: the servers run as the user itself.

    Raises:
        EmbeddedServerError: root on a machine without the unprivileged user.
    """
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam(UNPRIVILEGED_USER)
    except KeyError:
        raise EmbeddedServerError(
            f"this machine has no user {UNPRIVILEGED_USER!r} to run the servers as: run as an ordinary user"
        ) from None
    return Identity(entry.pw_name, entry.pw_uid, entry.pw_gid)


def _environment() -> dict[str, str]:
    """What servers see: none of the caller's PG* or locale variables."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8", "TZ": "UTC", "HOME": "/"}


def _launched(command: Sequence[str | Path], identity: Identity | None, death_signal: int) -> list[str]:
    uid, gid = (identity.uid, identity.gid) if identity else (-1, -1)
    head = [sys.executable, "-I", "-S", "-c", LAUNCHER, str(os.getpid()), str(death_signal), str(uid), str(gid)]
    return head + [str(part) for part in command]


def end_with_parent(death_signal: signal.Signals) -> None:
    """Have ``death_signal`` sent to this process when the one that started it dies."""
    parent = os.getppid()
    ctypes.CDLL(None).prctl(1, int(death_signal), 0, 0, 0)
    if os.getppid() != parent:
        signal.raise_signal(death_signal)


@cache
def _spawner() -> ThreadPoolExecutor:
    """The thread that starts all servers: the kernel's death signal is tied to the starting thread, not the process."""
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix="tailrace-spawner")


def spawn(
    command: Sequence[str | Path],
    *,
    identity: Identity | None = None,
    log: Path | None = None,
    death_signal: signal.Signals = signal.SIGTERM,
    standard_input: bytes = b"",
    environment: Mapping[str, str] | None = None,
    keep_open: Sequence[int] = (),
) -> subprocess.Popen[bytes]:
    """Start a program that gets ``death_signal`` when this process dies, however that happens.

    Args:
        identity: the user it runs as; None: this process's.
        log: its output is appended there; None: it goes where this process's goes.
        standard_input: what it reads.
        environment: what it sees; None: nothing of this process's but the path.
        keep_open: descriptors it inherits.

    Raises:
        OSError: the log cannot be written.

    Cost: about 20 ms.
    """
    call = partial(_start, _launched(command, identity, death_signal), log, environment or _environment(), keep_open)
    child = _spawner().submit(call).result()
    assert child.stdin is not None
    try:
        with child.stdin as pipe:
            pipe.write(standard_input)
    except BrokenPipeError:
        pass  # it ended at once; the caller finds out why in the log
    return child


def _start(
    command: Sequence[str], log: Path | None, environment: Mapping[str, str], keep_open: Sequence[int]
) -> subprocess.Popen[bytes]:
    output = None
    if log is not None:
        # For its owner alone: a log may quote statements and what is in them.
        output = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        return subprocess.Popen(  # noqa: S603 - our own programs
            command,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            cwd="/",
            env=dict(environment),
            pass_fds=keep_open,
            # Ctrl-C in the terminal is the supervisor's to handle.
            start_new_session=True,
        )
    finally:
        if output is not None:
            os.close(output)


def run(command: Sequence[str | Path], *, identity: Identity | None) -> subprocess.CompletedProcess[str]:
    """Run a program to its end, unprivileged like the servers, with its output captured together."""
    launched = _launched(command, identity, signal.SIGTERM)

    def call() -> subprocess.CompletedProcess[str]:
        return subprocess.run(  # noqa: S603 - our own binaries
            launched,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
            cwd="/",
            env=_environment(),
        )

    return _spawner().submit(call).result()


def wait_until(done: Callable[[], bool], timeout: float) -> bool:
    """Poll ``done`` for up to ``timeout`` seconds; whether it became true."""
    deadline = time.monotonic() + timeout
    while not done():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL)
    return True


def is_running(pid: int) -> bool:
    """True if the process exists and is not a zombie."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] not in "ZX"


def command_line(pid: int) -> str:
    """The process's title or arguments joined by blanks; empty if it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return ""


def find(matches: Callable[[str], bool], identity: Identity | None = None) -> list[int]:
    """Processes of the servers' user whose command line matches. Cost: one pass over /proc.

    By command line, which everyone may read: a container's root may not look at other users' open files.
    """
    uid = identity.uid if identity else os.geteuid()
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and entry.stat().st_uid == uid and matches(command_line(int(entry.name))):
                found.append(int(entry.name))
        except OSError:
            continue
    return [pid for pid in found if is_running(pid)]


def send(pids: Iterable[int], number: signal.Signals) -> None:
    """Signal each; those already gone are fine."""
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue


def kill_all(remaining: Callable[[], list[int]], timeout: float = 10.0) -> None:
    """SIGKILL until ``remaining`` finds nothing.

    Raises:
        EmbeddedServerError: something survived, which takes a kernel that waits for a disk.
    """

    def gone() -> bool:
        pids = remaining()
        send(pids, signal.SIGKILL)
        return not pids

    if not wait_until(gone, timeout):
        raise EmbeddedServerError(f"processes {remaining()} do not end even when killed: is a disk hanging?")


def end(pids: Sequence[int], signals: Sequence[tuple[signal.Signals, float]]) -> bool:
    """Send each signal in turn, waiting its seconds for all of ``pids`` to end; whether they did."""
    for number, patience in signals:
        send(pids, number)
        if wait_until(lambda: not any(is_running(pid) for pid in pids), patience):
            return True
    return False
