"""A server that speaks the Chat Completions protocol, over real sockets, on a thread of its own."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from typing import Any

import uvicorn

__all__ = ["ChatServer", "completion"]


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
        self.answers: list[tuple[int, bytes] | None] = []
        self.requests: list[tuple[str, dict[str, str], dict[str, Any]]] = []
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
        status, content = answer
        head = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(content))]
        await send({"type": "http.response.start", "status": status, "headers": head})
        await send({"type": "http.response.body", "body": content})
