"""``/query/rag``: the same answers as the original's, with citations that are true, and never from before a write."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.services.implementations import client_of
from tests.services.research_hub.endpoints.conftest import Service, StartService

from tailrace.db import Database
from tailrace.semantic import Embedder, embed_texts
from tailrace_services.research_hub.optimised.research import SEARCH

QUESTIONS = (
    "What do people say about training for a marathon?",
    "how should a beginner learn to program",
    "Which index funds are worth it?",
    "best camera for travel",
    "why is my phone battery empty so soon",
    "customers who do not pay",
    "zzz",
)


async def embed(url: str) -> None:
    database, embedder = Database(url), Embedder()
    try:
        await embed_texts(database, SEARCH, embedder)
    finally:
        await embedder.aclose()
        await database.aclose()


@pytest.fixture
async def pair_at(new_database: Callable[[str], str]) -> str:
    """A database with vectors for all posts."""
    url = new_database("optimised")
    await embed(url)
    return url


async def test_both_say_the_same(pair_at: str, start_service: StartService) -> None:
    """Ranking by one statement over kept postings and an index is ranking by reading everything."""
    anything = {"at": pair_at, "least_similarity": 0.0}
    async with start_service("optimised", **anything) as fast, start_service("baseline", **anything) as slow:
        for question in QUESTIONS:
            answers = [(await service.get("/query/rag", q=question, limit=3)).json() for service in (fast, slow)]
            assert answers[0] == answers[1]
            assert len(answers[0]["passages"]) == 3
            posted = await fast.post("/query/rag", {"q": question, "limit": 3})
            assert posted.json() == answers[0]


FAR = "asdf marathon qwertz uiop"
"""One word of it is in posts; of what it means none is near."""


async def test_far_from_all_posts_nothing_is_found(pair_at: str, start_service: StartService) -> None:
    """What is merely least far is no answer; a post with its words is one as long as nobody knows what it means."""
    async with start_service("optimised", at=pair_at) as fast, start_service("baseline", at=pair_at) as slow:
        nothing = {"answer": "", "quotes": [], "passages": []}
        for service in (fast, slow):
            assert (await service.get("/query/rag", q=FAR)).json() == nothing
        (post,) = await fast.sql(
            "UPDATE contents SET embedding = NULL WHERE id = (SELECT document FROM contents_postings "
            "WHERE word = 'marathon' ORDER BY weight DESC, document LIMIT 1) RETURNING id"
        )
        await fast.settled()
        answers = [(await service.get("/query/rag", q=FAR, limit=20)).json() for service in (fast, slow)]
        assert answers[0] == answers[1]
        assert [passage["content_id"] for passage in answers[0]["passages"]] == [post["id"]]
    async with start_service("optimised", at=pair_at, least_similarity=0.0) as anything:
        assert len((await anything.get("/query/rag", q=FAR)).json()["passages"]) == 5


async def test_quotes_stand_where_they_are_said_to(service: Service) -> None:
    """Each sentence of an answer is in the post of its citation, word by word; the words suffice without vectors."""
    answer = (await service.get("/query/rag", q=QUESTIONS[1])).json()
    assert answer["quotes"]
    for quote in answer["quotes"]:
        passage = answer["passages"][quote["citation"] - 1]
        found = await service.sql("SELECT body FROM contents WHERE id = $1", passage["content_id"])
        assert quote["text"] in found[0]["body"]
        assert f"{quote['text']} [{quote['citation']}]" in answer["answer"]


async def test_a_question_put_otherwise_is_answered_from_the_cache(optimised: Service) -> None:
    """Another text with the same meaning is a hit, another question is not, and any write to the posts ends both."""
    await optimised.post("/query/rag", {"q": "The model is loaded"})
    await optimised.settled()
    first = await optimised.post("/query/rag", {"q": "How do I train for a marathon?"})
    like = await optimised.post("/query/rag", {"q": "how can I train for a marathon please"})
    less = await optimised.post("/query/rag", {"q": "How do I train for a marathon?", "limit": 1})
    other = await optimised.post("/query/rag", {"q": "How do I not train for a marathon?"})
    found = [answer.headers["semantic-cache"] for answer in (first, like, less, other)]
    assert found == ["miss", "similar", "miss", "miss"]
    assert like.json() == first.json()
    assert len(less.json()["passages"]) == 1
    await optimised.sql(
        "INSERT INTO contents (author_id, platform, url, title, body, published_at) "
        "VALUES (1, 'x', 'https://x.example/1', 'Marathon', 'To train for a marathon, train for a marathon.', now())"
    )
    await optimised.settled()
    for question in ("how can I train for a marathon please", "How do I train for a marathon?"):
        new = await optimised.post("/query/rag", {"q": question})
        assert new.headers["semantic-cache"] in ("miss", "similar")
        assert new.json()["quotes"][0]["text"] == "To train for a marathon, train for a marathon."


async def test_questions_after_a_restart(start_service: StartService) -> None:
    """An application that is stopped and started again answers questions as before."""
    async with start_service("optimised") as service:
        first = await service.post("/query/rag", {"q": QUESTIONS[0]})
    async with client_of(service.app) as client:
        again, other = [await client.post("/query/rag", json={"q": question}) for question in QUESTIONS[:2]]
    assert again.json() == first.json()
    assert other.status_code == 200, other.text


@pytest.mark.parametrize(
    "asked", [{}, {"q": ""}, {"q": "x" * 1001}, {"q": "a\0b"}, {"q": "a", "limit": 0}, {"q": "a", "limit": 21}]
)
async def test_a_question_that_is_none_is_refused(service: Service, asked: dict[str, object]) -> None:
    """422, whichever way it is asked."""
    assert (await service.get("/query/rag", **asked)).status_code == 422
    assert (await service.post("/query/rag", asked)).status_code == 422
