"""What is said in a run of calls, by whom and when. Pure: arrays in, arrays and texts out.

A call opens with greetings, goes on with questions and answers, a demonstration with objections, then pricing and next
steps, and ends with thanks. A turn answers the one before it. Skill shows in what representatives do: the skilled ask
where others present, respond to objections, after a pause, name a day for the next step, and tell of customers. How a
prospect takes to it shows in what they say. Times follow what is known of real conversations: most turns follow within
half a second, some overlap.

**Source:** Heldner and Edlund, "Pauses, gaps and overlaps in conversations", Journal of Phonetics 38 (2010), for the
distribution of floor transfer offsets: a mode near 200 ms and about two in five below zero, here fewer.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tailrace_services.call_coach.generator.calls import Plan
from tailrace_services.call_coach.generator.population import Population
from tailrace_services.call_coach.generator.vocabulary import POOL, SENTENCE_KINDS, Pools
from tailrace_services.call_coach.model import DIMENSIONS
from tailrace_services.data.wording import zipf_ranks

__all__ = ["KIND", "Turns", "make_turns", "skills"]

KIND = {kind: number for number, kind in enumerate(SENTENCE_KINDS)}
_REP, _PROSPECT = 0, 1
_FLIP = 0.86
"""How often a turn is followed by one of the other side."""
_MIXES = {
    # (side, phase): phases are opening, questions, demonstration, decision, end
    (_REP, 0): "greeting 1",
    (_PROSPECT, 0): "hello 1",
    (_REP, 1): "open_question .45, closed_question .1, pitch .18, backchannel .2, proof .07",
    (_PROSPECT, 1): "answer .62, backchannel .22, product_question .1, competitor .06",
    (_REP, 2): "pitch .42, proof .15, closed_question .08, open_question .15, backchannel .17, competitor_response .03",
    (_PROSPECT, 2): "product_question .2, answer .14, enthusiasm .14, objection .2, backchannel .28, competitor .04",
    (_REP, 3): "next_step .44, pricing .14, pitch .1, closed_question .1, backchannel .22",
    (
        _PROSPECT,
        3,
    ): "pricing_question .18, next_step_answer .18, enthusiasm .14, objection .2, answer .06, backchannel .24",
    (_REP, 4): "closing 1",
    (_PROSPECT, 4): "closing 1",
}
"""What is said by each side in each phase, as shares."""
_SINGLE = np.array(
    [KIND[kind] for kind in ("greeting", "hello", "backchannel", "closing", "next_step_answer", "deflection")]
)
_LONG = np.array([KIND[kind] for kind in ("pitch", "proof", "objection_response")])
_KNOWLEDGE, _DISCOVERY, _OBJECTIONS, _ENGAGEMENT = (
    DIMENSIONS.index(name) for name in ("product_knowledge", "discovery", "objection_handling", "engagement")
)
_MOST_SENTENCES = 14
_PROSPECT_PACE = 165.0


@dataclass(frozen=True, slots=True)
class Turns:
    """The turns of some calls, ``(n,)`` each, in order.

    Attributes:
        call: position of the turn's call within the run.
        number: from 1 within the call.
        speaker: position among the call's speakers.
        kind: see :data:`KIND`.
        start_ms, end_ms: from the call's beginning.
        texts: what was said.
    """

    call: NDArray[np.int64]
    number: NDArray[np.int64]
    speaker: NDArray[np.int64]
    kind: NDArray[np.int64]
    start_ms: NDArray[np.int64]
    end_ms: NDArray[np.int64]
    texts: list[str]


@dataclass(frozen=True, slots=True)
class _Floor:
    """Who has the floor in each turn, ``(n,)`` each but ``firsts``: the first turn of each call.

    ``rep`` is the call's representative, whoever speaks; ``skill`` theirs at the time, ``(n, 4)``.
    """

    call: NDArray[np.int64]
    firsts: NDArray[np.int64]
    side: NDArray[np.int64]
    rep: NDArray[np.int64]
    skill: NDArray[np.float64]


def skills(people: Population, plan: Plan, run: slice) -> NDArray[np.float64]:
    """``(calls in the run, 4) float64``, 0..1: the representatives' skills at the time of each call."""
    first, last = int(plan.scheduled[0]), int(plan.scheduled[-1])
    elapsed = (plan.scheduled[run] - first) / max(last - first, 1)
    reps = plan.rep[run]
    now: NDArray[np.float64] = people.reps.skill[reps] + (people.reps.growth[reps] * elapsed)[:, None]
    return now.clip(0.0, 1.0)


def make_turns(people: Population, plan: Plan, run: slice, pools: Pools, random: np.random.Generator) -> Turns:
    """All turns of the calls in ``run``."""
    counts = plan.turns[run]
    call = np.repeat(np.arange(counts.size), counts)
    firsts = np.cumsum(counts) - counts
    position = np.arange(call.size) - firsts[call]
    side = _sides(call, position, random)
    floor = _Floor(call, firsts, side, plan.rep[run][call], skills(people, plan, run)[call])
    kind = _kinds(floor, position, counts[call], plan.warmth[run][call], random)
    speaker = _speakers(plan, run, call, side, kind, random)
    sentences = _sentence_counts(kind, side, people.reps.verbosity[floor.rep], random)
    texts, words = _texts(people, plan.product[run][call], kind, side, sentences, floor.rep, pools, random)
    start, end = _times(people, floor, kind, speaker, words, random)
    return Turns(call, position + 1, speaker, kind, start, end, texts)


def _sides(call: NDArray[np.int64], position: NDArray[np.int64], random: np.random.Generator) -> NDArray[np.int64]:
    """The representative begins; then most turns change the side."""
    flips = (random.random(call.size) < _FLIP).astype(np.int64)
    flips[position == 0] = 0
    total = np.cumsum(flips)
    side: NDArray[np.int64] = (total - total[position == 0][call]) % 2
    return side


def _kinds(
    floor: _Floor,
    position: NDArray[np.int64],
    count: NDArray[np.int64],
    warmth: NDArray[np.float64],
    random: np.random.Generator,
) -> NDArray[np.int64]:
    side, skill = floor.side, floor.skill
    phase = 1 + np.searchsorted([0.35, 0.72], position / count, side="right")
    phase[position < 2] = 0
    phase[position >= count - 2] = 4
    kind = np.empty(side.size, np.int64)
    draw = random.random(side.size)
    for (of_side, of_phase), mix in _MIXES.items():
        chosen = np.flatnonzero((side == of_side) & (phase == of_phase))
        names, shares = zip(*(entry.split() for entry in mix.split(", ")), strict=True)
        bounds = np.cumsum(np.array(shares, np.float64))[:-1]
        kind[chosen] = np.array([KIND[name] for name in names])[np.searchsorted(bounds, draw[chosen], side="right")]
    luck = random.random(side.size)
    kept: tuple[tuple[str, str, NDArray[np.float64]], ...] = (
        ("closed_question", "pitch", 0.4 + 0.6 * skill[:, _DISCOVERY]),
        ("open_question", "closed_question", 0.55 + 0.5 * skill[:, _DISCOVERY]),
        ("open_question", "pitch", 0.1 + 1.1 * skill[:, _DISCOVERY]),
        ("proof", "pitch", 0.05 + 0.95 * skill[:, _KNOWLEDGE]),
        ("vague_next_step", "pitch", 0.4 + 0.6 * skill[:, _ENGAGEMENT]),
        ("next_step", "vague_next_step", 0.05 + 0.95 * skill[:, _ENGAGEMENT]),
        ("enthusiasm", "answer", warmth),
        ("objection", "answer", 1.2 - warmth),
    )
    for meant, instead, likely in kept:
        kind[(kind == KIND[meant]) & (luck > likely)] = KIND[instead]
    return _answered(kind, side, (phase > 0) & (phase < 4), skill, random)


def _answered(
    kind: NDArray[np.int64],
    side: NDArray[np.int64],
    free: NDArray[np.bool_],
    skill: NDArray[np.float64],
    random: np.random.Generator,
) -> NDArray[np.int64]:
    """Let turns answer what the other side said just before; only those that are ``free`` to."""
    luck = random.random(kind.size)
    follows = free & np.concatenate(([False], side[1:] != side[:-1]))
    replies: tuple[tuple[str, str, float | NDArray[np.float64]], ...] = (
        ("open_question", "answer", 0.85),
        ("closed_question", "answer", 0.6),
        ("next_step", "next_step_answer", 0.8),
        ("vague_next_step", "next_step_answer", 0.4),
        ("objection", "objection_response", 0.05 + 0.95 * skill[:, _OBJECTIONS]),
        ("pricing_question", "pricing", 0.8),
        ("competitor", "competitor_response", 0.2 + 0.75 * skill[:, _KNOWLEDGE]),
        ("product_question", "pitch", 0.2 + 0.8 * skill[:, _KNOWLEDGE]),
    )
    before = _before(kind)
    answered = kind.copy()
    for asked, reply, likely in replies:
        answered[follows & (before == KIND[asked]) & (luck < likely)] = KIND[reply]
    unknown = follows & (before == KIND["product_question"]) & (answered != KIND["pitch"])
    answered[unknown] = KIND["deflection"]
    return answered


def _before(kind: NDArray[np.int64]) -> NDArray[np.int64]:
    """The kind of the turn before each."""
    return np.concatenate(([KIND["greeting"]], kind[:-1]))


def _speakers(
    plan: Plan,
    run: slice,
    call: NDArray[np.int64],
    side: NDArray[np.int64],
    kind: NDArray[np.int64],
    random: np.random.Generator,
) -> NDArray[np.int64]:
    """Position among the call's speakers: representative, engineer, contacts, partner. The first contact says most."""
    engineers, contacts, partners = (field[run][call] for field in (plan.engineers, plan.contacts, plan.partners))
    draw = random.random(call.size)
    own = (engineers > 0) & (kind == KIND["pitch"]) & (draw < 0.3)
    theirs = 1 + engineers + (contacts * draw**1.8).astype(np.int64)
    theirs = np.where((partners > 0) & (draw > 0.93), 1 + engineers + contacts, theirs)
    return np.where(side == _REP, own.astype(np.int64), theirs)


def _sentence_counts(
    kind: NDArray[np.int64], side: NDArray[np.int64], verbosity: NDArray[np.float64], random: np.random.Generator
) -> NDArray[np.int64]:
    """Geometric, longer for those who like to talk when they present, and in answer to open questions."""
    stop = np.where((kind == KIND["answer"]) & (_before(kind) == KIND["open_question"]), 0.36, 0.7)
    stop = np.where(np.isin(kind, _LONG) & (side == _REP), 0.85 - 0.6 * verbosity, stop)
    count = 1 + np.floor(np.log1p(-random.random(kind.size)) / np.log1p(-stop)).astype(np.int64)
    return np.where(np.isin(kind, _SINGLE), 1, np.minimum(count, _MOST_SENTENCES))


def _texts(
    people: Population,
    product: NDArray[np.int64],
    kind: NDArray[np.int64],
    side: NDArray[np.int64],
    sentences: NDArray[np.int64],
    rep: NDArray[np.int64],
    pools: Pools,
    random: np.random.Generator,
) -> tuple[list[str], NDArray[np.int64]]:
    """Texts, and words in each."""
    ends = np.cumsum(sentences)
    firsts = ends - sentences
    going_on = np.where(kind == KIND["objection_response"], KIND["pitch"], kind)
    pool = np.repeat(going_on, sentences)
    pool[firsts] = kind
    chosen = (pool * len(people.vocabulary.products) + np.repeat(product, sentences)) * POOL
    chosen += zipf_ranks(random.random(chosen.size), POOL)
    likely = np.where(side == _REP, people.reps.filler[rep], 0.12) * ~np.isin(kind, _SINGLE)
    filler = np.where(random.random(kind.size) < likely, 1 + zipf_ranks(random.random(kind.size), 10), 0)
    fillers = ["", *people.vocabulary.fillers]
    filler_words = np.array([len(words.split()) for words in fillers])
    words = np.add.reduceat(pools.words[chosen], firsts) + filler_words[filler]
    said, picked = pools.sentences, chosen.tolist()
    texts = []
    for first, end, opener in zip(firsts.tolist(), ends.tolist(), filler.tolist(), strict=True):
        if opener:
            begin = f"{fillers[opener]} {pools.continued[picked[first]]}"
            texts.append(" ".join([begin, *[said[one] for one in picked[first + 1 : end]]]))
        elif end - first == 1:
            texts.append(said[picked[first]])
        else:
            texts.append(" ".join([said[one] for one in picked[first:end]]))
    return texts, words


def _times(
    people: Population,
    floor: _Floor,
    kind: NDArray[np.int64],
    speaker: NDArray[np.int64],
    words: NDArray[np.int64],
    random: np.random.Generator,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Start and end in milliseconds; starts rise within a call, and nobody talks over their own turn."""
    call, firsts, side, rep = floor.call, floor.firsts, floor.side, floor.rep
    pace = np.where(side == _REP, people.reps.pace[rep], _PROSPECT_PACE) * random.normal(1.0, 0.08, call.size)
    length = np.maximum(words * 60_000 / np.maximum(pace, 60.0), 250.0).astype(np.int64)
    patience = np.where(side == _REP, people.reps.patience[rep], 0.45)
    objected = (side == _REP) & (_before(kind) == KIND["objection"])
    patience = np.where(objected, patience * (0.2 + 1.8 * floor.skill[:, _OBJECTIONS]), patience)
    gap = random.lognormal(0.0, 0.6, call.size) * patience * 1000
    overlap = random.random(call.size) < np.where(side == _REP, people.reps.interruptions[rep], 0.06)
    before = np.concatenate(([0], length[:-1]))
    same = np.concatenate(([False], (speaker[1:] == speaker[:-1])))
    # Short of both turns' middle, so that the next turn cannot begin before this speaker's partner has finished.
    early = np.minimum(random.uniform(200.0, 1800.0, call.size), np.minimum(before * 0.6, length * 0.35))
    gap = np.where(overlap & ~same, -early, gap)
    gap[random.random(call.size) < 0.01] += 4000.0  # somebody looks something up
    gap[firsts] = random.uniform(500.0, 9000.0, firsts.size)
    step = gap.astype(np.int64)
    step[1:] += length[:-1]
    step[firsts] = gap[firsts].astype(np.int64)
    total = np.cumsum(step)
    start = total - (total - step)[firsts][call]
    return start, start + length
