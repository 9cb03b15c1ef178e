"""How good the ranking is, on a public collection: 1,400 abstracts, 225 questions, judged by people."""

from __future__ import annotations

import math
import re
import tarfile
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import asyncpg
import pytest
from tests.integration.semantic.conftest import notes

from tailrace.db import Database
from tailrace.schema import apply
from tailrace.semantic import Embedder, HybridSearch, Retriever, embed_texts

ARCHIVE = Path(__file__).parents[3].parent / "shared/data/retrieval/cranfield.tar.gz"
WANTED = 0.385
"""Mean nDCG of the first ten. Words alone reach 0.350, vectors alone 0.360."""
SEARCH = HybridSearch(notes, texts=("title", "body"), vector="embedding")


def read(name: str) -> str:
    with tarfile.open(ARCHIVE) as archive:
        member = next(each for each in archive.getmembers() if each.name.endswith(name))
        found = archive.extractfile(member)
        assert found is not None
        return found.read().decode("latin-1")


def records(name: str) -> list[tuple[int, dict[str, str]]]:
    """Number and fields of each record."""
    found = []
    for part in re.split(r"^\.I ", read(name), flags=re.MULTILINE)[1:]:
        number, *fields = re.split(r"^\.([TABW])\n", part, flags=re.MULTILINE)
        texts = {key: " ".join(text.split()) for key, text in zip(fields[::2], fields[1::2], strict=True)}
        found.append((int(number), texts))
    return found


def ndcg(ranked: Sequence[int], judged: dict[int, int]) -> float:
    """Gains are 2**g - 1, where g is 4 for a complete answer and 1 for what is of minimal interest."""

    def discounted(grades: Sequence[int]) -> float:
        return sum((2**grade - 1) / math.log2(place + 2) for place, grade in enumerate(grades[:10]))

    ideal = discounted(sorted(judged.values(), reverse=True))
    return discounted([judged.get(number, 0) for number in ranked]) / ideal


@pytest.mark.slow
@pytest.mark.skipif(not ARCHIVE.exists(), reason="the collection is not at ../shared/data/retrieval")
async def test_both_lists_together_rank_better_than_either(
    connection: asyncpg.Connection, database_url: str, database: Database, embedder: Embedder
) -> None:
    """People's judgements agree more with the fused ranking than with words or meanings alone."""
    await apply(database_url, SEARCH.objects())
    for number, fields in records("cran.all.1400"):
        # An abstract begins with its title.
        await connection.execute("INSERT INTO notes (id, body) VALUES ($1, $2)", number, fields.get("W", ""))
    await connection.execute("ANALYZE notes")
    await embed_texts(database, SEARCH, embedder)
    judged: dict[int, dict[int, int]] = defaultdict(dict)
    for line in read("cranqrel").splitlines():
        question, document, code = map(int, line.split()[:3])
        judged[question][document] = {1: 4, 2: 3, 3: 2, 4: 1}.get(code, 0)
    retriever = Retriever(database, SEARCH, embedder)
    values: dict[str, list[float]] = {"both": [], "words": [], "meanings": []}
    for number, (_, fields) in enumerate(records("cran.qry"), 1):
        found = await retriever.search(fields["W"], limit=200)
        words = sorted((item for item in found if item.by_words), key=lambda item: item.by_words or 0)
        meanings = sorted((item for item in found if item.by_meaning), key=lambda item: item.by_meaning or 0)
        for name, ranked in (("both", found), ("words", words), ("meanings", meanings)):
            values[name].append(ndcg([item.key for item in ranked], judged[number]))
    means = {name: sum(each) / len(each) for name, each in values.items()}
    assert means["both"] >= WANTED, means
    assert means["both"] > max(means["words"], means["meanings"]) + 0.02, means
