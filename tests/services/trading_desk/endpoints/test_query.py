"""Questions about documents: both implementations say the same, as a whole and as events, and nothing outlives them."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing
from typing import Any

import asyncpg
import httpx
import pytest
from pydantic import SecretStr
from tests.services.chat_server import CUT, LAST, ChatServer, Streamed, chunk
from tests.services.implementations import client_of
from tests.services.trading_desk.endpoints.conftest import NOW, Service, StartService
from tests.services.trading_desk.endpoints.documents import QUESTIONS, TEXTS, load
from tests.waiting import wait_until

from tailrace.jobs import install_tables, working
from tailrace.settings import HttpSettings, Settings
from tailrace_services.chat_endpoint import ChatSettings
from tailrace_services.clock import FrozenClock
from tailrace_services.trading_desk.answers import upkeep
from tailrace_services.trading_desk.answers.default_corpus import python_sources
from tailrace_services.trading_desk.answers.options import AnswerOptions
from tailrace_services.trading_desk.jobs import JOBS
from tailrace_services.trading_desk.keys import api_key
from tailrace_services.trading_desk.optimised import answers
from tailrace_services.trading_desk.optimised.application import create_app
from tailrace_services.trading_desk.proof.asking import COMPARED

TWO_WAYS = {
    "a": "# How do I fix a feed?\n\nAsk the desk for another one.\n",
    "b": "# How do I repair a feed?\n\nRestart the machine that it is on.\n",
}
"""Documents that answer differently what guards take for one question."""


async def ask(service: Service, question: str, **more: Any) -> httpx.Response:
    return await service.ask("POST", "/query", body={"q": question, **more}, trader=None)


def events_of(response: httpx.Response) -> list[tuple[str, Any]]:
    """The events of a response that is there as a whole."""
    assert response.status_code == 200, response.text
    found = []
    for block in response.text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if ": " in line)
        if "event" in fields:
            found.append((fields["event"], json.loads(fields["data"])))
    return found


def counted_in(metrics: str) -> dict[str, int]:
    """Hits that were audited, by what came of it, of what ``/metrics`` says."""
    said = dict.fromkeys(("right", "wrong"), 0)
    return said | {outcome: int(float(count)) for outcome, count in COMPARED.findall(metrics)}


async def test_both_say_the_same(loaded: str, start_service: StartService) -> None:
    """Ranking by one statement over kept postings and an index is ranking by reading everything."""
    async with start_service("optimised", at=loaded) as fast, start_service("baseline", at=loaded) as slow:
        for question in QUESTIONS:
            for limit in (1, 5):
                one, other = [await ask(service, question, limit=limit) for service in (slow, fast)]
                assert one.status_code == 200, one.text
                assert other.json() == one.json()
                assert len(one.json()["sources"]) == (0 if question == "zzz" else limit)
                assert (one.headers["semantic-cache"], other.headers["semantic-cache"]) == ("none", "miss")
        states = [(await service.get("/query/documents")).json() for service in (slow, fast)]
        assert states[0] == states[1]
        assert states[0] == {"corpora": [{"corpus": "documents", "documents": 4, "passages": 5, "waiting": 0}]}


NONSENSE = (
    "asdf qwer",
    "Comment faire cuire un œuf?",
    "今天天气怎么样",
    "what is the",
    "How tall is Mount Everest?",
    "?!",
)


@pytest.mark.parametrize("name", ["baseline", "optimised"])
async def test_what_has_nothing_to_do_with_the_documents_has_no_answer(
    loaded: str, start_service: StartService, name: str
) -> None:
    """It is said that nothing was found, as a whole and as events; a single word that stands there is looked up."""
    async with start_service(name, at=loaded) as service:
        for question in NONSENSE:
            answer = await ask(service, question)
            assert (answer.status_code, answer.json()["answer"], answer.json()["sources"]) == (200, "", []), question
            events = events_of(await service.ask("GET", "/query/stream", trader=None, q=question))
            assert [event for event, _ in events] == ["start", "cache", "status", "status", "sources", "done"]
            assert events[3][1] == {"stage": "answering", "passages": 0}
            assert events[4][1] == {"sources": []}
        for question in (*QUESTIONS[:-1], "invoice"):
            assert (await ask(service, question)).json()["sources"], question
    async with start_service(name, at=loaded, answers=AnswerOptions(least_similarity=0.0)) as service:
        assert (await ask(service, NONSENSE[0])).json()["sources"]


@pytest.mark.parametrize("name", ["baseline", "optimised"])
async def test_nothing_is_refused_while_passages_wait_for_their_vectors(
    loaded: str, start_service: StartService, name: str
) -> None:
    """The one that answers may be among them: it is found by its words until its meaning is known."""
    connection = await asyncpg.connect(loaded)
    async with start_service(name, at=loaded) as service:
        await connection.execute("UPDATE docs.chunks SET embedding = NULL WHERE path = 'margin'")
        if name == "optimised":
            await wait_until(service.app.state.tailrace.freshness.fence)
        for question in ("How tall is Mount Margin?", NONSENSE[0]):
            assert (await ask(service, question)).json()["sources"][0]["path"]
    await connection.close()


@pytest.mark.parametrize("name", ["baseline", "optimised"])
async def test_a_language_model_words_answers(loaded: str, start_service: StartService, name: str) -> None:
    """With its own words and the numbers of sources, kept like any; what stands in for it says so and is not kept."""
    sentences = {"sentences": [{"text": "An hour, no more.", "passages": [1]}]}
    good = Streamed([chunk(json.dumps(sentences)), chunk(finish_reason="stop"), LAST])
    with closing(ChatServer()) as model:
        model.answers = [good]
        options = AnswerOptions(chat=ChatSettings(model.url, "author-1", SecretStr("")))
        async with start_service(name, at=loaded, answers=options) as service:
            await service.settled()
            first, again = [await ask(service, QUESTIONS[0], limit=2) for _ in range(2)]
            assert first.json() == again.json()
            assert (first.json()["answer"], first.json()["degraded"]) == ("An hour, no more. [1]", False)
            assert first.json()["wording"] == "chat-completions-1/author-1"
            assert len(first.json()["sources"]) == 2
            assert again.headers["semantic-cache"] == {"baseline": "none", "optimised": "exact"}[name]
            assert len(model.requests) == {"baseline": 2, "optimised": 1}[name]
            model.answers = [Streamed([chunk(json.dumps(sentences)[:-1]), CUT])]
            for _ in range(2):
                model.requests.clear()
                instead = (await ask(service, QUESTIONS[1])).json()
                assert (instead["wording"], instead["degraded"]) == ("extractive-1", True)
                assert "An hour" not in instead["answer"]
                assert "Roll a position two days before expiry. [" in instead["answer"]
                assert len(model.requests) == 1


@pytest.mark.parametrize("name", ["baseline", "optimised"])
async def test_a_stream_is_the_answer(loaded: str, start_service: StartService, name: str) -> None:
    """Its events come in the order that was promised; its pieces make up what is answered as a whole."""
    async with start_service(name, at=loaded) as service:
        whole = (await ask(service, QUESTIONS[0])).json()
        got = events_of(await service.ask("GET", "/query/stream", trader=None, q=QUESTIONS[0]))
        posted = events_of(await service.ask("POST", "/query/stream", trader=None, body={"q": QUESTIONS[0]}))
    names = [event for event, _ in got]
    assert names == ["start", "cache", "status", "status", *["chunk"] * names.count("chunk"), "sources", "done"]
    assert posted == got
    said = dict(got)
    assert said["start"] == {"question": QUESTIONS[0], "corpus": "documents"}
    assert said["cache"]["outcome"] == ("none" if name == "baseline" else "exact")
    assert "".join(data["text"] for event, data in got if event == "chunk") == whole["answer"]
    assert said["sources"]["sources"] == whole["sources"]
    assert said["done"] == {"chunks": names.count("chunk"), "wording": "extractive-1", "degraded": False}
    assert whole["answer"].startswith("A margin call is answered within one hour. [1]")
    assert whole["sources"][0]["path"] == "margin"


async def test_answers_are_kept_until_their_documents_change(
    loaded: str, start_service: StartService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A question put otherwise gets the kept answer, as the same events; any write to the corpus ends it."""
    monkeypatch.setattr(answers, "AUDIT", 0.0)  # an audited question has an answer of its own from then on
    async with start_service("optimised", at=loaded) as service:
        await service.settled()
        first = await ask(service, "How do I roll a position?")
        like = await ask(service, "how can I roll a position please")
        other = await ask(service, "How do I not roll a position?")
        found = [answer.headers["semantic-cache"] for answer in (first, like, other)]
        assert found == ["miss", "similar", "miss"]
        assert like.json() == first.json()
        streams = [
            events_of(await service.ask("GET", "/query/stream", trader=None, q=question))
            for question in ("How do I roll a position?", "Please, how can I roll a position?")
        ]
        assert [dict(each)["cache"]["outcome"] for each in streams] == ["exact", "similar"]
        assert dict(streams[1])["cache"]["asked"] == "how do i roll a position"
        assert streams[0][2:] == streams[1][2:]
        await load(loaded, {**TEXTS, "rolling": "# Rolling\n\nRoll a position by asking the execution desk.\n"})
        await service.settled()
        new = await ask(service, "how can I roll a position please")
        assert new.headers["semantic-cache"] == "miss"
        assert new.json()["answer"].startswith("Roll a position by asking the execution desk. [1]")


async def test_audits_of_similar_hits_are_counted(
    new_database: Callable[[str], str], start_service: StartService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who watches ``/metrics`` sees how many were audited and how many of those were wrong; one that was is not served
    again to a question as far away."""
    monkeypatch.setattr(answers, "AUDIT", 1.0)
    url = new_database("optimised")
    await load(url, TWO_WAYS)
    async with start_service("optimised", at=url, answers=AnswerOptions(threshold=0.7)) as service:
        await service.settled()

        async def audited(right: int, wrong: int) -> bool:
            text = (await service.get("/metrics")).text
            return counted_in(text) == {"right": right, "wrong": wrong}

        found = []
        for question, right, wrong in (
            ("How do I repair a feed?", 0, 0),
            ("How can I repair a feed?", 1, 0),
            ("How do I fix a feed?", 1, 1),  # a synonym, for which there is another passage
        ):
            found.append(await ask(service, question, limit=1))
            await wait_until(lambda right=right, wrong=wrong: audited(right, wrong))
        again = await ask(service, "How do I fix a feed?", limit=1)
    assert [each.headers["semantic-cache"] for each in found] == ["miss", "similar", "similar"]
    assert {each.json()["answer"] for each in found} == {"Restart the machine that it is on. [1]"}
    assert (again.headers["semantic-cache"], again.json()["answer"]) == ("exact", "Ask the desk for another one. [1]")


async def test_operators_are_told_why(loaded: str) -> None:
    """Figures and reasons, for who shows the admin token; to everybody else, traders too, these do not exist."""
    http = HttpSettings(admin_token=SecretStr("for operators"))
    app = create_app(Settings(database_url=SecretStr(loaded), http=http), clock=FrozenClock(NOW))
    async with client_of(app) as client:
        await wait_until(app.state.tailrace.freshness.fence)
        await client.post("/query", json={"q": "How do I roll a position?"})
        asked = {"q": "how can I not roll a position please"}
        for headers in ({}, {"authorization": "Bearer guessed"}, {"x-api-key": api_key(1, 1)}):
            for path in ("/query/statistics", "/query/explain"):
                assert (await client.get(path, params=asked, headers=headers)).status_code == 404
        shown = {"authorization": "Bearer for operators"}
        said = (await client.get("/query/explain", params=asked, headers=shown)).json()
        assert (said["outcome"], said["candidates"][0]["veto"]) == ("miss", "negation")
        counted = (await client.get("/query/statistics", headers=shown)).json()
        assert (counted["asked"], counted["outcomes"]) == (1, {"miss": 1})


async def test_a_corpus_is_a_world_of_its_own(loaded: str, start_service: StartService) -> None:
    """Nothing of another is found, and no answer of another is given; one that is not there is 404."""
    await load(loaded, {"margin": "A margin call is answered by nobody."}, "elsewhere")
    async with start_service("optimised", at=loaded) as service:
        await service.settled()
        one = await ask(service, QUESTIONS[0])
        other = await ask(service, QUESTIONS[0], corpus="elsewhere")
        assert other.headers["semantic-cache"] == "miss"
        assert other.json()["answer"] == "A margin call is answered by nobody. [1]"
        assert other.json()["answer"] not in one.json()["answer"]
        for path in ("/query", "/query/stream"):
            missing = await service.ask("POST", path, trader=None, body={"q": "a", "corpus": "nowhere"})
            assert (missing.status_code, missing.json()["code"]) == (404, "corpus_not_found")


async def test_without_documents_there_is_no_answer(service: Service) -> None:
    """404 says that none are loaded yet, rather than that nothing is known."""
    missing = await ask(service, "a")
    assert missing.status_code == 404
    assert "no documents are loaded yet" in missing.text


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"q": ""},
        {"q": "x" * 1001},
        {"q": "a\0b"},
        {"q": "a", "limit": 0},
        {"q": "a", "limit": 21},
        {"q": "a", "corpus": ""},
    ],
)
async def test_a_question_that_is_none_is_refused(service: Service, asked: dict[str, object]) -> None:
    """422, whichever way it is asked."""
    assert (await service.ask("POST", "/query", trader=None, body=asked)).status_code == 422
    assert (await service.ask("POST", "/query/stream", trader=None, body=asked)).status_code == 422
    assert (await service.ask("GET", "/query/stream", trader=None, **asked)).status_code == 422


@pytest.mark.parametrize("name", ["baseline", "optimised"])
async def test_pythons_own_documents_are_loaded_where_there_are_none(
    new_database: Callable[[str], str], start_service: StartService, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """In the background, once, by a worker if there are any; where others were loaded it is left to them."""
    few = [source for source in python_sources() if source.path in ("topics/pass", "topics/break")]
    monkeypatch.setattr(upkeep, "python_sources", lambda: few)
    url = new_database(name)
    options = AnswerOptions(load_default=True)
    settings = Settings(database_url=SecretStr(url))
    await install_tables(url)

    async def ready(service: Service) -> bool:
        found = (await service.get("/query/documents")).json()["corpora"]
        return [(each["corpus"], each["documents"], each["waiting"]) for each in found] == [("python", 2, 0)]

    async with start_service(name, at=url, answers=options) as service, working(JOBS, settings):
        await wait_until(lambda: ready(service), timeout=120.0)
        answer = (await ask(service, "What happens when pass is executed?")).json()
        assert answer["sources"][0]["path"] == "topics/pass"
    await load(url)
    async with start_service(name, at=url, answers=options) as service:
        answer = (await ask(service, QUESTIONS[0])).json()
        assert answer["corpus"] == "documents"


async def test_the_default_documents_are_bounded() -> None:
    """Loading them must not keep a machine busy for long: some 22 s of one core."""
    sources = python_sources()
    assert sum(len(source.content()) for source in sources) < 1_000_000
    assert {"topics/with", "library/re"} <= {source.path for source in sources}
