"""Pages for people: they come whole from the service, on a machine that reaches no other."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import httpx2
import pytest
from tests.integration.fastapi.serving import served
from tests.services.browser import shown, text_of

from tailrace_services.app import Mounted, ServicesApp
from tailrace_services.services import SERVICES, Service

ELSEWHERE = re.compile(
    r"""(?:\b(?:src|href|action|data|content)\s*=\s*["']?|url\(\s*["']?|@import\s+["']?)(?:https?:)?//"""
)
"""What a browser fetches, or sends, or goes to, if it is at another host."""


@pytest.fixture(params=SERVICES, ids=lambda service: service.name)
def app(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> ServicesApp:
    """A service in both implementations, which are not started: pages need no database."""
    service: Service = request.param
    monkeypatch.setenv("TAILRACE_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
    monkeypatch.setenv("TAILRACE_VALKEY_URL", "redis://127.0.0.1:1/0")
    made = importlib.import_module(f"{service.package}.applications")
    return ServicesApp(
        [
            Mounted("/now", service.title, made.app_from_environment()),
            Mounted("/before", f"{service.title}, as it was", made.baseline_app_from_environment()),
        ]
    )


async def test_no_page_has_anything_from_another_host(app: ServicesApp) -> None:
    """The list of services, the pages of both APIs with all their files, and the status: complete, and of this host."""
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://shop.example") as client:
        left = ["/", "/now/docs", "/before/docs", "/now/monitoring/status"]
        seen: set[str] = set()
        while left:
            address = left.pop()
            seen.add(address)
            answer = await client.get(address, headers={"accept": "text/html"})
            assert answer.status_code == 200, address
            media_type = answer.headers["content-type"].partition(";")[0]
            # Swagger UI's script names its makers, for people who look at errors; its policy keeps it from asking them.
            if media_type != "image/png" and not address.partition("?")[0].endswith("swagger-ui-bundle.js"):
                assert not ELSEWHERE.search(answer.text), address
            if media_type == "text/html":
                named = [answer.url.join(name) for name in re.findall(r'(?:src|href)="([^"]+)"', answer.text)]
                left += [found for url in named if (found := url.raw_path.decode()) not in seen]
        assert {"/now/openapi.json", "/before/openapi.json"} <= seen
        assert len([address for address in seen if "/docs/" in address]) == 10


async def test_nothing_else_is_fetched_by_the_page_of_an_api(app: ServicesApp) -> None:
    """The page may run this service's scripts and ask this service; FastAPI's own pages, with a CDN's, are off."""
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://shop.example") as client:
        for prefix in ("/now", "/before"):
            policy = (await client.get(f"{prefix}/docs")).headers["content-security-policy"]
            rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
            assert (rules["default-src"], rules["script-src"], rules["connect-src"]) == ("'none'", "'self'", "'self'")
            assert (await client.get(f"{prefix}/redoc")).status_code == 404
            assert (await client.get(f"{prefix}/docs/main.py")).status_code == 404


async def test_browsers_show_an_api(app: ServicesApp, tmp_path: Path) -> None:
    """Every address of the document is on the page, and the browser has nothing to complain of."""
    async with served(app, lifespan="off") as port:
        base = f"http://127.0.0.1:{port}"
        async with httpx2.AsyncClient(base_url=base) as client:
            document = (await client.get("/before/openapi.json")).json()
        page, complaints = await shown(f"{base}/before/docs", tmp_path)
    text = text_of(page)
    assert document["info"]["title"] in text
    unbroken = text.replace(" ", "").replace("\u200b", "")  # addresses may be broken anywhere
    assert [path for path in document["paths"] if path not in unbroken] == []
    assert complaints == []
