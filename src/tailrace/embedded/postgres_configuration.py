"""What an embedded PostgreSQL is told. Pure.

Kept outside the cluster's own folder and passed as ``config_file``, so that ``ALTER SYSTEM`` still has the last word.
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["default_settings", "host_rules", "render"]

MEBIBYTE = 1024 * 1024


def default_settings(memory: int) -> dict[str, str]:
    """Settings for a small machine shared with the application, at full durability.

    Args:
        memory: bytes of RAM; a quarter of it, 128 MB to 1 GB, becomes shared buffers.
    """
    buffers = min(max(memory // 4 // MEBIBYTE, 128), 1024)
    return {
        "listen_addresses": "127.0.0.1",
        # No Unix sockets: one way in, no limit on the length of the folder's path.
        "unix_socket_directories": "",
        "max_connections": "200",
        "password_encryption": "scram-sha-256",
        # Stretching protects guessable passwords; this one is 192 random bits, so connecting may be cheap.
        "scram_iterations": "1",
        "shared_buffers": f"{buffers}MB",
        "effective_cache_size": f"{max(memory // 2 // MEBIBYTE, 256)}MB",
        "work_mem": "16MB",
        "maintenance_work_mem": f"{min(buffers, 256)}MB",
        "max_parallel_workers_per_gather": "1",
        "random_page_cost": "1.1",
        # Compiling a plan costs more than the short queries of a web API.
        "jit": "off",
        "fsync": "on",
        "synchronous_commit": "on",
        "checkpoint_timeout": "15min",
        "max_wal_size": "4GB",
        "min_wal_size": "256MB",
        "shared_preload_libraries": "pg_stat_statements",
        "compute_query_id": "on",
        "pg_stat_statements.track": "all",
        "track_io_timing": "on",
        # The role is called tailrace, and so is the schema of Tailrace's own objects: nothing else belongs there.
        "search_path": "public",
        "timezone": "UTC",
        "log_timezone": "UTC",
        "log_line_prefix": "%m [%p] %d ",
    }


def render(settings: Mapping[str, str]) -> str:
    r"""The configuration file's text.

    >>> render({"jit": "off", "search_path": "it's"})
    "jit = 'off'\nsearch_path = 'it''s'\n"
    """
    quoted = {name: value.replace("\\", "\\\\").replace("'", "''") for name, value in settings.items()}
    return "".join(f"{name} = '{value}'\n" for name, value in quoted.items())


def host_rules() -> str:
    """Who may connect: this machine, with the password; replication too."""
    return "host all all 127.0.0.1/32 scram-sha-256\nhost replication all 127.0.0.1/32 scram-sha-256\n"
