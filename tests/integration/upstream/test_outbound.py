"""URLs that strangers name, against servers over real sockets that try to lead the fetcher astray."""

from __future__ import annotations

import asyncio
import gzip
import socket
import ssl
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.certificates import needs_openssl, server_context
from tests.integration.upstream.origin import Exchange, Handler, Server, hang, serving
from tests.waiting import wait_until

from tailrace.errors import (
    BulkheadFullError,
    CircuitOpenError,
    SettingsError,
    UpstreamError,
    UpstreamRejectedError,
    UpstreamTimeoutError,
    UpstreamUnavailableError,
    UrlRefusedError,
)
from tailrace.events import CircuitChanged, Event, UpstreamCalled
from tailrace.settings import OutboundSettings, UpstreamSettings
from tailrace.upstream import OutboundFetcher, OutboundGuard, UpstreamClient, propagated_headers

OURS = "127.0.0.2/31"
"""What counts as public here: the addresses of the servers that are to be found. 127.0.0.1 is private, as ever."""


class Names:
    """A resolver whose answers the test decides; a list of answers is given one by one, the last again and again."""

    def __init__(self, **answers: Sequence[str] | Exception) -> None:
        self._answers = {name.replace("_", "."): answer for name, answer in answers.items()}
        self.asked: Counter[str] = Counter()

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        del port
        self.asked[host] += 1
        answer = self._answers.get(host, socket.gaierror(socket.EAI_NONAME, "no such name"))
        if isinstance(answer, Exception):
            raise answer
        return answer


class Changing(Names):
    """Gives another address each time it is asked, as rebinding does."""

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        every = await super().__call__(host, port)
        return [every[min(self.asked[host], len(every)) - 1]]


def fetcher_of(
    *servers: Server,
    names: Names | None = None,
    media_types: Sequence[str] = (),
    events: Any = None,
    ports: Sequence[int] = (),
    **changes: Any,
) -> OutboundFetcher:
    """A fetcher that may ask ``servers`` and nobody else."""
    changes = {"max_retries": 0, "allowed_networks": OURS} | changes
    settings = OutboundSettings(ports=(*(server.port for server in servers), *ports), **changes)
    guard = OutboundGuard(settings, resolve=names or Names())
    return OutboundFetcher("outside", settings=settings, guard=guard, media_types=media_types, observer=events)


def redirect(location: str, status: int = 302) -> Handler:
    async def handler(exchange: Exchange) -> None:
        await exchange.answer(status, b"over there", f"location: {location}")

    return handler


async def hello(exchange: Exchange) -> None:
    await exchange.answer(200, b"<p>hello</p>", "content-type: Text/HTML; charset=utf-8")


async def test_a_document_is_fetched() -> None:
    """With the URL it was found under, in one spelling, and its media type; the query goes as it was named."""
    names = Names(a_test=["127.0.0.2"])
    async with serving(hello, host="127.0.0.2") as server, fetcher_of(server, names=names) as fetcher:
        found = await fetcher.fetch(f"HTTP://A.test:{server.port}/x?q=1;&&ä#top")
        assert found.url == f"http://a.test:{server.port}/x?q=1;&&%C3%A4"
        assert (found.media_type, found.body) == ("text/html", b"<p>hello</p>")
        assert server.requests[0].line == "GET /x?q=1;&&%C3%A4 HTTP/1.1"
        assert server.requests[0].headers["host"] == f"a.test:{server.port}"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_followed(status: int) -> None:
    """Within the origin and to another one."""

    async def first(exchange: Exchange) -> None:
        path = exchange.line.split(" ")[1]
        await redirect("/b?c" if path == "/a" else f"http://127.0.0.3:{other.port}/d", status)(exchange)

    async with (
        serving(hello, host="127.0.0.3") as other,
        serving(first, host="127.0.0.2") as server,
        fetcher_of(server, other) as fetcher,
    ):
        found = await fetcher.fetch(f"http://127.0.0.2:{server.port}/a")
    assert found.url == f"http://127.0.0.3:{other.port}/d"
    assert [request.line.split(" ")[1] for request in server.requests] == ["/a", "/b?c"]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "inside.test", "[::1]", "[::ffff:127.0.0.1]", "2130706433"])
async def test_a_redirect_into_the_machine_is_refused(host: str) -> None:
    """However its address is written, a server that only this machine may ask hears nothing."""
    names = Names(localhost=["127.0.0.1"], inside_test=["127.0.0.1"])
    async with serving(hello) as secret:
        leading = redirect(f"http://{host}:{secret.port}/")
        async with serving(leading, host="127.0.0.2") as server, fetcher_of(server, secret, names=names) as fetcher:
            with pytest.raises(UrlRefusedError):
                await fetcher.fetch(f"http://127.0.0.2:{server.port}/")
        assert (len(server.requests), secret.connections) == (1, 0)


@pytest.mark.parametrize(
    ("location", "reason"),
    [
        ("http://169.254.169.254/latest/meta-data/", "address"),
        ("http://127.0.0.2:6379/", "port"),
        ("file:///etc/passwd", "scheme"),
        ("gopher://127.0.0.2/", "scheme"),
        ("http://user:secret@127.0.0.2/", "credentials"),
        ("//127.1/", "host"),
    ],
)
async def test_each_hop_is_judged(location: str, reason: str) -> None:
    """A redirect gets no further than the same URL named by a stranger would."""
    async with (
        serving(redirect(location), host="127.0.0.2") as server,
        fetcher_of(server, ports=[80]) as fetcher,
    ):
        with pytest.raises(UrlRefusedError) as raised:
            await fetcher.fetch(f"http://127.0.0.2:{server.port}/")
    assert raised.value.reason == reason
    assert "127" not in str(raised.value)


async def test_redirects_without_end_are_refused() -> None:
    """A server that leads on and on is asked as often as the settings say, and once more for the URL itself."""

    async def on_and_on(exchange: Exchange) -> None:
        await redirect(f"/{exchange.number}")(exchange)

    async with serving(on_and_on, host="127.0.0.2") as server, fetcher_of(server, max_redirects=3) as fetcher:
        with pytest.raises(UrlRefusedError, match="more than 3 redirects"):
            await fetcher.fetch(f"http://127.0.0.2:{server.port}/")
    assert len(server.requests) == 4


async def test_credentials_stay_with_their_origin() -> None:
    """Headers given for a URL go along on its origin, and not to another one, nor back again by way of that."""

    async def first(exchange: Exchange) -> None:
        path = exchange.line.split(" ")[1]
        if path == "/back":
            await hello(exchange)
        else:
            await redirect("/b" if path == "/a" else f"http://127.0.0.3:{other.port}/")(exchange)

    async with serving(first, host="127.0.0.2") as server:
        back = redirect(f"http://127.0.0.2:{server.port}/back")
        async with serving(back, host="127.0.0.3") as other, fetcher_of(server, other) as fetcher:
            found = await fetcher.fetch(f"http://127.0.0.2:{server.port}/a", headers={"Authorization": "Bearer x"})
    assert found.body == b"<p>hello</p>"
    assert ["authorization" in request.headers for request in server.requests] == [True, True, False]
    assert ["authorization" in request.headers for request in other.requests] == [False]


async def test_a_name_that_changes_its_address_is_looked_up_once() -> None:
    """What was judged is what is connected to; the next connection's look-up is judged again (DNS rebinding)."""
    names = Changing(a_test=["127.0.0.2", "127.0.0.1"])

    async def then_closes(exchange: Exchange) -> None:
        await exchange.answer(200, b"outside", "connection: close")

    async with serving(then_closes, host="127.0.0.2") as server, serving(hello, port=server.port) as secret:
        async with fetcher_of(server, names=names) as fetcher:
            url = f"http://a.test:{server.port}/"
            assert (await fetcher.fetch(url)).body == b"outside"
            assert names.asked["a.test"] == 1
            with pytest.raises(UrlRefusedError):
                await fetcher.fetch(url)
        assert (names.asked["a.test"], secret.connections) == (2, 0)


async def test_one_bad_address_spoils_the_answer() -> None:
    """A name with a public and a private address is not asked at either."""
    names = Names(
        a_test=["127.0.0.2", "127.0.0.1"], b_test=["127.0.0.1", "127.0.0.2"], c_test=["127.0.0.2", "fe80::1%1"]
    )
    async with serving(hello, host="127.0.0.2") as server, fetcher_of(server, names=names) as fetcher:
        for name in ("a", "b", "c"):
            with pytest.raises(UrlRefusedError):
                await fetcher.fetch(f"http://{name}.test:{server.port}/")
        assert server.connections == 0


async def test_private_names_cannot_be_told_from_none() -> None:
    """Whether a private network knows a name is not to be learnt; that DNS is down is another matter."""
    down = socket.gaierror(socket.EAI_AGAIN, "try again")
    names = Names(inside_test=["10.0.0.5"], empty_test=[], down_test=down)
    async with serving(hello, host="127.0.0.2") as server, fetcher_of(server, names=names) as fetcher:
        refusals = []
        for name in ("inside", "nowhere", "empty"):
            with pytest.raises(UrlRefusedError) as raised:
                await fetcher.fetch(f"http://{name}.test:{server.port}/")
            refusals.append((raised.value.reason, str(raised.value)))
        assert len(set(refusals)) == 1
        with pytest.raises(UpstreamUnavailableError):
            await fetcher.fetch(f"http://down.test:{server.port}/")


async def test_the_machines_own_resolver_is_judged_too() -> None:
    """The name of this machine is found by the system, and refused for where it leads."""
    async with serving(hello) as secret:
        async with OutboundFetcher("outside", settings=OutboundSettings(ports=(secret.port,))) as fetcher:
            with pytest.raises(UrlRefusedError):
                await fetcher.fetch(f"http://localhost:{secret.port}/")
        assert secret.connections == 0
        allowed = OutboundSettings(ports=(secret.port,), allowed_networks="127.0.0.1, ::1")
        async with OutboundFetcher("outside", settings=allowed) as fetcher:
            assert (await fetcher.fetch(f"http://localhost:{secret.port}/")).body == b"<p>hello</p>"


async def test_another_address_is_tried() -> None:
    """Where nobody listens at the first address of a name, the second is asked."""
    async with serving(hello, host="127.0.0.2") as server:
        names = Names(a_test=["127.0.0.3", "127.0.0.2"])
        async with fetcher_of(server, names=names) as fetcher:
            assert (await fetcher.fetch(f"http://a.test:{server.port}/")).body == b"<p>hello</p>"


async def test_a_body_that_drips_runs_out_of_time() -> None:
    """One byte now and then keeps nobody waiting longer than the attempt may take, and the connection is let go."""

    async def drip(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n")
        while True:
            await exchange.send(b".")
            await asyncio.sleep(0.01)

    async with serving(drip, host="127.0.0.2") as server, fetcher_of(server, attempt_timeout=0.3) as fetcher:
        with pytest.raises(UpstreamTimeoutError):
            await fetcher.fetch(f"http://127.0.0.2:{server.port}/")
        await wait_until(lambda: server.open == 0)


async def test_the_total_time_spans_redirects() -> None:
    """Hops that are each in time are not so together."""

    async def slowly_on(exchange: Exchange) -> None:
        await asyncio.sleep(0.05)
        await redirect(f"/{exchange.number}")(exchange)

    async with (
        serving(slowly_on, host="127.0.0.2") as server,
        fetcher_of(server, max_redirects=10_000, attempt_timeout=5, total_timeout=0.5) as fetcher,
    ):
        with pytest.raises(UpstreamTimeoutError):
            await fetcher.fetch(f"http://127.0.0.2:{server.port}/")


async def bomb(exchange: Exchange) -> None:
    """Ten kilobytes that are ten megabytes."""
    await exchange.answer(200, gzip.compress(bytes(10_000_000)), "content-encoding: gzip")


async def members(exchange: Exchange) -> None:
    """Nothing at all, ten thousand times."""
    await exchange.answer(200, gzip.compress(b"") * 10_000, "content-encoding: gzip")


async def announced(exchange: Exchange) -> None:
    await exchange.send(b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n")
    await hang(exchange)


async def endless(exchange: Exchange) -> None:
    await exchange.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
    while True:
        await exchange.send(b"1000\r\n" + bytes(0x1000) + b"\r\n")


async def until_the_end(exchange: Exchange) -> None:
    await exchange.send(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        await exchange.send(bytes(0x1000))


async def twice_coded(exchange: Exchange) -> None:
    await exchange.answer(200, gzip.compress(gzip.compress(b"x")), "content-encoding: gzip, gzip")


@pytest.mark.parametrize("handler", [bomb, members, announced, endless, until_the_end, twice_coded])
async def test_bombs_do_not_go_off(handler: Handler) -> None:
    """Whatever grows beyond the bound, before decompression or after it, is refused and its connection let go."""
    async with (
        serving(handler, host="127.0.0.2") as server,
        fetcher_of(server, max_response_bytes=100_000) as fetcher,
    ):
        with pytest.raises(UpstreamError) as raised:
            await fetcher.fetch(f"http://127.0.0.2:{server.port}/")
        assert type(raised.value) is UpstreamError
        await wait_until(lambda: server.open == 0)


async def test_a_head_without_end_is_refused() -> None:
    """Header lines, too, are bounded."""

    async def talkative(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\n")
        while True:
            await exchange.send(b"x-more: " + b"x" * 1000 + b"\r\n")

    async with serving(talkative, host="127.0.0.2") as server, fetcher_of(server) as fetcher:
        with pytest.raises(UpstreamUnavailableError):
            await fetcher.fetch(f"http://127.0.0.2:{server.port}/")


@pytest.mark.parametrize("kind", ["content-type: application/zip", "content-type: text/htmlx", "x: y"])
async def test_other_media_types_are_refused_unread(kind: str) -> None:
    """What nobody asked for is refused by its head: its body need never end."""

    async def handler(exchange: Exchange) -> None:
        await exchange.send(f"HTTP/1.1 200 OK\r\n{kind}\r\ncontent-length: 1000\r\n\r\n".encode())
        await hang(exchange)

    async with serving(handler, host="127.0.0.2") as server:
        async with fetcher_of(server, media_types=["text/html"]) as fetcher:
            with pytest.raises(UpstreamError, match="media type"):
                await fetcher.fetch(f"http://127.0.0.2:{server.port}/")
        assert server.requests[0].headers["accept"] == "text/html"


async def test_nothing_of_the_request_being_answered_is_told() -> None:
    """Ids and traces go to services of one's own, not to strangers' servers."""
    async with serving(hello, host="127.0.0.2") as server, fetcher_of(server) as fetcher:
        token = propagated_headers.set({"x-request-id": "r1", "traceparent": "00-1-1-01"})
        try:
            await fetcher.fetch(f"http://127.0.0.2:{server.port}/")
        finally:
            propagated_headers.reset(token)
        assert set(server.requests[0].headers) == {"host", "accept-encoding"}


async def test_one_origins_trouble_is_not_anothers() -> None:
    """The breaker that opens is the failing origin's; observers hear of calls under one name, not of breakers."""
    events: list[Event] = []

    async def failing(exchange: Exchange) -> None:
        await exchange.answer(503)

    async with (
        serving(failing, host="127.0.0.2") as bad,
        serving(hello, host="127.0.0.3") as good,
        fetcher_of(bad, good, events=events.append) as fetcher,
    ):
        refused = 0
        for _ in range(30):
            with pytest.raises((UpstreamUnavailableError, CircuitOpenError)) as raised:
                await fetcher.fetch(f"http://127.0.0.2:{bad.port}/")
            refused += isinstance(raised.value, CircuitOpenError)
        assert refused
        assert (await fetcher.fetch(f"http://127.0.0.3:{good.port}/")).body == b"<p>hello</p>"
    assert {event.dependency for event in events if isinstance(event, UpstreamCalled)} == {"outside"}
    assert not [event for event in events if isinstance(event, CircuitChanged)]


async def test_origins_are_forgotten() -> None:
    """However many a stranger names, no more are remembered than the settings say, and those in use are kept."""
    names = Names(**{f"n{number}_test": ["127.0.0.2"] for number in range(20)})
    async with serving(hello, host="127.0.0.2") as server, fetcher_of(server, names=names, origins=3) as fetcher:
        urls = [f"http://n{number}.test:{server.port}/" for number in range(20)]
        bodies = await asyncio.gather(*(fetcher.fetch(url) for url in urls))
        assert [found.body for found in bodies] == [b"<p>hello</p>"] * 20
        assert fetcher.origins <= 3
        await wait_until(lambda: server.open <= 3)
    await wait_until(lambda: server.open == 0)


async def test_fetches_at_once_are_bounded() -> None:
    """More than may be under way and waiting are refused at once."""
    names = Names(**{f"n{number}_test": ["127.0.0.2"] for number in range(3)})
    async with (
        serving(hang, host="127.0.0.2") as server,
        fetcher_of(server, names=names, concurrency=1, queue=1) as fetcher,
    ):
        fetches = [asyncio.create_task(fetcher.fetch(f"http://n{n}.test:{server.port}/")) for n in range(2)]
        await wait_until(lambda: server.connections == 1)
        with pytest.raises(BulkheadFullError):
            await fetcher.fetch(f"http://n2.test:{server.port}/")
        for fetch in fetches:
            fetch.cancel()
        await asyncio.gather(*fetches, return_exceptions=True)


@needs_openssl
async def test_tls_is_checked_against_the_name(tmp_path: Path) -> None:
    """The connection is made by address, the certificate must hold the name; and https never becomes http."""
    context, certificate = await server_context(tmp_path, "a.test")

    async def answer(exchange: Exchange) -> None:
        path = exchange.line.split(" ")[1]
        await (redirect(f"http://a.test:{server.port}/")(exchange) if path == "/down" else hello(exchange))

    names = Names(a_test=["127.0.0.2"], b_test=["127.0.0.2"])
    async with serving(answer, host="127.0.0.2", tls=context) as server:
        settings = OutboundSettings(ports=(server.port,), allowed_networks=OURS, max_retries=0)
        fetcher = OutboundFetcher(
            "outside",
            settings=settings,
            guard=OutboundGuard(settings, resolve=names),
            tls=ssl.create_default_context(cafile=certificate),
        )
        async with fetcher:
            assert (await fetcher.fetch(f"https://a.test:{server.port}/")).body == b"<p>hello</p>"
            with pytest.raises(UpstreamError, match="TLS failed"):
                await fetcher.fetch(f"https://b.test:{server.port}/")
            with pytest.raises(UrlRefusedError) as raised:
                await fetcher.fetch(f"https://a.test:{server.port}/down")
            assert raised.value.reason == "downgrade"


async def test_answers_that_are_none() -> None:
    """404 is an error that says so; a redirect to nowhere and one that is not modified are, too."""

    async def handler(exchange: Exchange) -> None:
        await exchange.answer(int(exchange.line.split(" ")[1][1:]))

    async with serving(handler, host="127.0.0.2") as server, fetcher_of(server) as fetcher:
        for status in (404, 302, 304, 300):
            with pytest.raises(UpstreamRejectedError) as raised:
                await fetcher.fetch(f"http://127.0.0.2:{server.port}/{status}")
            assert raised.value.answered == status


async def test_the_environments_proxy_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy would look names up once more, where nobody judges the answer."""
    async with serving(hello) as proxy, serving(hello, host="127.0.0.2") as server, fetcher_of(server) as fetcher:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        await fetcher.fetch(f"http://127.0.0.2:{server.port}/")
        assert (proxy.connections, server.connections) == (0, 1)


async def test_the_guard_on_a_client_of_ones_own() -> None:
    """An address that a stranger configured once, as for a webhook, is judged when it is used."""
    names = Changing(hook_test=["127.0.0.2", "127.0.0.1"])

    async def then_closes(exchange: Exchange) -> None:
        await exchange.answer(200, b"{}", "connection: close")

    async with serving(then_closes, host="127.0.0.2") as server, serving(hello, port=server.port) as secret:
        guard = OutboundGuard(OutboundSettings(ports=(server.port,), allowed_networks=OURS), resolve=names)
        with pytest.raises(UrlRefusedError):
            UpstreamClient("hook", f"http://127.0.0.1:{server.port}", guard=guard)
        settings = UpstreamSettings(max_retries=0)
        async with UpstreamClient("hook", f"http://hook.test:{server.port}/in", guard=guard, settings=settings) as hook:
            await hook.request("POST", "/a", body=b"{}")
            with pytest.raises(UrlRefusedError):
                await hook.request("POST", "/a", body=b"{}")
        assert [request.line for request in server.requests] == ["POST /in/a HTTP/1.1"]
        assert secret.connections == 0


def test_a_wrong_network_is_a_wrong_setting() -> None:
    """It is said when the guard is made, not when a request comes."""
    with pytest.raises(SettingsError, match="allowed_networks"):
        OutboundGuard(OutboundSettings(allowed_networks="intranet"))
