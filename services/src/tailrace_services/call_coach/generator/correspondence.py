"""Emails about generated opportunities, from both sides, in order of time. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

import numpy as np

from tailrace_services.call_coach.generator.calls import warmth
from tailrace_services.call_coach.generator.population import DAYS, Population
from tailrace_services.call_coach.generator.vocabulary import fillings
from tailrace_services.data.copy_text import array_literal, escaped, moment

__all__ = ["email_lines"]

_VARIANTS = 400
_MOST_SENTENCES = 6
_DAY_S = 86_400
_FROM_REP = 0.58


def email_lines(people: Population, anchor: datetime) -> Iterator[str]:
    """Lines of ``emails``: id, opportunity_id, sender_email, recipients, subject, body, sent_at."""
    random = np.random.default_rng([people.seed, 4])
    offers, size = people.opportunities, people.scale.emails
    about = np.searchsorted(np.cumsum(offers.share)[:-1], random.random(size), side="right")
    latest = DAYS - 0.2
    begins = np.clip(offers.opened[about], 0.0, latest)
    day = begins + random.random(size) * np.minimum(offers.length[about], latest - begins)
    warm = random.random((size, _MOST_SENTENCES)) < warmth(offers, about, day)[:, None]
    sent = (int(anchor.timestamp()) - DAYS * _DAY_S + day * _DAY_S).astype(np.int64)
    order = np.argsort(sent, kind="stable")
    person = (offers.contacts[about] * random.random(size)).astype(np.int64)
    by_rep = random.random(size) < _FROM_REP
    sentences = np.minimum(random.geometric(0.45, size) + 1, _MOST_SENTENCES)
    draws = random.integers(0, _VARIANTS, (size, _MOST_SENTENCES + 1))
    # What a prospect writes is taken from the second half of their sentences where they are not taken with it.
    draws[:, :-1] += np.where(by_rep[:, None] | warm, 0, _VARIANTS)
    texts = _texts(people, random)
    fields = (about, sent, person, by_rep, sentences)
    for number, (offer, when, contact, own, count, drawn) in enumerate(
        zip(*(field[order].tolist() for field in fields), draws[order].tolist(), strict=True), 1
    ):
        product = int(offers.product[offer])
        subjects, own_lines, their_lines = texts[product]
        name, address, _ = people.contact(offer, contact)
        rep = int(offers.owner[offer])
        sides = [(people.rep_name(rep), people.rep_email(rep)), (name, address)]
        (sender_name, sender), (recipient_name, recipient) = sides if own else reversed(sides)
        lines = own_lines if own else their_lines
        said = " ".join(lines[index] for index in dict.fromkeys(drawn[:count]))
        body = f"Hi {recipient_name.split()[0]},\n\n{said}\n\nBest regards,\n{sender_name}"
        yield (
            f"{number}\t{offer + 1}\t{sender}\t{array_literal([recipient])}\t{subjects[drawn[-1]]}\t{escaped(body)}\t"
            f"{moment(when)}\n"
        )


def _texts(people: Population, random: np.random.Generator) -> list[tuple[list[str], list[str], list[str]]]:
    """For each product: subjects, sentences of representatives, sentences of prospects: warm ones, then cold ones."""
    words = people.vocabulary
    return [
        (
            fillings(words, words.emails["subjects"], product, _VARIANTS, random),
            fillings(words, words.emails["from_rep"], product, _VARIANTS, random),
            fillings(words, words.emails["from_prospect_warm"], product, _VARIANTS, random)
            + fillings(words, words.emails["from_prospect_cold"], product, _VARIANTS, random),
        )
        for product in words.product_names
    ]
