"""Behind a hostile origin the proxy stays faithful: 502 or 504, or a broken connection; never a part shown as a whole,
never something stored that was not whole (RFC 9112 sections 6.3 and 8, RFC 9111 section 3.3)."""

from __future__ import annotations

import asyncio
import socket
import struct

import pytest
from tests.integration.proxy.raw import Asked, between, plain, request
from tests.waiting import wait_until

FRESH = b"Cache-Control: max-age=60\r\n"
HEAD = b"HTTP/1.1 200 OK\r\n" + FRESH


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nCache-Con",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\x16\x03\x01\x02\x00\x01",
        b"HTTP/9.9 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
        HEAD + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\nok",
        HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nok!",
        HEAD + b"Content-Length: 2, 2\r\n\r\nok",
        HEAD + b"Content-Length: -2\r\n\r\nok",
        HEAD + b"Content-Length: 99999999999999999999999\r\n\r\nok",
        HEAD + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        HEAD + b"Transfer-Encoding: nonsense\r\n\r\nok",
        HEAD + b"Bad Name: 1\r\nContent-Length: 2\r\n\r\nok",
        HEAD + b"Name : 1\r\nContent-Length: 2\r\n\r\nok",
        HEAD + b"X-Nul: a\x00b\r\nContent-Length: 2\r\n\r\nok",
        HEAD + b"X-Folded: a\r\n b\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 999 Odd\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 099 Odd\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: other\r\n\r\n",
        HEAD + b"X-Long: " + b"a" * 200_000,
        b"HTTP/1.1 100 Continue\r\nX-Long: aaaaaaaaaaaaaaaa\r\n\r\n" * 5000,
    ],
)
async def test_what_is_no_response(sent: bytes) -> None:
    """502 in the shape of a problem, nothing stored, and the connection is not used again."""

    async def wrong(asked: Asked) -> None:
        await asked.send(sent)
        asked.writer.close()

    async with between(wrong) as proxy:
        for _ in range(2):
            reply = await proxy.ask(request())
            assert (reply.status, reply.value("content-type"), reply.whole) == (502, "application/problem+json", True)
            assert reply.value("cache-control") == "no-store"
        assert proxy.origin.connections == 2


@pytest.mark.parametrize(
    ("sent", "came"),
    [
        (HEAD + b"Content-Length: 10\r\n\r\nshort", b"short"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n", b"short"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n5\r\nhal", b"shorthal"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n0\r\n", b"short"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n0\r\nTrailer: 1\r\n", b"short"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nshort\r\nXYZ\r\n", b"short"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n-1\r\n", b"short"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\nshort\n0\n\n", b""),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n0\r\nX: " + b"a" * 200_000, b"short"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n1;" + b"e" * 200_000, b"short"),
    ],
)
async def test_what_breaks_off(sent: bytes, came: bytes) -> None:
    """The client's connection is broken off too, before an end that it could take for the end; nothing is stored."""

    async def breaking(asked: Asked) -> None:
        await asked.send(sent)
        asked.writer.close()

    async with between(breaking) as proxy:
        for _ in range(2):
            reply = await proxy.ask(request())
            assert not reply.whole or reply.status == 502
            assert came.startswith(reply.body) or reply.status == 502
        assert len(proxy.origin.asked) == 2


async def test_a_reset_connection() -> None:
    """No end of the connection but an orderly one ends a body that nothing else delimits."""

    async def resetting(asked: Asked) -> None:
        await asked.send(HEAD + b"\r\nthe first half")
        lingering = asked.writer.get_extra_info("socket")
        lingering.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # ends with a reset
        await told.wait()
        asked.writer.transport.abort()

    told = asyncio.Event()
    async with between(resetting) as proxy:
        for _ in range(2):
            told.clear()
            async with proxy.client() as client:
                client.writer.write(request())
                await client.read_head()
                assert b"the first half" in await client.reader.readuntil(b"half")
                told.set()
                assert not (await client.reader.read()).endswith(b"0\r\n\r\n")
        assert len(proxy.origin.asked) == 2


@pytest.mark.parametrize("extra", [b"more", b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"])
async def test_more_than_was_announced(extra: bytes) -> None:
    """A longer body than its length is cut where the length says, and what follows answers nobody's request."""

    async def more(asked: Asked) -> None:
        await asked.send(plain(b"whole", "Cache-Control: no-store") + extra)

    async with between(more) as proxy, proxy.client() as client:
        for _ in range(5):
            reply = await client.ask(request())
            assert (reply.status, reply.body) == (200, b"whole")
        assert proxy.origin.connections == 5


async def test_nobody_is_there() -> None:
    """502 at once."""

    async def never(asked: Asked) -> None:
        raise AssertionError

    async with between(never) as proxy:
        proxy.origin.listening.close()
        reply = await proxy.ask(request())
        assert (reply.status, reply.value("content-type")) == (502, "application/problem+json")


async def test_an_origin_that_says_nothing() -> None:
    """504 when its time is over; the client does not wait for ever."""

    async def silent(asked: Asked) -> None:
        await asked.reader.read()

    async with between(silent, timeout=0.1) as proxy:
        reply = await proxy.ask(request())
        assert (reply.status, reply.value("content-type")) == (504, "application/problem+json")
        await wait_until(lambda: proxy.origin.open == 0)


async def test_an_origin_that_stops_in_the_middle() -> None:
    """The connection is broken off, and nothing is stored."""

    async def stopping(asked: Asked) -> None:
        await asked.send(HEAD + b"Content-Length: 10\r\n\r\nhalf")
        await asked.reader.read()

    async with between(stopping, timeout=0.1) as proxy:
        for _ in range(2):
            reply = await proxy.ask(request())
            assert (reply.status, reply.body, reply.whole) == (200, b"half", False)
        assert len(proxy.origin.asked) == 2


async def test_a_slow_origin_is_not_a_broken_one() -> None:
    """A response that comes byte by byte is whole, and is stored."""

    async def slow(asked: Asked) -> None:
        for byte in plain(b"slow but whole", "Cache-Control: max-age=60"):
            await asked.send(bytes([byte]))
            await asyncio.sleep(0)

    async with between(slow) as proxy:
        for _ in range(2):
            reply = await proxy.ask(request())
            assert (reply.body, reply.whole) == (b"slow but whole", True)
        assert len(proxy.origin.asked) == 1


async def test_an_early_answer_ends_the_upload() -> None:
    """What the origin answers before it has read the body reaches the client, and that connection is not used again."""

    async def early(asked: Asked) -> None:
        await asked.send(plain(b"no more", status="413 Content Too Large"))

    async with between(early) as proxy:
        async with proxy.client() as client:
            client.writer.write(request("/", "Content-Length: 100000000", method="PUT"))
            client.writer.write(b"x" * 100_000)
            assert (await client.read()).status == 413
        assert (await proxy.ask(request(method="PUT", body=b"small"))).status == 413
        assert proxy.origin.connections == 2


async def test_an_upload_that_breaks_off() -> None:
    """The origin's request is broken off as well, so that it never takes a part for the whole."""
    read: asyncio.Queue[bytes] = asyncio.Queue()

    async def reading(asked: Asked) -> None:
        read.put_nowait(await asked.reader.read())

    async with between(reading) as proxy:
        for head in (b"Content-Length: 100", b"Transfer-Encoding: chunked"):
            async with proxy.client() as client:
                client.writer.write(b"POST / HTTP/1.1\r\nHost: a\r\n" + head + b"\r\n\r\n5\r\nfirst\r\n")
                await wait_until(lambda: proxy.origin.open == 1)
            assert not (await read.get()).endswith(b"0\r\n\r\n")


@pytest.mark.parametrize("sent", [b"", b"HTTP/1.1 senseless\r\n\r\n", None])
async def test_a_write_of_which_nobody_knows_whether_it_was_done(sent: bytes | None) -> None:
    """What it may have changed is ended: it broke off or said nonsense, or its client did not wait for its answer."""
    done = 0
    begun = asyncio.Event()

    async def doing(asked: Asked) -> None:
        nonlocal done
        if asked.line.startswith("GET"):
            await asked.send(plain(b"%d" % done, "Cache-Control: max-age=60"))
            return
        done += 1
        begun.set()
        if sent is None:
            await asked.reader.read()
        else:
            await asked.send(sent)
        asked.writer.transport.abort()

    async with between(doing) as proxy:
        assert (await proxy.ask(request())).body == b"0"
        async with proxy.client() as client:
            client.writer.write(request(method="DELETE" if sent is None else "POST"))
            if sent is None:
                await begun.wait()
            else:
                assert (await client.read()).status == 502
        async with asyncio.timeout(20):
            while (await proxy.ask(request())).body != b"1":
                pass
        assert done == 1, "it is not tried again for a client that has left"


async def test_a_write_that_nobody_was_asked_for() -> None:
    """It has changed nothing, and what is stored is needed as long as the origin is away."""
    async with between(lambda asked: asked.send(plain(b"stored", "Cache-Control: max-age=60"))) as proxy:
        assert (await proxy.ask(request())).body == b"stored"
        await proxy.origin.stop()
        proxy.origin.listening.close()
        assert (await proxy.ask(request(method="DELETE"))).status == 502
        assert (await proxy.ask(request())).body == b"stored"


async def test_what_is_stored_stands_in_for_a_broken_origin() -> None:
    """RFC 9111 4.2.4: a stale response, where it may be used, when the origin does not answer."""
    broken = False

    async def sometimes(asked: Asked) -> None:
        if broken:
            asked.writer.transport.abort()
        else:
            await asked.send(plain(b"kept", "Cache-Control: max-age=60", "Age: 60"))

    async with between(sometimes) as proxy:
        await proxy.ask(request())
        broken = True
        reply = await proxy.ask(request())
        assert (reply.status, reply.body) == (200, b"kept")
        assert "detail=origin-failed" in reply.value("cache-status")
