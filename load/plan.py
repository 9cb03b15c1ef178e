"""Who asks for what: the same people and requests as ``make prove`` has. Touches: the database, to see who there is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from random import Random
from typing import Any
from urllib.parse import quote

from load.suites import Suite
from tailrace.errors import DatabaseError
from tailrace.verify.client import Request
from tailrace_services.call_coach.keys import api_key
from tailrace_services.data.connection import open_connection
from tailrace_services.prove.subject import Person, Subject
from tailrace_services.services import SERVICES

__all__ = ["SUBJECTS", "NotGeneratedError", "make_plan"]

PEOPLE = 100
"""Most of whom k6 is told."""
WORDINGS = 8
"""What a person may ask of one endpoint, of those that have several."""
DRAFTS = 20
"""Writes that a person has ready."""

SUBJECTS = (
    *("zip", "enumerate", "sorted", "map", "filter", "isinstance", "getattr", "iter", "heapq.merge", "bisect_left"),
    *("namedtuple", "deque", "Counter", "defaultdict", "OrderedDict", "lru_cache", "partial", "contextmanager"),
    *(
        "suppress",
        "dataclass",
        "itertools.groupby",
        "math.isclose",
        "re.fullmatch",
        "shutil.copytree",
        "textwrap.dedent",
    ),
    *("the with statement", "the yield expression", "the lambda expression", "the try statement", "slicing"),
)
"""What the default documents explain."""
QUESTIONS = tuple(f"What does {subject} do?" for subject in SUBJECTS)
"""What documents are asked, those that are asked most often first."""


class NotGeneratedError(DatabaseError):
    """The rows are somebody's own."""

    code = "not_generated"


async def make_plan(suite: Suite, address: str, database_url: str) -> dict[str, Any]:
    """What k6 is told: where to ask, and who asks for what.

    Args:
        address: of the service.
        database_url: of its own database.

    Raises:
        NotGeneratedError: the rows are imported: their owners' keys are not known, and not to be changed.
        DatabaseError: the database cannot be read.
    """
    subject = next(each for each in SERVICES if each.name == suite.service).subject()
    dataset = await subject.data.generation.loaded(database_url)
    if dataset is None:
        raise NotGeneratedError(f"{subject.data.title} holds imported rows, whose owners' keys nobody knows: none asks")
    people = (await subject.load_people(database_url))[:PEOPLE]
    headers: Iterable[Mapping[str, str]] = [person.headers for person in people]
    if subject.name == "call-coach":
        headers = await _callers(people, dataset.seed, database_url)
    asking = [_asking(subject, suite, person, shown) for person, shown in zip(people, headers, strict=True)]
    shares = {endpoint.name: endpoint.share for endpoint in subject.endpoints if endpoint.share}
    if suite.needs:
        shares = {"questions": 1.0}
    return {"address": address, "shares": shares, "people": asking}


async def _callers(people: Iterable[Person], seed: int, database_url: str) -> list[Mapping[str, str]]:
    """Managers with keys in turn: limits are for each caller, and who shows no key shares one with all of these."""
    async with open_connection(database_url) as connection:
        known = await connection.fetch("SELECT id FROM callers WHERE is_active ORDER BY id")
    return [
        {**person.headers, "X-API-Key": api_key(seed, known[number % len(known)]["id"])}
        for number, person in enumerate(people)
    ]


def _asking(subject: Subject, suite: Suite, person: Person, headers: Mapping[str, str]) -> dict[str, Any]:
    if suite.needs:
        questions = [Request("questions", f"/query/stream?q={quote(question)}") for question in QUESTIONS]
        return {"headers": headers, "reads": {"questions": [_shown(each, headers) for each in questions]}}
    reads = {
        endpoint.name: [
            _shown(request, headers)
            for request in _different(endpoint.request(person, number) for number in range(WORDINGS))
        ]
        for endpoint in subject.endpoints
        if endpoint.share
    }
    writer = subject.new_writer(person) if subject.new_writer is not None else None
    random = Random(person.id)  # noqa: S311 - nothing secret
    drafts = () if writer is None else [writer.usual(random) for _ in range(DRAFTS)]
    return {"reads": reads, "writes": [_shown(draft, headers) for draft in drafts]}


def _different(requests: Iterable[Request]) -> Iterator[Request]:
    return iter({(each.target, each.body): each for each in requests}.values())


def _shown(request: Request, headers: Mapping[str, str]) -> dict[str, Any]:
    return {
        "name": request.name,
        "method": request.method,
        "target": request.target,
        "headers": {**request.headers, **headers, "Accept-Encoding": "gzip"},
        "body": request.body.decode() or None,
    }
