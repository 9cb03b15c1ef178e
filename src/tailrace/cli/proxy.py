"""``tailrace cache proxy``: the shared cache before any server. Touches: signals, and what the proxy touches."""

from __future__ import annotations

from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import Annotated, Any

import typer

from tailrace.cli.output import failure
from tailrace.errors import SettingsError, TailraceError

__all__ = ["proxy"]


def proxy(
    origin: Annotated[str, typer.Option(help="The server that is asked, as in http://127.0.0.1:9000.")],
    port: Annotated[int, typer.Option(min=1, max=65535, help="Where clients ask.")],
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    own_host: Annotated[
        bool, typer.Option("--own-host", help="Ask for the origin's own name in Host, not the client's.")
    ] = False,
    heuristic: Annotated[
        float,
        typer.Option(
            min=0,
            max=1,
            help="Share of the time since Last-Modified for which a response is fresh that does not say for how long;"
            " 0: such a response is not kept.",
        ),
    ] = 0.1,
    ttl: Annotated[
        list[str] | None,
        typer.Option(
            help="PATH=SECONDS: for how long such a response is kept, as in '/static/*=3600'; may be repeated, the"
            " first that fits counts.",
            show_default=False,
        ),
    ] = None,
    max_body: Annotated[int, typer.Option(min=0, help="Bytes of a body that is kept; longer ones pass.")] = 10485760,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds that the origin may pause.")] = 60.0,
) -> None:
    """Serve the cache as a reverse proxy, until Ctrl-C or SIGTERM: RFC 9111, before any server.

    Answers are kept in this process, or with TAILRACE_VALKEY_URL in a store that several share.
    """
    from tailrace.proxy.serving import run

    try:
        given = {"own_host": own_host, "heuristic": heuristic, "ttl": _by_path(ttl or []), "max_body": max_body}
        run(lambda: _serve(origin, port, host, timeout, given))
    except SettingsError as error:
        raise typer.BadParameter(str(error)) from error
    except (TailraceError, OSError) as error:
        raise failure(error) from error


def _by_path(given: list[str]) -> Callable[[str], float | None]:
    """The seconds for a path.

    Raises:
        BadParameter: one of them is not PATH=SECONDS.
    """
    rules = []
    for text in given:
        pattern, _, seconds = text.rpartition("=")
        if not pattern.startswith("/") or not seconds.isdecimal():
            raise typer.BadParameter(f"{text}: write PATH=SECONDS", param_hint="--ttl")
        rules.append((pattern, float(seconds)))
    return lambda path: next((seconds for pattern, seconds in rules if fnmatchcase(path, pattern)), None)


async def _serve(address: str, port: int, host: str, timeout: float, given: dict[str, Any]) -> None:
    from tailrace.proxy import CacheProxy
    from tailrace.proxy.serving import listen, server_of
    from tailrace.settings import load_settings
    from tailrace.upstream.origin import Origin

    settings = load_settings()
    origin = Origin(address, timeout=timeout)
    service = CacheProxy(origin, settings, **given)
    server = server_of(service, drain=settings.http.drain)
    with listen(host, port) as listening:
        typer.echo(f"http://{host}:{port} asks {address}")
        await server.serve(sockets=[listening])
