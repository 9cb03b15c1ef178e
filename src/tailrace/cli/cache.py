"""``tailrace cache``: what the caches of a running service or proxy do, and why; clearing them.

Touches: the terminal, the network.
With ``--format json`` one JSON document goes to stdout and nothing else does.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine, Mapping
from typing import Annotated, Any, NoReturn
from urllib.parse import quote, urlsplit

import typer

from tailrace.cli.output import FAILED, LEFT_TO_DO, Format, FormatOption
from tailrace.cli.probe import HeaderOption, read_headers
from tailrace.cli.proxy import proxy

__all__ = ["cache"]

cache = typer.Typer(
    help="See what the caches of a running service or proxy do, and clear them; put a cache before any server.",
    no_args_is_help=True,
)
cache.command()(proxy)

TokenOption = Annotated[
    str | None,
    typer.Option(
        envvar="TAILRACE_HTTP__ADMIN_TOKEN",
        help="The service's admin token; without one it answers only on its own machine. Never shown.",
        show_default=False,
        show_envvar=True,
    ),
]
BaseArgument = Annotated[
    str, typer.Argument(help="Where the service or proxy is, as in http://127.0.0.1:8000/voice-dashboard.")
]


@cache.command()
def explain(
    url: Annotated[str, typer.Argument(help="The address that a client asks for.")],
    header: HeaderOption = None,
    token: TokenOption = None,
    output: FormatOption = Format.text,
) -> None:
    """Say whether a request would be answered from the cache, and why. Exit code 3: it would not.

    The request is explained, not answered: nothing is computed. Give the headers that the client sends, above all those
    that say who asks.
    """
    from tailrace.cli.service import ask

    status, fields, body = _asked(ask(url, headers={**read_headers(header), "Tailrace-Explain": "1"}, token=token))
    if fields.get("tailrace-explain") is None:
        told = fields.get("cache-status")
        _fail(
            f"{url} answered {status} and explained nothing: its route has no cache, this is no Tailrace, or the token"
            f" is not its own{f' (Cache-Status: {told})' if told else ''}"
        )
    document = _document(200, fields, body, url)
    if output is Format.json:
        typer.echo(json.dumps(document, indent=2))
    else:
        _show_explanation(url, document)
    if document["outcome"] not in ("hit", "stale"):
        raise typer.Exit(LEFT_TO_DO)


@cache.command()
def stats(url: BaseArgument, token: TokenOption = None, output: FormatOption = Format.text) -> None:
    """Show what the store holds and how often look-ups were answered, by policy; of one process of the service."""
    from tailrace.cli.service import ask

    document = _document(*_asked(ask(f"{url.rstrip('/')}/monitoring/cache", token=token)), url)
    if output is Format.json:
        typer.echo(json.dumps(document, indent=2))
        return
    store = document["store"]
    connected = "" if store["connected"] else ", not connected"
    typer.echo(f"store: {store['kind']}{connected}, {store['entries']:,} entries, {store['bytes'] / 2**20:.1f} MB here")
    if "freshness" in document:
        typer.echo(f"freshness: {document['freshness']}")
    for each in document["policies"]:
        kinds = ", ".join(
            f"{name} {count:,}" for name, count in each.items() if name not in ("policy", "lookups", "hit_ratio")
        )
        typer.echo(f"  {each['policy']:<30} {each['hit_ratio']:>7.1%} of {each['lookups']:,} ({kinds})")
    if not document["policies"]:
        typer.echo("  nothing has been looked up yet")


@cache.command()
def clear(
    base: Annotated[
        str | None,
        typer.Argument(
            metavar="[URL]",
            help="Where the service or proxy is; by default where the first --url is.",
            show_default=False,
        ),
    ] = None,
    url: Annotated[
        list[str] | None, typer.Option(help="End what is kept for an address, or a path there, as responses say.")
    ] = None,
    tag: Annotated[
        list[str] | None, typer.Option(help="End what depends on it: calls:user_id=42, or calls. Of a proxy: a group.")
    ] = None,
    key: Annotated[list[str] | None, typer.Option(help="Remove one answer.")] = None,
    prefix: Annotated[list[str] | None, typer.Option(help="Remove the answers whose keys begin so.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Remove everything of the service's namespace.")] = False,
    header: HeaderOption = None,
    token: TokenOption = None,
    output: FormatOption = Format.text,
) -> None:
    """Clear the cache of a running service or proxy: by address, tag, key or prefix, or all of it, in every process."""
    from tailrace.cli.service import ask

    named = {"url": url, "tag": tag, "key": key, "prefix": prefix, "all": ["yes"] if everything else None}
    given = [(name, values) for name, values in named.items() if values]
    if len(given) != 1:
        raise typer.BadParameter("give one of --url, --tag, --key, --prefix and --all")
    ((name, values),) = given
    place = base or _root_of(values[0])
    query = "&".join(f"{name}={quote(value, safe='')}" for value in values)
    address = f"{place.rstrip('/')}/monitoring/cache/clear?{query}"
    found = _asked(ask(address, method="POST", headers=read_headers(header), token=token))
    document = _document(*found, place)
    if output is Format.json:
        typer.echo(json.dumps(document, indent=2))
    elif name in ("tag", "url"):
        typer.echo(f"ended: {', '.join(document['ended'])}")
    elif name == "key":
        removed = document["removed"]
        for word, keys in {"removed": removed, "not there": [key for key in values if key not in removed]}.items():
            if keys:
                typer.echo(f"{word}: {', '.join(keys)}")
    else:
        typer.echo(f"removed: {document['removed']}")


def _root_of(url: str) -> str:
    """The scheme and authority of an address.

    Raises:
        BadParameter: it has none.
    """
    parts = urlsplit(url)
    if not parts.netloc:
        raise typer.BadParameter("say where the service is: an address of it, or a whole --url")
    return f"{parts.scheme}://{parts.netloc}"


def _asked(work: Coroutine[Any, Any, tuple[int, Mapping[str, str], bytes]]) -> tuple[int, Mapping[str, str], bytes]:
    from tailrace.errors import SettingsError, TailraceError

    try:
        return asyncio.run(work)
    except SettingsError as error:
        raise typer.BadParameter(str(error), param_hint="URL") from error
    except TailraceError as error:
        _fail(str(error))


def _document(status: int, _fields: Mapping[str, str], body: bytes, url: str) -> Any:
    """The answer, which only an operator gets.

    Raises:
        Exit: it is another one.
    """
    if status == 404:
        _fail(f"{urlsplit(url).netloc} shows no cache: this is no Tailrace, or the token is not its own (--token)")
    if status != 200:
        _fail(f"{urlsplit(url).netloc} answered {status}: {body[:300].decode('utf-8', 'replace')}")
    try:
        return json.loads(body)
    except ValueError:
        _fail(f"{urlsplit(url).netloc} shows no cache: this is no Tailrace")


def _fail(message: str) -> NoReturn:
    typer.echo(f"tailrace: {message}", err=True)
    raise typer.Exit(FAILED)


def _show_explanation(url: str, document: Mapping[str, Any]) -> None:
    colour = {"hit": "green", "stale": "yellow"}.get(document["outcome"], "red")
    typer.secho(document["outcome"], fg=colour, nl=False)
    typer.echo(f"  {document['why']}")
    typer.echo(f"  {url}")
    if document["by"] == "policy":
        policy = document["policy"]
        typer.echo(
            f"  route {document['route']}, policy {policy['name']}, ttl {policy['ttl']:g} s, {document['identity']}"
        )
        typer.echo(
            f"  key {document['key']}" + (f", varies on {', '.join(names)}" if (names := document["varies_on"]) else "")
        )
    else:
        kinds = [", ".join(names) or "nothing" for names in document["varies_on"]]
        typer.echo(
            f"  kept as the response says, {document['target']}" + (f", varies on {' | '.join(kinds)}" if kinds else "")
        )
    if document["stored"]:
        where = ", held in this process" if document.get("held_here") else ""
        typer.echo(
            f"  stored {document['age']:.1f} s ago for {document['ttl']:.1f} s, {document['bytes']:,} bytes{where}"
        )
    for state in document.get("tags", ()):
        mark = {True: "unchanged", False: "written since", None: "nothing stored"}[state["current"]]
        typer.echo(f"    {state['tag']:<40} {mark}")
