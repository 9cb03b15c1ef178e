"""``tailrace cache proxy`` as somebody runs it."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys

from tests.integration.proxy.raw import Asked, Client, answering, plain, request


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


async def start(*arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tailrace.cli", "cache", "proxy", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def connected(port: int, process: asyncio.subprocess.Process) -> Client:
    while True:
        assert process.returncode is None
        try:
            return Client(*await asyncio.open_connection("127.0.0.1", port))
        except OSError:
            await asyncio.sleep(0.01)


async def test_the_command_serves_until_it_is_told_to_stop() -> None:
    """One line says where; answers come from the store; SIGTERM ends it, and it says nothing more."""

    async def fine(asked: Asked) -> None:
        modified = ["Last-Modified: Mon, 01 Jan 2024 00:00:00 GMT"] if "/old" in asked.line else []
        await asked.send(plain(b"hello", *modified))

    port = free_port()
    async with answering(fine) as origin:
        process = await start("--origin", origin.url, "--port", str(port), "--ttl", "/static/*=60")
        try:
            assert process.stdout is not None
            assert (await process.stdout.readline()).decode().strip() == f"http://127.0.0.1:{port} asks {origin.url}"
            client = await connected(port, process)
            for path in ("/old", "/static/a", "/new"):
                for _ in range(3):
                    assert (await client.ask(request(path))).body == b"hello"
            assert [asked.line.split(" ")[1] for asked in origin.asked] == ["/old", "/static/a", "/new", "/new", "/new"]
            await client.leave()
            process.send_signal(signal.SIGTERM)
            out, errors = await process.communicate()
            assert (out, errors) == (b"", b"")
            assert process.returncode in (0, -signal.SIGTERM)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()


async def test_what_cannot_be_an_origin_is_said_at_once() -> None:
    """Exit code 2 for an address that is none, 1 for a port that is taken."""
    for wrong in (["ftp://127.0.0.1"], ["http://127.0.0.1", "--ttl", "/a"], ["http://127.0.0.1", "--ttl", "a=1"]):
        process = await start("--port", str(free_port()), "--origin", *wrong)
        _, errors = await process.communicate()
        assert process.returncode == 2
        assert b"http://" in errors or b"PATH=SECONDS" in errors
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        process = await start("--origin", "http://127.0.0.1:1", "--port", str(taken.getsockname()[1]))
        _, errors = await process.communicate()
        assert process.returncode == 1
        assert b"in use" in errors
