"""The page where people ask the documents: ``GET /query``. Touches its file, once.

The page asks ``/query/stream`` as any browser's ``EventSource`` does. ``?q=`` in its address asks at once, so that a
question can be sent to somebody else.
"""

from __future__ import annotations

import re
from base64 import b64encode
from functools import lru_cache
from hashlib import sha256
from importlib.resources import files

from fastapi import APIRouter, Response

__all__ = ["add_query_page"]


def add_query_page(router: APIRouter) -> None:
    """Serve the page at the router's prefix, with a policy that lets it run its own script and style, ask its own
    service, and nothing else."""

    @router.get("", include_in_schema=False)
    async def page() -> Response:
        content, policy = _read()
        headers = {"content-security-policy": policy, "cache-control": "no-cache"}
        return Response(content, headers=headers, media_type="text/html; charset=utf-8")


@lru_cache(maxsize=1)
def _read() -> tuple[bytes, str]:
    text = (files("tailrace_services.trading_desk.api") / "query_page.html").read_text(encoding="utf-8")
    script, style = (_digest(text, tag) for tag in ("script", "style"))
    return text.encode(), (
        f"default-src 'none'; script-src {script}; style-src {style}; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def _digest(page: str, tag: str) -> str:
    """How a policy names what is within the page's only element of that kind."""
    [content] = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
    return f"'sha256-{b64encode(sha256(content.encode()).digest()).decode()}'"
