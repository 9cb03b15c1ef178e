"""All services in one ASGI application, each below its own name. Pure ASGI: a table of prefixes and nothing else.

``/voice-dashboard/...`` is the optimised service, ``/voice-dashboard/baseline/...`` how it was before. ``/`` lists
them, ``/livez`` answers while the process serves, ``/readyz`` asks every service.
"""

from __future__ import annotations

import asyncio
import html
import importlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tailrace_services.lifespan import Lifespan
from tailrace_services.services import SERVICES

__all__ = ["Mounted", "ServicesApp", "create_app"]

Scope = dict[str, Any]

HEAD = (
    '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
    "<title>Tailrace</title><style>:root{color-scheme:light dark}"
    "body{font:16px/1.6 system-ui,sans-serif;margin:2rem auto;max-width:48rem;padding:0 1rem}</style>"
)


@dataclass(frozen=True, slots=True)
class Mounted:
    """An application and where it is."""

    prefix: str
    title: str
    app: Any
    gates_readiness: bool = True
    """Whether ``/readyz`` asks it."""


class ServicesApp:
    """Dispatch by the longest prefix; run every application's lifespan.

    Args:
        mounted: prefixes begin with a slash and end without one.
    """

    def __init__(self, mounted: list[Mounted]) -> None:
        self._mounted = sorted(mounted, key=lambda each: len(each.prefix), reverse=True)
        self._lifespans: dict[str, Lifespan] = {each.prefix: Lifespan(each.app) for each in self._mounted}

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        """Answer one connection, or run the lifespan."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        for each in self._mounted:
            if path == each.prefix or path.startswith(each.prefix + "/"):
                await each.app(self._below(scope, each), receive, send)
                return
        await self._own(scope, path, send)

    def _below(self, scope: Scope, each: Mounted) -> Scope:
        """The scope as the mounted application sees it: ``path`` stays whole, ``root_path`` grows (ASGI 2.4)."""
        child = dict(scope)
        child["root_path"] = scope.get("root_path", "") + each.prefix
        child["state"] = dict(self._lifespans[each.prefix].state)
        child.setdefault("app_root_path", scope.get("root_path", ""))
        return child

    async def _lifespan(self, receive: Any, send: Any) -> None:
        await receive()
        started: list[Lifespan] = []
        try:
            for prefix, lifespan in self._lifespans.items():
                try:
                    await lifespan.start()
                except Exception as error:
                    await send({"type": "lifespan.startup.failed", "message": f"{prefix}: {error}"})
                    return
                started.append(lifespan)
            await send({"type": "lifespan.startup.complete"})
            await receive()
        finally:
            failures = [failure for lifespan in reversed(started) if (failure := await lifespan.stop())]
        if failures:
            await send({"type": "lifespan.shutdown.failed", "message": "; ".join(failures)})
        else:
            await send({"type": "lifespan.shutdown.complete"})

    # --- its own pages ----------------------------------------------------------------------------

    async def _own(self, scope: Scope, path: str, send: Any) -> None:
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1000, "reason": "not found"})
            return
        if scope["method"] not in ("GET", "HEAD"):
            status, media, body = 404, "application/json", b'{"detail": "not found"}'
        elif path in ("", "/"):
            status, media, body = 200, "text/html; charset=utf-8", self._index(scope.get("root_path", "")).encode()
        elif path == "/livez":
            status, media, body = 200, "application/json", b'{"status": "ok"}'
        elif path == "/readyz":
            status, media, body = await self._readiness(scope)
        else:
            status, media, body = 404, "application/json", b'{"detail": "not found; / lists the services"}'
        headers = [(b"content-type", media.encode()), (b"content-length", b"%d" % len(body))]
        headers.append((b"cache-control", b"no-store"))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})

    def _index(self, root: str) -> str:
        rows = "".join(
            f'<li>{html.escape(each.title)}: <a href="{html.escape(root + each.prefix)}/docs">'
            f"{html.escape(each.prefix)}/docs</a></li>"
            for each in reversed(self._mounted)
        )
        return f"{HEAD}<h1>Tailrace</h1><ul>{rows}</ul></html>"

    async def _readiness(self, scope: Scope) -> tuple[int, str, bytes]:
        """200 when every service that gates readiness says it is ready, else 503; the body says which."""
        asked = [each for each in self._mounted if each.gates_readiness]
        statuses = await asyncio.gather(*(self._ask(scope, each) for each in asked))
        answers = {
            each.prefix: "ready" if status == 200 else "not ready" for each, status in zip(asked, statuses, strict=True)
        }
        ready = all(status == 200 for status in statuses)
        body = json.dumps({"status": "ready" if ready else "not ready", "services": answers}).encode()
        return 200 if ready else 503, "application/json", body

    async def _ask(self, scope: Scope, each: Mounted) -> int:
        """The status of the service's own ``/readyz``."""
        statuses: list[int] = []

        async def receive() -> Mapping[str, Any]:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Mapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                statuses.append(message["status"])

        path = scope.get("root_path", "") + each.prefix + "/readyz"
        child = {**self._below(scope, each), "method": "GET", "path": path, "raw_path": path.encode(), "headers": []}
        try:
            await each.app(child, receive, send)
        except Exception:
            return 500
        return statuses[0] if statuses else 500


def create_app() -> ServicesApp:
    """All services, optimised and baseline, configured from the environment.

    An application factory: ``uvicorn --factory tailrace_services.app:create_app``.
    """
    mounted = []
    for service in SERVICES:
        module = importlib.import_module(service.package)
        mounted.append(Mounted(f"/{service.name}", service.title, module.app))
        before = f"/{service.name}/baseline"
        mounted.append(Mounted(before, f"{service.title}, as it was", module.baseline_app, gates_readiness=False))
    return ServicesApp(mounted)
