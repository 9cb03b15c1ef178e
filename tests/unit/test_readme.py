"""What the README shows runs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

README = Path(__file__).parents[2] / "README.md"


def blocks() -> list[str]:
    """The README's Python, in order."""
    return re.findall(r"```python\n(.*?)```", README.read_text(), flags=re.DOTALL)


async def ask(app: Any, path: str, headers: list[tuple[bytes, bytes]]) -> tuple[int, dict[bytes, bytes], bytes]:
    """One GET, straight through ASGI."""
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(b"host", b"example.org"), *headers],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
    }
    await app(scope, receive, send)
    body = b"".join(message.get("body", b"") for message in sent if message["type"] == "http.response.body")
    return sent[0]["status"], dict(sent[0]["headers"]), body


async def test_the_lines_to_adopt_it_run() -> None:
    """Each example as it is printed: the second answer comes from the cache, the rest is there."""
    names: dict[str, Any] = {"__name__": "example"}
    for block in blocks():
        exec(compile(block, str(README), "exec"), names)
    app = names["app"]
    async with names["tailrace"].running():
        for path, expected in (("/prices", b'{"gold":4100}'), ("/orders/summary", b"{}")):
            first = await ask(app, path, [(b"x-user", b"7")])
            second = await ask(app, path, [(b"x-user", b"7")])
            assert (first[0], first[2]) == (second[0], second[2]) == (200, expected)
            assert b"hit" in second[1][b"cache-status"]
            assert b"x-request-id" in second[1]
        assert (await ask(app, "/livez", []))[0] == 200
    assert len(names["OBJECTS"]) == 2
