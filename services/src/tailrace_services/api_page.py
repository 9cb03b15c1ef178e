"""The page of a service's API: Swagger UI over its OpenAPI document, at ``/docs``. Touches its files.

Everything comes from the service itself, so that it works on a machine that reaches no other; FastAPI's own pages have
their script and style from a CDN. The wheel, ``fastapi-swagger``, is taken for its files alone.
"""

from __future__ import annotations

import html
from functools import lru_cache
from importlib.metadata import version
from importlib.resources import files

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

__all__ = ["PATH", "add_api_page"]

PATH = "/docs"
CARRIER = "fastapi-swagger"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""What the page may do: run this service's scripts and ask this service. Swagger UI writes styles into elements."""
KEPT = "public, max-age=31536000, immutable"
"""The files' addresses have the wheel's version, so that what is kept is never another's."""

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="icon" type="image/png" href="docs/favicon-32x32.png?{version}">
<link rel="stylesheet" href="docs/swagger-ui.css?{version}">
<link rel="stylesheet" href="docs/page.css?{version}">
</head>
<body>
<noscript>This page needs scripts; <a href="openapi.json">openapi.json</a> has all of it.</noscript>
<main id="api"></main>
<script src="docs/swagger-ui-bundle.js?{version}"></script>
<script src="docs/page.js?{version}"></script>
</body>
</html>
"""
# Addresses are relative, so that they are right below any prefix and behind any proxy.

SCRIPT = """"use strict";
const dark = matchMedia("(prefers-color-scheme: dark)");
const follow = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
dark.addEventListener("change", follow);
follow();
SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#api",
  deepLinking: true,
  showExtensions: true,
  showCommonExtensions: true,
  // Another's service that would be sent the document's address.
  validatorUrl: null,
});
"""

STYLE = """:root { color-scheme: light dark; }
body { margin: 0; }
"""

RESOURCES = {
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "favicon-32x32.png": "image/png",
}
OWN = {"page.js": (SCRIPT, "text/javascript"), "page.css": (STYLE, "text/css")}


def add_api_page(app: FastAPI) -> None:
    """Serve the page and its files; the application's own is to be off (``docs_url=None``)."""
    page = PAGE.format(title=html.escape(app.title), version=version(CARRIER)).encode()

    async def show(_: Request) -> Response:
        return HTMLResponse(page, headers={"content-security-policy": POLICY, "cache-control": "no-cache"})

    async def file(request: Request) -> Response:
        name: str = request.path_params["name"]
        if name not in RESOURCES and name not in OWN:
            return Response(status_code=404)
        content, media_type = _file(name)
        return Response(content, media_type=media_type, headers={"cache-control": KEPT})

    app.add_route(PATH, show, include_in_schema=False)
    app.add_route(PATH + "/{name}", file, include_in_schema=False)


@lru_cache(maxsize=len(RESOURCES) + len(OWN))
def _file(name: str) -> tuple[bytes, str]:
    """Its bytes, read once for all services of a process, and its type."""
    if name in OWN:
        text, media_type = OWN[name]
        return text.encode(), media_type
    return (files("fastapi_swagger") / "resources" / name).read_bytes(), RESOURCES[name]
