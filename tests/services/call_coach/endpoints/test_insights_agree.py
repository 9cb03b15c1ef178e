"""Both implementations of the insights answer alike, after any sequence of writes beside them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.services.call_coach.endpoints.conftest import Service, StartService

from tailrace_services.call_coach.model import DIMENSIONS

REPS = [f"rep{number:04d}@tailrace.example" for number in range(1, 7)]
PRODUCTS = ["Harbor Storage", "Beacon Analytics", "Quill Documents", None]
EDGES = [datetime(2026, month, 1, tzinfo=UTC) for month in (1, 2, 3, 4)] + [datetime(2025, 12, 16, tzinfo=UTC)]
MOMENTS = st.builds(
    lambda edge, offset: edge + offset,
    st.sampled_from(EDGES),
    st.one_of(
        st.sampled_from([timedelta(0), timedelta(microseconds=-1), timedelta(microseconds=1)]),
        st.integers(-20 * 86_400, 20 * 86_400).map(lambda seconds: timedelta(seconds=seconds)),
    ),
)
DAYS = st.tuples(st.integers(0, 364), st.integers(0, 364)).map(sorted)
PERIODS = DAYS.map(
    lambda days: {
        name: (datetime(2025, 4, 5, tzinfo=UTC) + timedelta(days=day)).date().isoformat()
        for name, day in zip(("first_day", "last_day"), days, strict=True)
    }
)
CALLS = st.integers(1, 200)
REP_IDS = st.integers(1, 6)
SCORES = st.integers(0, 100)
RUBRICS = st.sampled_from(["manager-1", "manager-1", "other-2"])
REMARKS = st.lists(st.sampled_from(["ask", "wait", "listen"]), max_size=3)

WRITES = st.one_of(
    st.tuples(
        st.just(
            "INSERT INTO coaching_sessions "
            "(call_id, rep_id, dimension, score, improvements, rubric_version, created_at) "
            "SELECT id, $2, $3, $4, $5, $6, $7 FROM calls WHERE id = $1"
        ),
        st.tuples(CALLS, REP_IDS, st.sampled_from(DIMENSIONS), SCORES, REMARKS, RUBRICS, MOMENTS),
    ),
    st.tuples(
        st.just("UPDATE coaching_sessions SET score = $1, rep_id = $2 WHERE id % 50 = $3"),
        st.tuples(SCORES, REP_IDS, st.integers(0, 49)),
    ),
    st.tuples(
        st.just("UPDATE coaching_sessions SET created_at = created_at + $1::interval WHERE id % 20 = $2"),
        st.tuples(st.integers(-40, 40).map(lambda days: timedelta(days=days)), st.integers(0, 19)),
    ),
    st.tuples(st.just("UPDATE calls SET product = $1 WHERE id = $2"), st.tuples(st.sampled_from(PRODUCTS), CALLS)),
    st.tuples(st.just("DELETE FROM coaching_sessions WHERE id % 10 = $1"), st.tuples(st.integers(0, 9))),
    st.tuples(st.just("DELETE FROM calls WHERE id = $1"), st.tuples(CALLS)),
    st.tuples(st.just("UPDATE reps SET team = $1 WHERE id = $2"), st.tuples(st.sampled_from("ab"), REP_IDS)),
)

OFFERS = st.integers(1, 40)
EMAIL_TEXTS = st.sampled_from(["We are worried about the price.", "Great, we love it.", "When is the launch?", ""])
ADDRESSES = st.sampled_from(["rep0001@tailrace.example", "Ann@Prospect.example", "bo@prospect.example", "odd"])
CORRESPONDENCE = st.one_of(
    st.tuples(
        st.just(
            "INSERT INTO emails (opportunity_id, sender_email, recipients, subject, body, sent_at) "
            "VALUES ($1, $2, $3, $4, $5, $6)"
        ),
        st.tuples(OFFERS, ADDRESSES, st.lists(ADDRESSES, max_size=2), EMAIL_TEXTS, EMAIL_TEXTS, MOMENTS),
    ),
    st.tuples(st.just("DELETE FROM emails WHERE id % 7 = $1"), st.tuples(st.integers(0, 6))),
    st.tuples(
        st.just("INSERT INTO call_opportunities SELECT id, $2 FROM calls WHERE id = $1 ON CONFLICT DO NOTHING"),
        st.tuples(CALLS, OFFERS),
    ),
    st.tuples(st.just("DELETE FROM call_opportunities WHERE call_id = $1"), st.tuples(CALLS)),
    st.tuples(st.just("UPDATE calls SET scheduled_at = $1 WHERE id = $2"), st.tuples(MOMENTS, CALLS)),
    st.tuples(
        st.just(
            "UPDATE opportunities SET stage = $1, close_date = $2::timestamptz::date, health_score = $3 WHERE id = $4"
        ),
        st.tuples(st.sampled_from(["closed_won", "proposal"]), MOMENTS, st.none() | SCORES, OFFERS),
    ),
)
TRANSCRIPTS = st.one_of(
    st.tuples(
        st.just(
            "UPDATE transcripts SET text = $1, end_ms = end_ms + 900 WHERE call_id = $2 AND sequence_number % 3 = 1"
        ),
        st.tuples(
            st.sampled_from(["The price is too high.", "I understand. What worries you?", "Let's meet on Friday.", ""]),
            CALLS,
        ),
    ),
    st.tuples(st.just("DELETE FROM transcripts WHERE call_id = $1 AND sequence_number > 5"), st.tuples(CALLS)),
    st.tuples(
        st.just("UPDATE speakers SET company_side = $1, email = $2 WHERE call_id = $3 AND id % 2 = 0"),
        st.tuples(st.sampled_from(["rep", "prospect", "partner"]), st.sampled_from([None, "", "x@y.example"]), CALLS),
    ),
)
ALL_WRITES = st.one_of(WRITES, CORRESPONDENCE, TRANSCRIPTS)

QUESTIONS = st.one_of(
    st.tuples(
        st.just("get_rep_insights"),
        st.fixed_dictionaries(
            {"rep_email": st.sampled_from(REPS)},
            optional={"period": PERIODS, "product": st.sampled_from(PRODUCTS), "rubric_version": RUBRICS},
        ),
    ),
    st.tuples(
        st.just("get_learning_insights"),
        st.fixed_dictionaries(
            {"rep_email": st.sampled_from(REPS), "focus_area": st.sampled_from(DIMENSIONS)},
            optional={"period": PERIODS, "rubric_version": RUBRICS},
        ),
    ),
    st.tuples(st.just("analyze_opportunity"), st.fixed_dictionaries({"opportunity_id": OFFERS})),
)


async def agree(baseline: Service, optimised: Service, tool: str, question: dict[str, Any]) -> Any:
    """The answer that both give, to the last byte; the optimised one calculates it, then has it in the cache."""
    before, after, again = [await service.ask(tool, **question) for service in (baseline, optimised, optimised)]
    for reply in (before, after, again):
        assert reply.status_code == 200, (tool, question, reply.text)
    # The decoded values first: where they differ, they say where.
    assert before.json() == after.json(), (tool, question)
    assert before.content == after.content, (tool, question)
    assert after.content == again.content, (tool, question)
    return before.json()["data"]


async def test_after_any_writes_both_agree(start_service: StartService) -> None:
    """No write leaves a summary or a kept answer behind: sessions, calls, representatives; changed, moved, deleted."""
    drawn: list[tuple[list[tuple[str, tuple[Any, ...]]], list[tuple[str, dict[str, Any]]]]] = []

    @settings(max_examples=12, database=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(ALL_WRITES, max_size=8), st.lists(QUESTIONS, min_size=3, max_size=6))
    def draw(writes: list[tuple[str, tuple[Any, ...]]], questions: list[tuple[str, dict[str, Any]]]) -> None:
        # Hypothesis calls tests, which cannot await: so it draws here, and the event loop runs what it drew.
        drawn.append((writes, questions))

    draw()
    async with (
        start_service("baseline") as baseline,
        start_service("optimised", rate_limit={"enabled": False}) as optimised,
    ):
        for writes, questions in drawn:
            for statement, arguments in writes:
                for service in (baseline, optimised):
                    await service.sql(statement, *arguments)
            await optimised.settled()
            for tool, question in questions:
                await agree(baseline, optimised, tool, question)
