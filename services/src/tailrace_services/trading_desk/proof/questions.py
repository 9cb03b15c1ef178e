"""Questions about Python's own documentation: as they were answered, anew, like others, and streamed to 20 readers.

What is timed as what is said by the answer itself (``Semantic-Cache``, or the event ``cache``), so nothing passes for
what it is not. Touches: the network, the databases of the proof.
"""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from random import Random
from time import monotonic
from urllib.parse import urlencode, urlsplit

from tailrace.db import Database
from tailrace.semantic import Embedder
from tailrace.semantic.documents import load_documents
from tailrace.verify.statistics import percentile
from tailrace_services.prove.goals import below
from tailrace_services.prove.phases import Proving
from tailrace_services.prove.questions import Asked, NotAnsweredError, ask_in_turn, say
from tailrace_services.prove.report import Goal
from tailrace_services.trading_desk.answers.default_corpus import DEFAULT_CORPUS, python_sources
from tailrace_services.trading_desk.proof.asking import ask_together, rate_goals, reworded, say_together

__all__ = ["ERRANDS", "WORDINGS", "goals_of", "questions"]

ERRANDS = (
    *("sort a list", "copy a directory tree", "parse a JSON document", "write rows to a CSV file", "pause a program"),
    *("define a dataclass", "cache a function's results", "match a regular expression", "join two paths"),
    *("raise an exception", "count words", "merge sorted sequences", "draw a random sample", "compute a median"),
    *("wrap long lines", "make a unique identifier", "suppress an exception", "open a file", "import a module"),
    *("iterate over pairs", "format a floating point number", "compare two dictionaries", "subclass a class"),
    *("unpack a sequence", "leave a loop early", "delete an attribute", "find the largest items", "copy an object"),
)
"""What is asked how to do, each once in either wording."""
WORDINGS = ("How do I {errand}?", "how can I {errand} please")
"""The first time, and once that was answered."""
ASIDE = "{wording} What should I know, being reader {reader}?"
"""What makes a streamed question one that nobody has asked."""
READERS = 20
TURNS = 4
PAUSE = 2.0
"""Seconds for which a reader thinks at most."""
TIMEOUT = 60.0
"""Seconds in which a stream must begin."""

Found = Mapping[str, Sequence[float]]
"""Seconds of answers, by how they were found."""


async def questions(proving: Proving) -> None:
    """The phase of the proof."""
    databases, site = proving.stage.databases, proving.site
    embedder = Embedder()
    try:
        for url in (databases.url, databases.baseline_url):
            await _load(url, embedder)
    finally:
        await embedder.aclose()
    asked = await ask_in_turn(proving, "/query", *([_word(each, wording) for each in ERRANDS] for wording in WORDINGS))
    together = await ask_together(proving, reworded(ERRANDS))
    await site.empty_caches()
    first = await _streamed(site.optimised.base_url, proving.random)
    proving.goals += [*goals_of(asked, first), *rate_goals(together)]
    told = ", ".join(f"{outcome} {len(seconds)}" for outcome, seconds in sorted(first.items()))
    proving.notes += [
        say(asked, proving.effort.budget.cutoff),
        say_together(together),
        f"answers streamed to {READERS} readers: {told}",
    ]


def goals_of(asked: Asked, first: Found) -> Iterator[Goal]:
    """What is aimed for, of answers as a whole and of the first pieces of streamed ones."""
    for found, outcome, name, wanted in (
        (asked.found, "miss", "questions, retrieved", 60),
        (asked.found, "similar", "questions, like one that was answered", 10),
        (first, "miss", f"first piece of a streamed answer, {READERS} readers", 50),
    ):
        if found.get(outcome):
            yield below(name, wanted, percentile(found[outcome], 0.95) * 1000, "ms")


async def _load(url: str, embedder: Embedder) -> None:
    """What questions are answered from, with all its vectors: at once, as nobody else is asking."""
    database = Database(url)
    try:
        await load_documents(database, DEFAULT_CORPUS, python_sources(), embedder)
    finally:
        await database.aclose()


def _word(errand: str, wording: str) -> str:
    return wording.format(errand=errand)


async def _streamed(url: str, random: Random) -> Found:
    """Seconds until the first piece, of answers that readers ask for side by side, thinking in between."""
    found = defaultdict[str, list[float]](list)

    async def read(reader: int) -> None:
        for errand in random.sample(ERRANDS, TURNS):
            await asyncio.sleep(random.uniform(0.0, PAUSE))
            outcome, seconds = await _first_piece(url, ASIDE.format(wording=_word(errand, WORDINGS[0]), reader=reader))
            found[outcome].append(seconds)

    await asyncio.gather(*(read(reader) for reader in range(READERS)))
    return found


async def _first_piece(url: str, question: str) -> tuple[str, float]:
    """How the answer was found, and the seconds from asking to its first piece; the rest is read too."""
    address = urlsplit(url)
    target = f"/query/stream?{urlencode({'q': question})}"
    async with asyncio.timeout(TIMEOUT):
        asked = monotonic()
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        try:
            writer.write(f"GET {target} HTTP/1.1\r\nHost: {address.netloc}\r\nConnection: close\r\n\r\n".encode())
            before = await reader.readuntil(b"\nevent: chunk\n")
            took = monotonic() - asked
            await reader.read()
        except asyncio.IncompleteReadError as error:
            raise NotAnsweredError(f"{question!r}: {error.partial[-300:].decode(errors='replace')}") from error
        finally:
            writer.close()
    _, _, said = before.partition(b"\nevent: cache\ndata: ")
    return str(json.loads(said.partition(b"\n")[0])["outcome"]), took
