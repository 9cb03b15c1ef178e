"""PostgreSQL's manual asked what people have asked: how often the page that answers is found, and how soon.

Debian's manual (``postgresql-doc-15``) is loaded as ``tailrace docs load`` does it. Real questions (StaQC) whose pages
somebody has named are searched by words and meaning together, and by either alone. A page stands where its first
passage does; *hit@1* and *hit@5* are shares of the questions, *MRR* is the mean of one over the place, 0 beyond 10.
*Refused* is the share of questions to which nothing is said to be found: of those, and of others that have nothing to
do with PostgreSQL (CLINC150's out of scope).
"""

from __future__ import annotations

import asyncio
import csv
import gzip
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from time import perf_counter

from tests.integration.semantic.manual_labels import ANSWERS

from bench import Measurement
from bench.session import Session
from tailrace.db import Database
from tailrace.semantic import Embedder, Found, Retriever
from tailrace.semantic.documents import DOCUMENT_SEARCH, load_documents, prepare_documents, sources_in
from tailrace.verify.statistics import percentile

__all__ = ["measure"]

MANUAL = Path("/usr/share/doc/postgresql-doc-15/html")
QUESTIONS = Path(__file__).resolve().parents[2] / "shared" / "data" / "questions" / "postgresql_titles.csv"
OTHERS = QUESTIONS.parents[1] / "question_pairs" / "clinc150.json.gz"
CORPUS = "manual"
LEAST = 0.36
"""Cosine of the nearest text from which on something counts as found: that of the reference service."""
PASSAGES, PAGES = 50, 10


def measure(session: Session) -> list[Measurement]:
    """Quality and times; nothing where the manual or the questions are not on this machine."""
    for needed in (MANUAL, QUESTIONS, OTHERS):
        if not needed.exists():
            session.leave_out(f"manual: {needed} is not there")
            return []
    url = session.surroundings({"database"}).database_url
    return asyncio.run(_measured(url))


async def _measured(url: str) -> list[Measurement]:
    database, embedder = Database(url), Embedder()
    try:
        await prepare_documents(database)
        rows = []
        for name in ("first load", "second load"):
            began = perf_counter()
            report = await load_documents(database, CORPUS, sources_in(MANUAL), embedder)
            rows.append(Measurement("manual", name, "time", perf_counter() - began, "s"))
            rows.append(Measurement("manual", name, "passages embedded", report.embedded, "passages"))
        retriever = Retriever(database, DOCUMENT_SEARCH, embedder, columns=["path"])
        ranks: dict[str, list[int | None]] = {"words and meaning": [], "words": [], "meaning": []}
        seconds: list[float] = []
        refused: dict[str, list[bool]] = {"questions about it": [], "questions about anything": []}
        for question, answering in _asked():
            began = perf_counter()
            await retriever.search(question, limit=5, tenant=CORPUS)
            seconds.append(perf_counter() - began)
            found = await retriever.search(question, limit=PASSAGES, tenant=CORPUS)
            refused["questions about it"].append(not found[0].evidence.suffices(LEAST))
            for name, listed in _lists(found).items():
                ranks[name].append(_rank(listed, answering))
        for question in _others():
            best = await retriever.search(question, limit=1, tenant=CORPUS)
            refused["questions about anything"].append(not best[0].evidence.suffices(LEAST))
    finally:
        await embedder.aclose()
        await database.aclose()
    for name, said in refused.items():
        rows.append(Measurement("manual", name, "refused", 100 * sum(said) / len(said), "%"))
    for name, places in ranks.items():
        rows += _quality(name, places)
    for share in (0.5, 0.95):
        rows.append(Measurement("manual", "search", f"p{share * 100:.0f}", percentile(seconds, share) * 1000, "ms"))
    return rows


def _asked() -> Iterator[tuple[str, set[str]]]:
    """Questions, and the pages that answer them."""
    with QUESTIONS.open(encoding="utf-8", newline="") as file:
        titles = {int(row["question_id"]): row["title"] for row in csv.DictReader(file)}
    for number, pages in ANSWERS.items():
        yield titles[number], set(pages.split())


def _others() -> list[str]:
    """Some that people asked of an assistant that had no answer."""
    with gzip.open(OTHERS, "rt", encoding="utf-8") as file:
        return [question for question, _ in json.load(file)["oos_test"][::4]]


def _lists(found: Sequence[Found]) -> Mapping[str, Sequence[Found]]:
    """What was found in the order of all, and of each list alone."""
    return {
        "words and meaning": found,
        "words": sorted((each for each in found if each.by_words), key=lambda each: each.by_words or 0),
        "meaning": sorted((each for each in found if each.by_meaning), key=lambda each: each.by_meaning or 0),
    }


def _rank(found: Sequence[Found], answering: set[str]) -> int | None:
    """The place of the first page that answers, from 1."""
    pages = dict.fromkeys(str(each.columns["path"]).removesuffix(".html") for each in found)
    return next((place for place, page in enumerate(pages, 1) if page in answering and place <= PAGES), None)


def _quality(name: str, places: Sequence[int | None]) -> Iterator[Measurement]:
    for most in (1, 5):
        hits = sum(place is not None and place <= most for place in places)
        yield Measurement("manual", name, f"hit@{most}", 100 * hits / len(places), "%")
    yield Measurement("manual", name, "MRR", sum(1 / place for place in places if place) / len(places), "")
