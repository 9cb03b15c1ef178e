"""What the proxy passes on is what was sent, in both directions, while it is being sent (RFC 9110 section 7.6)."""

from __future__ import annotations

import asyncio

import pytest
from tests.integration.proxy.raw import Asked, answering, between, plain, request
from tests.unit.asgi.driver import ask
from tests.waiting import wait_until

from tailrace.proxy import Gateway
from tailrace.upstream.origin import Origin

FRESH = "Cache-Control: max-age=60"
LARGE = bytes(range(256)) * 32 * 1024  # 8 MB


async def fine(asked: Asked) -> None:
    await asked.read_body()
    await asked.send(plain(b"hello", FRESH))


async def test_a_response_passes_as_it_is() -> None:
    """Fields in their order, those that occur twice as two, odd statuses and bytes outside ASCII."""

    async def odd(asked: Asked) -> None:
        fields = (
            "Set-Cookie: a=1",
            "Link: <a>",
            "Set-Cookie: b=2",
            "X-Odd: \xe4\t\xff",
            "Server: other",
            "Date: yesterday",
        )
        await asked.send(plain(b"\x00\xff", *fields, status="299 Whatever"))

    async with between(odd) as proxy:
        reply = await proxy.ask(request())
        assert (reply.status, reply.body) == (299, b"\x00\xff")
        assert reply.values("set-cookie") == ["a=1", "b=2"]
        assert (reply.value("x-odd"), reply.value("server"), reply.values("date")) == (
            "\xe4\t\xff",
            "other",
            ["yesterday"],
        )
        names = [name for name, _ in reply.fields]
        assert names.index("link") - names.index("set-cookie") == 1


async def test_a_request_passes_as_it_is() -> None:
    """Method, target to the byte, fields, body; whatever the method."""
    async with between(fine) as proxy:
        target = "/a%2Fb/../c;x?q=%20+a&q=&%zz"
        assert (await proxy.ask(request(target, "X-A: 1", "x-a: 2", method="PATCH", body=b"body"))).status == 200
        asked = proxy.origin.asked[0]
        assert asked.line == f"PATCH {target} HTTP/1.1"
        assert (asked.values("x-a"), asked.body, asked.values("host")) == (["1", "2"], b"body", ["shop.example"])
        assert (await proxy.ask(request(method="M-SEARCH"))).status == 200
        assert proxy.origin.asked[1].line.startswith("M-SEARCH ")


async def test_a_path_that_the_server_tells_only_decoded() -> None:
    """ASGI's ``raw_path`` is optional; without it the origin is asked for the same path, not for another one."""
    async with answering(fine) as origin:
        passing = Origin(origin.url)
        for path in ("/100%41/a b", "/ä?/%"):
            assert (await ask(Gateway(passing), path, raw_path=None)).body == b"hello"
        await passing.aclose()
        assert [asked.line.split(" ")[1] for asked in origin.asked] == ["/100%2541/a%20b", "/%C3%A4%3F/%25"]


async def test_blanks_around_values_do_not_count() -> None:
    """RFC 9110 5.5: they are neither an error nor part of the value."""
    async with between(fine) as proxy:
        assert (await proxy.ask(request("/", "X-Name:  a b \t ", "X-Empty:   "))).status == 200
        assert (proxy.origin.asked[0].values("x-name"), proxy.origin.asked[0].values("x-empty")) == (["a b"], [""])


async def test_host_is_rewritten_by_option() -> None:
    """The origin's own name, for virtual hosts that know no other."""
    async with between(fine, own_host=True) as proxy:
        await proxy.ask(request())
        assert proxy.origin.asked[0].values("host") == [proxy.origin.url.removeprefix("http://")]


async def test_what_belongs_to_a_connection_stays_there() -> None:
    """7.6.1: neither side's connection fields, nor what they name, reach the other side."""

    async def connected(asked: Asked) -> None:
        await asked.send(
            plain(b"x", FRESH, "Connection: X-Hop, close", "X-Hop: 1", "Keep-Alive: timeout=5", "X-End: 1")
        )
        asked.writer.close()

    async with between(connected) as proxy:
        fields = (
            "Connection: x-own, keep-alive",
            "X-Own: 1",
            "TE: trailers",
            "Upgrade: h2c",
            "Proxy-Connection: a",
            "X-End: 2",
        )
        for _ in range(2):  # passed on, and then from the store
            reply = await proxy.ask(request("/", *fields))
            assert not {"x-hop", "keep-alive"} & {name for name, _ in reply.fields}
            assert reply.value("x-end") == "1"
        assert len(proxy.origin.asked) == 1
        asked = proxy.origin.asked[0]
        assert asked.values("x-end") == ["2"]
        assert not {"x-own", "te", "upgrade", "proxy-connection", "connection"} & {name for name, _ in asked.fields}


@pytest.mark.parametrize("field", ["X-Tenant: a", "Cookie: session=a", "Authorization: Bearer a"])
async def test_what_a_client_keeps_to_its_connection_is_no_part_of_its_request(field: str) -> None:
    """An answer that the origin gave without a field is not kept as the answer to it (7.6.1)."""

    async def by_tenant(asked: Asked) -> None:
        who = "".join(asked.values("x-tenant") + asked.values("cookie") + asked.values("authorization"))
        await asked.send(plain(f"for {who}".encode(), "Cache-Control: public, max-age=60", f"Vary: {name}"))

    name = field.partition(":")[0]
    async with between(by_tenant) as proxy:
        assert (await proxy.ask(request("/", field, f"Connection: close, {name}"))).body == b"for "
        assert (await proxy.ask(request("/", field))).body == b"for " + field.partition(": ")[2].encode()
        assert (await proxy.ask(request("/"))).body == b"for "


@pytest.mark.parametrize(
    "hosts",
    [
        "",
        "Host: a\r\nHost: b\r\n",
        *[f"Host: {host}\r\n" for host in ("a/b", "a?b", "a#b", "a b", "me@a", "[a", "[::1]x")],
    ],
)
async def test_a_request_means_one_host(hosts: str) -> None:
    """RFC 9112 3.2: 400, and nothing of it reaches an origin that might choose the other one."""
    async with between(fine) as proxy:
        assert (await proxy.ask(f"GET / HTTP/1.1\r\n{hosts}\r\n".encode())).status == 400
        assert not proxy.origin.asked
        assert (await proxy.ask(b"GET / HTTP/1.0\r\n\r\n")).status == 200


async def test_a_body_in_a_coding_that_is_not_known() -> None:
    """RFC 9112 6.1: 501, since the origin would take what is still encoded for the body."""
    async with between(fine) as proxy:
        head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"
        assert (await proxy.ask(head + b"0\r\n\r\n")).status == 501
        assert not proxy.origin.asked


async def test_via_and_the_clients_address() -> None:
    """7.6.3: each gateway adds itself, to requests and to responses; the origin learns who asks."""

    async def through(asked: Asked) -> None:
        await asked.send(plain(b"x", "Via: 1.0 first"))

    async with between(through) as proxy:
        reply = await proxy.ask(request("/", "Via: 1.1 outer", "X-Forwarded-For: 192.0.2.1"))
        assert reply.value("via") == "1.0 first, 1.1 tailrace"
        asked = proxy.origin.asked[0]
        assert asked.values("via") == ["1.1 outer, 1.1 tailrace"]
        assert asked.values("x-forwarded-for") == ["192.0.2.1, 127.0.0.1"]
        assert asked.values("x-forwarded-proto") == ["http"]


async def test_a_response_without_a_date_gets_one() -> None:
    """6.6.1: the moment at which it came, from the store too."""
    async with between(fine) as proxy:
        first, second = await proxy.ask(request()), await proxy.ask(request())
        assert first.value("date").endswith("GMT")
        assert first.value("date") == second.value("date")


@pytest.mark.parametrize("method", ["OPTIONS", "TRACE"])
async def test_max_forwards(method: str) -> None:
    """7.6.2: counted down, and at 0 answered here."""
    async with between(fine) as proxy:
        await proxy.ask(request("/", "Max-Forwards: 3", method=method))
        assert proxy.origin.asked[0].values("max-forwards") == ["2"]
        here = await proxy.ask(request("/", "Max-Forwards: 0", method=method))
        assert here.status == (200 if method == "OPTIONS" else 501)
        assert len(proxy.origin.asked) == 1


async def test_interim_responses_are_not_taken_for_the_final_one() -> None:
    """15.2: a 103 and its fields are dropped."""

    async def hinting(asked: Asked) -> None:
        await asked.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\nX-Hint: 1\r\n\r\n")
        await asked.send(plain(b"final", FRESH))

    async with between(hinting) as proxy:
        for _ in range(2):
            reply = await proxy.ask(request())
            assert (reply.status, reply.body, reply.values("x-hint")) == (200, b"final", [])
        assert len(proxy.origin.asked) == 1


async def test_a_body_streams_up_as_it_comes() -> None:
    """The origin has the first part before the client has sent the second, by length or in chunks."""
    arrived: asyncio.Queue[bytes] = asyncio.Queue()

    async def reading(asked: Asked) -> None:
        if asked.values("transfer-encoding"):
            for _ in range(2):
                await asked.reader.readline()
                arrived.put_nowait((await asked.reader.readexactly(7))[:5])
            await asked.reader.readexactly(5)
        else:
            for _ in range(2):
                arrived.put_nowait(await asked.reader.readexactly(5))
        await asked.send(plain(b"taken"))

    async with between(reading) as proxy:
        for head, first, second in (
            (b"Content-Length: 10", b"first", b"other"),
            (b"Transfer-Encoding: chunked", b"5\r\nfirst\r\n", b"5\r\nother\r\n0\r\n\r\n"),
        ):
            async with proxy.client() as client:
                client.writer.write(b"POST / HTTP/1.1\r\nHost: a\r\n" + head + b"\r\n\r\n" + first)
                assert await arrived.get() == b"first"
                assert (await client.ask(second)).body == b"taken"
                assert await arrived.get() == b"other"


async def test_a_body_streams_down_as_it_comes() -> None:
    """The client has the first part while the origin still holds the second, although the response is stored."""
    seen = asyncio.Event()

    async def streaming(asked: Asked) -> None:
        await asked.send(
            b"HTTP/1.1 200 OK\r\n" + FRESH.encode() + b"\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n"
        )
        await seen.wait()
        await asked.send(b"5\r\nother\r\n0\r\nX-Sum: 1\r\n\r\n")

    async with between(streaming) as proxy, proxy.client() as client:
        client.writer.write(request())
        await client.read_head()
        assert await client.reader.readexactly(10) == b"5\r\nfirst\r\n"
        seen.set()
        assert await client.reader.readexactly(15) == b"5\r\nother\r\n0\r\n\r\n"
        again = await client.ask(request())
        assert (again.body, len(proxy.origin.asked)) == (b"firstother", 1)


async def test_a_client_that_does_not_read_holds_up_nobody_else() -> None:
    """Others ask for themselves what would be stored if it took it; what they are sent is stored in its place."""
    body = b"x" * 9_000_000

    async def large(asked: Asked) -> None:
        await asked.send(plain(body, FRESH))

    async with between(large) as proxy, proxy.client() as client:
        client.writer.write(request())
        await client.read_head()
        # asyncio's reader takes 128 KB and no more; then what is on the way fills up.
        async with asyncio.timeout(20):
            replies = await asyncio.gather(*[proxy.ask(request()) for _ in range(3)])
        assert [len(reply.body) for reply in replies] == [len(body)] * 3
        assert (await proxy.ask(request())).value("cache-status").startswith("tailrace; hit")


async def test_a_large_body_is_never_held_as_a_whole() -> None:
    """Who reads slowly makes the origin wait, and gets every byte."""
    sent = 0

    async def large(asked: Asked) -> None:
        nonlocal sent
        await asked.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (8 * len(LARGE)))
        for _ in range(8 * 32):
            await asked.send(LARGE[: len(LARGE) // 32])
            sent += 1

    async with between(large) as proxy, proxy.client() as client:
        client.writer.write(request())
        reply = await client.read_head()
        await wait_until(lambda: sent > 0)
        for _ in range(200):
            await asyncio.sleep(0)
        assert sent < 8 * 32, "the origin waits for the client"
        for _ in range(8):
            assert await client.reader.readexactly(len(LARGE)) == LARGE
        assert reply.value("content-length") == str(8 * len(LARGE))


async def test_how_large_a_body_is_kept() -> None:
    """To the byte, whatever the store's own bound is; a longer one is passed on, and nobody waits for it."""
    size = 6 * 1024 * 1024

    async def sized(asked: Asked) -> None:
        await asked.send(plain(b"x" * (size + ("/more" in asked.line)), FRESH))

    async with between(sized, max_body=size) as proxy:
        assert [len((await proxy.ask(request("/most"))).body) for _ in range(2)] == [size] * 2
        assert len(proxy.origin.asked) == 1
        assert [len((await proxy.ask(request("/more"))).body) for _ in range(2)] == [size + 1] * 2
        assert len(proxy.origin.asked) == 3


async def test_the_body_is_asked_for_only_when_the_origin_wants_it() -> None:
    """10.1.1: the expectation goes on to the origin; its refusal comes back and no body was sent."""

    async def refusing(asked: Asked) -> None:
        if "/yes" in asked.line:
            await asked.send(b"HTTP/1.1 100 Continue\r\n\r\n")
            await asked.read_body()
            await asked.send(plain(b"thanks"))
        else:
            await asked.send(plain(b"no", status="413 Content Too Large"))

    async with between(refusing) as proxy:
        async with proxy.client() as client:
            head = request("/yes", "Expect: 100-continue", "Content-Length: 4", method="POST")
            client.writer.write(head)
            assert await client.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            reply = await client.ask(b"body")
            assert (reply.status, reply.body, proxy.origin.asked[0].body) == (200, b"thanks", b"body")
            assert proxy.origin.asked[0].values("expect") == ["100-continue"]
        async with proxy.client() as client:
            reply = await client.ask(request("/no", "Expect: 100-continue", "Content-Length: 4", method="POST"))
            assert (reply.status, reply.interim) == (413, [])


async def test_a_client_that_leaves_after_its_body_was_refused_is_noticed() -> None:
    """The origin's connection ends, however much it had still to say."""

    async def refusing(asked: Asked) -> None:
        await asked.send(b"HTTP/1.1 413 Content Too Large\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n")
        await asked.reader.read()

    async with between(refusing, timeout=60) as proxy:
        async with proxy.client() as client:
            client.writer.write(request("/", "Expect: 100-continue", "Content-Length: 4", method="POST"))
            assert (await client.read_head()).interim == []
        await wait_until(lambda: proxy.origin.open == 0)


async def test_head_has_no_body() -> None:
    """Its fields are the origin's, its length too."""

    async def head(asked: Asked) -> None:
        await asked.send(b"HTTP/1.1 200 OK\r\nContent-Length: 12345\r\n\r\n")

    async with between(head) as proxy, proxy.client() as client:
        for _ in range(2):
            reply = await client.ask(request(method="HEAD"))
            assert (reply.status, reply.value("content-length")) == (200, "12345")
        assert proxy.origin.connections == 1


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
async def test_responses_without_a_body(status: str) -> None:
    """A length that describes something else ends up on nobody's connection."""

    async def bare(asked: Asked) -> None:
        await asked.send(f'HTTP/1.1 {status}\r\nContent-Length: 5\r\nETag: "a"\r\n\r\n'.encode())

    async with between(bare) as proxy, proxy.client() as client:
        for _ in range(2):
            reply = await client.ask(request("/", 'If-None-Match: "b"'))
            assert (reply.status, reply.values("content-length"), reply.value("etag")) == (int(status[:3]), [], '"a"')


async def test_connections_are_kept_and_bounded_by_need() -> None:
    """One after the other use one connection; a body that the connection delimits ends it."""
    async with between(fine) as proxy, proxy.client() as client:
        for number in range(5):
            assert (await client.ask(request(f"/{number}"))).status == 200
        assert proxy.origin.connections == 1

    async def until_closed(asked: Asked) -> None:
        await asked.send(b"HTTP/1.0 200 OK\r\n" + FRESH.encode() + b"\r\n\r\nall of it")
        asked.writer.close()

    async with between(until_closed) as proxy:
        assert [(await proxy.ask(request())).body for _ in range(2)] == [b"all of it"] * 2
        assert len(proxy.origin.asked) == 1


async def test_an_idle_connection_that_was_closed() -> None:
    """What may be sent twice goes out again over a new one, what may not is answered 502 and not sent twice."""
    closing = True

    async def once(asked: Asked) -> None:
        await asked.read_body()
        if closing and len(proxy.origin.asked) % 2 == 0:
            asked.writer.transport.abort()  # it had come over a kept connection
        else:
            await asked.send(plain(b"x"))

    async with between(once) as proxy:
        assert (await proxy.ask(request())).status == 200
        assert (await proxy.ask(request())).status == 200
        assert len(proxy.origin.asked) == 3
        assert (await proxy.ask(request(method="POST", body=b"pay"))).status == 502
        assert [asked.body for asked in proxy.origin.asked if asked.body] == [b"pay"]


async def test_a_client_that_leaves_is_noticed() -> None:
    """The origin's connection ends, and nothing is stored."""
    begun = asyncio.Event()

    async def endless(asked: Asked) -> None:
        if begun.is_set():
            await asked.send(plain(b"new", FRESH))
            return
        await asked.send(b"HTTP/1.1 200 OK\r\n" + FRESH.encode() + b"\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n")
        begun.set()
        await asked.reader.read()

    async with between(endless) as proxy:
        async with proxy.client() as client:
            client.writer.write(request())
            await client.read_head()
            await begun.wait()
        await wait_until(lambda: proxy.origin.open == 0)
        assert (await proxy.ask(request())).body == b"new"
