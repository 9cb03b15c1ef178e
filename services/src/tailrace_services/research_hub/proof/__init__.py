"""Research Hub as a subject of the proof: what is asked of it, by whom, and who writes meanwhile."""

from __future__ import annotations

from tailrace.verify.client import Request
from tailrace_services.prove.subject import Completion, Endpoint, Subject
from tailrace_services.research_hub.data import DATA
from tailrace_services.research_hub.proof.collecting import SITE, collecting
from tailrace_services.research_hub.proof.people import Member, load_members
from tailrace_services.research_hub.proof.questions import questions
from tailrace_services.research_hub.proof.vectors import embed_some
from tailrace_services.research_hub.proof.writes import MemberWriter, sql_write

__all__ = ["SUBJECT"]


def _get(name: str, *targets: str, asked: float, share: float, cold: float, warm: float) -> Endpoint:
    """A read by anybody; people ask for ``targets`` in turn, which may name what is theirs."""

    def request(member: Member, number: int) -> Request:
        target = targets[number % len(targets)].format(member=member)
        return Request(name, target, headers=member.headers)

    return Endpoint(name, request, asked, share, cold, warm)


_NAMES = ("yasmin", "Nakamura", "jakub_trn", "castillo", "erikson")
"""Names as people type them, some of them wrong."""

SUBJECT = Subject(
    data=DATA,
    endpoints=(
        _get(
            "cards",
            *("/api/cards", "/api/cards?limit=50", "/api/cards?total=capped", "/api/cards?offset=40"),
            asked=80,
            share=0.40,
            cold=8,
            warm=1,
        ),
        _get("own cards", "/api/cards/mine", "/api/cards/mine?limit=5", asked=80, share=0.15, cold=8, warm=1),
        _get(
            "contents",
            *("/api/contents", "/api/contents?platform=reddit", "/api/contents?state=analyzed"),
            "/api/contents?platform=youtube&state=embedded",
            asked=100,
            share=0.10,
            cold=15,
            warm=1,
        ),
        _get(
            "attributions",
            *("/api/attributions", "/api/attributions?card_id={member.card_id}"),
            "/api/attributions?content_id={member.content_id}",
            asked=100,
            share=0.10,
            cold=15,
            warm=1,
        ),
        _get("authors", *[f"/api/authors?q={q}" for q in _NAMES], asked=100, share=0.08, cold=50, warm=1),
        _get(
            "patterns",
            *("/api/patterns", "/api/patterns?sort=-discovered_at", "/api/patterns?type=anomaly"),
            asked=100,
            share=0.07,
            cold=15,
            warm=1,
        ),
        _get("users", "/api/users", "/api/users?username={member.username}", asked=100, share=0.05, cold=15, warm=1),
        _get("health", "/health", asked=5, share=0.0, cold=2, warm=2),
        _get("tokens", "/api/tokens", "/api/tokens?type=transfer&limit=50", asked=80, share=0.05, cold=8, warm=1),
    ),
    load_people=load_members,
    sql_write=sql_write,
    reference="tailrace_services.research_hub.proof.reference:create_reference_app",
    ready="/docs",
    new_writer=MemberWriter,
    shared=True,
    hit_ratios=(0.70, 0.90),
    phases={"collecting": collecting, "questions": questions},
    completion=Completion(frozenset({"questions"}), embed_some),
    simulator=SITE,
    variables={
        "TAILRACE_SERVICES_EMBED_POSTS": "false",
        "TAILRACE_SERVICES_RESEARCH_LEAST_SIMILARITY": "0",  # all that is asked is answered, and timed
        "TAILRACE_HTTP__CURSOR_SECRETS": '["the same for all that are compared"]',
    },
)
