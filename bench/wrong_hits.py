"""Wrong answers beside hits: a threshold alone, with guards, and with the share of wrong answers bounded.

3,000 requests of CLINC150 in an order that does not change, each answered by its intent: a hit is wrong if the kept
question had another one. Requests of one intent need not have one answer, so the figures compare rules with each other
rather than tell how good any is. The parts are the semantic cache's own; the cache itself is left out.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import Measurement
from bench.session import Session
from tailrace.semantic import Embedder, Vector
from tailrace.semantic.guards import Question, question, veto
from tailrace.semantic.risk import WrongAnswers
from tailrace.semantic.similar_questions import Kept, SimilarQuestions

__all__ = ["measure"]

REQUESTS = Path(__file__).resolve().parents[2] / "shared" / "data" / "question_pairs" / "clinc150.json.gz"
COUNT = 3_000
EVERYBODY = "everybody"


@dataclass(frozen=True, slots=True)
class Rule:
    """What may be served."""

    name: str
    threshold: float
    guards: bool
    wrong_at_most: float | None = None


RULES = (
    *(Rule(f"threshold {at}", at, guards=False) for at in (0.7, 0.8, 0.85, 0.9, 0.95)),
    *(Rule(f"threshold {at}, guards", at, guards=True) for at in (0.7, 0.8, 0.9, 0.95)),
    *(Rule(f"at most {share:.0%} wrong", 0.5, guards=False, wrong_at_most=share) for share in (0.02, 0.05, 0.1)),
    *(Rule(f"at most {share:.0%} wrong, guards", 0.5, guards=True, wrong_at_most=share) for share in (0.02, 0.05, 0.1)),
)


def measure(session: Session) -> list[Measurement]:
    """Hits and wrong hits of every rule; nothing where the labelled requests are not beside the project."""
    if not REQUESTS.is_file():
        session.leave_out(f"wrong_hits: {REQUESTS.name} is not there")
        return []
    return asyncio.run(_measured())


async def _measured() -> list[Measurement]:
    labelled = json.loads(gzip.decompress(REQUESTS.read_bytes()))["train"]
    random.Random(1).shuffle(labelled)
    asked = [(question(text), intent) for text, intent in labelled[:COUNT]]
    embedder = Embedder()
    vectors = await embedder.embed_many([each.folded for each, _ in asked])
    await embedder.aclose()
    found = []
    for rule in RULES:
        hits, wrong = await _lived(rule, asked, vectors)
        found.append(Measurement("wrong_hits", rule.name, "hits", 100 * hits / COUNT, "%"))
        found.append(Measurement("wrong_hits", rule.name, "wrong hits", 100 * wrong / max(1, hits), "% of hits"))
    return found


async def _lived(rule: Rule, asked: Sequence[tuple[Question, str]], vectors: Vector) -> tuple[int, int]:
    """Hits and wrong hits when all are asked one after another."""
    kept, intents, draw = SimilarQuestions(COUNT), dict[str, str](), random.Random(2).random
    risk = None if rule.wrong_at_most is None else WrongAnswers(rule.wrong_at_most)
    hits = wrong = 0
    for number, ((each, intent), vector) in enumerate(zip(asked, vectors, strict=True)):
        near = await kept.nearest(EVERYBODY, vector, at_least=rule.threshold, count=4)
        close = next((one for one in near if not rule.guards or veto(each, one[1].question) is None), None)
        if close is not None:
            right = intents[close[1].key] == intent
            if risk is None or draw() < risk.share(close[0]):
                hits += 1
                wrong += not right
                continue
            risk.compare(close[0], right=right)
        intents[str(number)] = intent
        await kept.add(EVERYBODY, Kept(str(number), each, ()), vector)
    return hits, wrong
