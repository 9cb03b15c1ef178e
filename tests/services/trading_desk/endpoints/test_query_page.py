"""The page where people ask the documents, in Chromium: it shows what the service said, and text is text."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlencode

from tests.integration.fastapi.serving import served
from tests.services.browser import shown, text_of
from tests.services.trading_desk.endpoints.conftest import StartService
from tests.services.trading_desk.endpoints.documents import QUESTIONS

MARKUP = "<img src=x onerror=document.title=1> <b>feed</b>?"


async def test_a_browser_shows_the_answer_its_sources_and_whether_it_was_kept(
    loaded: str, start_service: StartService, tmp_path: Path
) -> None:
    """Asked twice, by way of the page's address; the second answer is the first one, from the cache."""
    question = QUESTIONS[0]
    async with start_service("optimised", at=loaded) as service, served(service.app, lifespan="off") as port:
        page = f"http://127.0.0.1:{port}/query?{urlencode({'q': question})}"
        first, complaints = await shown(page, tmp_path)
        second, _ = await shown(page, tmp_path)
        said = (await service.ask("POST", "/query", body={"q": question}, trader=None)).json()
    assert complaints == []
    for elements, found in ((first, "Made now"), (second, "From the cache: this was asked before")):
        text = text_of(elements)
        assert found in text
        assert " ".join(said["answer"].split()) in text
        assert "Done." in text
        sources = re.findall(r"(?s)<summary>(.*?)</summary>", elements)
        assert len(sources) == len(said["sources"]) == 5
        assert "documents (4)" in text


async def test_what_is_asked_and_what_is_loaded_is_text(
    loaded: str, start_service: StartService, tmp_path: Path
) -> None:
    """Neither a question nor a name in the page's address becomes an element or runs; a refusal says why."""
    async with start_service("baseline", at=loaded) as service, served(service.app, lifespan="off") as port:
        for query in ({"q": MARKUP}, {"q": "a feed", "corpus": MARKUP}):
            elements, _ = await shown(f"http://127.0.0.1:{port}/query?{urlencode(query)}", tmp_path)
            assert "<title>Ask the documents</title>" in elements
            assert "<img" not in elements
            assert "<b>" not in elements
            assert ("there is no corpus '<img src=x" in text_of(elements)) is ("corpus" in query)


async def test_the_page_may_do_nothing_else(loaded: str, start_service: StartService) -> None:
    """Its policy names its own script and style by their digests, and lets it ask its own service only."""
    async with start_service("baseline", at=loaded) as service:
        answer = await service.ask("GET", "/query", trader=None)
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "connect-src 'self'" in policy
    assert "unsafe" not in policy
    assert not re.search(r"(?i)https?://|\bon[a-z]+=|style=|innerHTML", answer.text)
