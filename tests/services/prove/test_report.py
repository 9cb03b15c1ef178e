"""What a proof says is what was measured: rows under fixed names, lower bounds marked, goals judged honestly."""

from __future__ import annotations

import io
import json
from dataclasses import replace

from rich.console import Console

from tailrace_services.prove.answers import Difference
from tailrace_services.prove.comparison import Mismatch
from tailrace_services.prove.conditions import Crowd, Soak
from tailrace_services.prove.databases import Size
from tailrace_services.prove.goals import crowd_goals, growth_goal, size_goals, soak_goal, timing_goals
from tailrace_services.prove.report import Proof, json_rows, json_whole, print_proof, row_of
from tailrace_services.prove.timing import Timing
from tailrace_services.voice_dashboard.proof import SUBJECT
from tailrace_services.voice_dashboard.proof.outage import Outage, goals_of

KEYS = [
    "service",
    "endpoint",
    "scale",
    "asked_p95_ms",
    "before_p95_ms",
    "cold_p95_ms",
    "warm_p95_ms",
    "speedup_cold",
    "speedup_warm",
    "requests_per_second",
    "hit_ratio",
    "answers_compared",
    "answers_equal",
]
OVERVIEW = SUBJECT.endpoints[0]


def proof_of(timing: Timing | None, *, compared: int = 10, equal: int = 10) -> Proof:
    proof = Proof("Voice Dashboard", "small", Size(100_000, "calls"))
    proof.rows.append(row_of("voice-dashboard", OVERVIEW, "small", timing, compared=compared, equal=equal))
    return proof


def printed(proof: Proof) -> str:
    console = Console(file=io.StringIO(), width=120)
    print_proof(console, proof)
    return console.file.getvalue()  # type: ignore[attr-defined,no-any-return]


def test_rows_have_exactly_the_promised_names() -> None:
    """Programs read the rows: their names are fixed, what was not measured is null."""
    (row,) = json.loads(json_rows([proof_of(None)]))
    assert list(row) == KEYS
    assert row["before_p95_ms"] is None
    assert row["answers_compared"] == row["answers_equal"] == 10


def test_speedups_are_before_over_after() -> None:
    """Ratios of the p95s that are shown, in milliseconds."""
    timing = Timing(before=[2.0, 1.0], cold=[0.010] * 20, warm=[0.001] * 20)
    (row,) = proof_of(timing).rows
    assert (row.before_p95_ms, row.cold_p95_ms, row.warm_p95_ms) == (2000.0, 10.0, 1.0)
    assert (row.speedup_cold, row.speedup_warm) == (200.0, 2000.0)


def test_what_was_cut_off_is_marked() -> None:
    """A lower bound is shown as one, and so are the speed-ups made from it."""
    proof = proof_of(Timing(before=[30.0], cut=1, cold=[0.010], warm=[0.001]))
    proof.cut_off["overview"] = 1
    text = printed(proof)
    assert ">30,000" in text
    assert ">3,000" in text


def test_a_difference_makes_the_proof_fail_and_is_printed() -> None:
    """One answer that is not equal is enough, with the place where it differs."""
    assert proof_of(None).equal
    proof = proof_of(None, equal=9)
    proof.mismatches.append(Mismatch("overview", 7, "under writes", [Difference("kpis.totalLeads", "3", "2")]))
    assert not proof.equal
    assert "kpis.totalLeads: expected 3, got 2" in printed(proof)
    assert "kpis.totalLeads" in json.loads(json_whole([proof]))[0]["differences"][0]


def test_goals_are_met_or_not() -> None:
    """A goal that was missed says so."""
    slow = {goal.name: goal.met for goal in timing_goals(OVERVIEW, Timing(cold=[0.020], warm=[0.0015]))}
    assert slow == {"overview, asked (cold)": True, "overview, cold": False, "overview, warm": True}
    assert [goal.met for goal in goals_of(Outage(9.0, 0.04, 40, 40, {200: 40}))] == [True, True]
    assert [goal.met for goal in goals_of(Outage(9.0, 0.06, 40, 39, {200: 40}))] == [False, False]
    assert [goal.met for goal in crowd_goals(Crowd(500, 1000, 1.5, {}, 900.0))] == [True, True]
    assert [goal.met for goal in crowd_goals(Crowd(500, 1000, 2.5, {"timeout": 1}, 900.0))] == [False, False]
    sizes = {"gzip": 0.7, "br": 0.59}
    assert [(goal.name, goal.met) for goal in size_goals(replace(OVERVIEW, smaller=0.6), sizes)] == [
        ("overview, gzip", True),
        ("overview, br", False),
    ]
    assert list(size_goals(OVERVIEW, sizes)) == []
    assert growth_goal([1.0] * 20, [1.4] * 20, "x").met
    assert not growth_goal([1.0] * 20, [1.6] * 20, "x").met
    assert soak_goal(Soak(600, 1, 100, 101, 0)).met
    assert not soak_goal(Soak(600, 1, 100, 103, 0)).met
