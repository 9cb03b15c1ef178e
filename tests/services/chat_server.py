"""A server that speaks the Chat Completions protocol, over real sockets, on a thread of its own."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import uvicorn

__all__ = ["CUT", "LAST", "SILENCE", "ChatServer", "Streamed", "chunk", "completion"]

SILENCE, CUT = "silence", "cut"
"""Ends of a stream in its middle: nothing more comes, or the connection is gone."""
LAST = b"data: [DONE]\n\n"


@dataclass(frozen=True)
class Streamed:
    """An answer that is sent piece by piece."""

    pieces: Iterable[bytes | str]
    media_type: bytes = b"text/event-stream; charset=utf-8"


def chunk(content: str | None = None, *, finish_reason: str | None = None, **delta: Any) -> bytes:
    """An event of a streamed answer, as the protocol has them; ``content`` is a part of the model's words."""
    words = {} if content is None else {"content": content}
    choice = {"index": 0, "delta": words | delta, "finish_reason": finish_reason}
    body = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
    return b"data: %b\n\n" % json.dumps(body).encode()


def completion(content: object, **changed: Any) -> tuple[int, bytes]:
    """A status and a body as the protocol has them; ``content`` is the model's words, as JSON unless it is text."""
    message = {"role": "assistant", "content": content if isinstance(content, str) else json.dumps(content)}
    choice = {"index": 0, "finish_reason": changed.pop("finish_reason", "stop"), "message": message | changed}
    body = {"id": "c1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}
    return 200, json.dumps(body).encode()


class ChatServer:
    """Gives ``answers`` one after the other, the last for ever; ``None`` is silence until the client goes away.

    It thinks until ``gate`` is set, as it is at first.
    """

    def __init__(self) -> None:
        self.answers: list[tuple[int, bytes] | Streamed | None] = []
        self.requests: list[tuple[str, dict[str, str], dict[str, Any]]] = []
        self.streams = 0
        """Streams under way."""
        self.gate = threading.Event()
        self.gate.set()
        listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        config = uvicorn.Config(
            self._app, interface="asgi3", log_level="critical", lifespan="off", timeout_graceful_shutdown=0
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, args=([listener],), daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End it, whatever it is thinking about."""
        self.gate.set()
        self._server.should_exit = True
        self._thread.join()

    async def _app(self, scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        self.requests.append((f"{scope['method']} {scope['path']}", headers, json.loads(body)))
        await asyncio.to_thread(self.gate.wait)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if answer is None:
            await receive()
            return
        if isinstance(answer, Streamed):
            await self._stream(answer, receive, send)
            return
        status, content = answer
        head = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(content))]
        await send({"type": "http.response.start", "status": status, "headers": head})
        await send({"type": "http.response.body", "body": content})

    async def _stream(self, answer: Streamed, receive: Any, send: Any) -> None:
        self.streams += 1
        gone = asyncio.ensure_future(receive())
        try:
            head = [(b"content-type", answer.media_type)]
            await send({"type": "http.response.start", "status": 200, "headers": head})
            for piece in answer.pieces:
                if gone.done():
                    return
                if piece == SILENCE:
                    await gone
                    return
                if piece == CUT:
                    raise ConnectionAbortedError
                assert isinstance(piece, bytes)
                await send({"type": "http.response.body", "body": piece, "more_body": True})
                await asyncio.sleep(0)
            await send({"type": "http.response.body", "body": b""})
        finally:
            gone.cancel()
            self.streams -= 1
