"""``analyze_opportunity``, by both implementations."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from pydantic import SecretStr
from tests.services.call_coach.endpoints.conftest import NOW, Service, StartService

OFFER = (
    "INSERT INTO opportunities (name, account, owner_email, stage, amount, close_date, health_score) "
    "VALUES ('Alder: Storage', 'Alder', 'ann@ours.example', 'proposal', 1000.50, '2026-03-20', 30) RETURNING id"
)
EMAIL = (
    "INSERT INTO emails (opportunity_id, sender_email, recipients, subject, body, sent_at) "
    "VALUES ($1, $2, $3, 'Re: price', $4, $5::text::timestamptz)"
)


async def new_offer(service: Service) -> int:
    (row,) = await service.sql(OFFER)
    return int(row["id"])


async def new_call(service: Service, offer: int, at: str, turns: list[tuple[str, str]]) -> int:
    """A call with one turn after the other, each of a side and a text."""
    (call,) = await service.sql(
        "INSERT INTO calls (title, scheduled_at, duration_seconds) VALUES ('Talk', $1::text::timestamptz, 60) "
        "RETURNING id",
        at,
    )
    speakers = {
        side: (
            await service.sql(
                "INSERT INTO speakers (call_id, name, email, company_side) VALUES ($1, $2, $3, $2) RETURNING id",
                call["id"],
                side,
                "bo@alder.example" if side == "prospect" else "ann@ours.example",
            )
        )[0]["id"]
        for side in ("rep", "prospect")
    }
    for number, (side, text) in enumerate(turns, 1):
        await service.sql(
            "INSERT INTO transcripts (call_id, speaker_id, sequence_number, start_ms, end_ms, text) "
            "VALUES ($1, $2, $3::int, $3::int * 1000, $3::int * 1000 + 900, $4)",
            *(call["id"], speakers[side], number, text),
        )
    await service.sql("INSERT INTO call_opportunities VALUES ($1, $2)", call["id"], offer)
    await service.settled()
    return int(call["id"])


async def ask(service: Service, offer: int) -> dict[str, Any]:
    reply = await service.ask("analyze_opportunity", opportunity_id=offer)
    assert reply.status_code == 200, reply.text
    data: dict[str, Any] = reply.json()["data"]
    return data


async def test_by_hand(service: Service) -> None:
    """One call and two emails: timeline, mood, themes, objection and risks as their definitions have them."""
    offer = await new_offer(service)
    turns = [
        ("rep", "What do you think of the price?"),
        ("prospect", "It is too expensive for us."),
        ("rep", "Our dashboards are nice and our reports are nice too."),
        ("prospect", "Great."),
    ]
    call = await new_call(service, offer, "2026-03-01T10:00Z", turns)
    await service.sql(EMAIL, offer, "bo@alder.example", ["ann@ours.example"], "We are not happy.", "2026-03-10T09:00Z")
    await service.sql(EMAIL, offer, "ann@ours.example", ["bo@alder.example"], "We love it.", "2026-03-30T09:00Z")
    await service.settled()
    data = await ask(service, offer)
    assert data["opportunity"] == {
        "id": offer,
        "name": "Alder: Storage",
        "account": "Alder",
        "owner_email": "ann@ours.example",
        "stage": "proposal",
        "amount": "1000.50",
        "close_date": "2026-03-20",
        "health_score": 30,
    }
    assert (data["calls"], data["emails"], data["contacts"], data["today"]) == (1, 2, 1, "2026-03-31")
    ours, theirs, held = data["timeline"]
    assert (ours["by"], ours["sentiment"], ours["engagement"]) == ("ours", None, None)
    assert (theirs["by"], theirs["sentiment"], theirs["themes"]) == ("prospect", -1.0, ["pricing"])
    # Of 24 words the prospect says 7; "expensive" against "great".
    assert (held["id"], held["by"], held["sentiment"], held["objections"]) == (call, "both", 0.0, 1)
    assert held["engagement"] == round(7 / 24, 3)
    # Words of prices: twice in the call, once in each subject.
    (pricing,) = data["themes"]
    assert (pricing["name"], pricing["touchpoints"], pricing["mentions"]) == ("pricing", 3, 4)
    assert (pricing["first_at"], pricing["last_at"]) == ("2026-03-01T10:00:00Z", "2026-03-30T09:00:00Z")
    (objection,) = data["objections"]
    assert (objection["kind"], objection["raised"], objection["handled"]) == ("price", 1, 0)
    assert objection["latest"]["evidence"] == {
        "sequence_number": 2,
        "start_ms": 2000,
        "end_ms": 2900,
        "speaker": "prospect",
        "quote": "It is too expensive for us.",
    }
    # One positive word of three.
    assert data["sentiment"] == -0.333
    assert data["sentiment_trend"] == {"direction": "unknown", "slope": -1.0}
    found = {(risk["code"], risk["severity"]) for risk in data["risks"]}
    assert found == {
        ("overdue", "high"),
        ("unhealthy", "high"),
        ("silent", "medium"),
        ("no_next_step", "medium"),
        ("souring", "medium"),
        ("objections_open", "medium"),
        ("single_contact", "medium"),
    }
    assert [each["risk"] for each in data["recommendations"]] == [risk["code"] for risk in data["risks"]]


async def test_every_opportunity_has_an_answer(service: Service) -> None:
    """All forty: the timeline is newest first, and what was read is what was counted."""
    counts = {
        row["id"]: (row["calls"], row["emails"])
        for row in await service.sql(
            "SELECT id, (SELECT count(*) FROM call_opportunities WHERE opportunity_id = o.id) AS calls, "
            "(SELECT count(*) FROM emails WHERE opportunity_id = o.id) AS emails FROM opportunities o"
        )
    }
    for offer in list(counts)[:25]:
        data = await ask(service, offer)
        assert (data["calls"], data["emails"]) == counts[offer]
        moments = [each["at"] for each in data["timeline"]]
        assert moments == sorted(moments, reverse=True)
        kinds = [each["kind"] for each in data["timeline"]]
        assert (kinds.count("call"), kinds.count("email")) == (min(25, data["calls"]), min(50, data["emails"]))


async def test_an_opportunity_nobody_spoke_about(service: Service) -> None:
    """Nothing to divide by: no mood, no trend, and silence is the risk."""
    data = await ask(service, await new_offer(service))
    assert (data["timeline"], data["themes"], data["objections"], data["sentiment"]) == ([], [], [], None)
    assert data["engagement_trend"] == {"direction": "unknown", "slope": None}
    assert "silent" in [risk["code"] for risk in data["risks"]]


async def test_closed_opportunities_have_no_risks(service: Service) -> None:
    """Won or lost: there is nothing to recommend."""
    offer = await new_offer(service)
    for stage in ("closed_won", "closed_lost"):
        await service.sql("UPDATE opportunities SET stage = $1 WHERE id = $2", stage, offer)
        await service.settled()
        data = await ask(service, offer)
        assert (data["risks"], data["recommendations"]) == ([], [])


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE transcripts SET text = 'Perfect.' WHERE call_id = $1 AND sequence_number = 2",
        "UPDATE speakers SET company_side = 'partner' WHERE call_id = $1 AND company_side = 'rep'",
        "UPDATE calls SET title = 'Another' WHERE id = $1",
        "DELETE FROM calls WHERE id = $1",
        "DELETE FROM call_opportunities WHERE call_id = $1",
    ],
)
async def test_any_change_of_a_call_is_seen(service: Service, change: str) -> None:
    """Whoever changes a call, its turns or its people, by plain SQL: the next answer knows."""
    offer = await new_offer(service)
    call = await new_call(service, offer, "2026-03-01T10:00Z", [("rep", "Hello?"), ("prospect", "We are worried.")])
    before = await ask(service, offer)
    assert await ask(service, offer) == before
    await service.sql(change, call)
    await service.settled()
    assert await ask(service, offer) != before


async def test_calls_that_come_later_are_watched_too(service: Service) -> None:
    """A call that is linked after the first answer, and changes after the second, is in the third."""
    offer = await new_offer(service)
    assert (await ask(service, offer))["timeline"] == []
    call = await new_call(service, offer, "2026-03-01T10:00Z", [("prospect", "We are worried.")])
    assert (await ask(service, offer))["sentiment"] == -1.0
    await service.sql("UPDATE transcripts SET text = 'We are happy.' WHERE call_id = $1", call)
    await service.settled()
    assert (await ask(service, offer))["sentiment"] == 1.0


async def test_of_many_calls_each_is_watched(start_service: StartService) -> None:
    """Beyond so many calls that each has a tag of its own, a change of any is still seen."""
    async with start_service("optimised") as service:
        offer = await new_offer(service)
        await service.sql("INSERT INTO call_opportunities SELECT id, $1 FROM calls WHERE id <= 70", offer)
        await service.settled()
        before = await ask(service, offer)
        assert before["calls"] == 70
        newest = next(each["id"] for each in before["timeline"] if each["kind"] == "call")
        await service.sql("UPDATE transcripts SET text = 'We are unhappy.' WHERE call_id = $1", newest)
        await service.settled()
        assert await ask(service, offer) != before


async def test_days_go_by(start_service: StartService, valkey_url: str) -> None:
    """An answer of yesterday is not given today, though it is still in the store."""
    shared = {"valkey_url": SecretStr(valkey_url)}
    async with start_service("optimised", **shared) as yesterdays:
        first = await ask(yesterdays, 1)
        today = NOW + timedelta(days=1)
        async with start_service("optimised", now=today, at=yesterdays.database_url, **shared) as todays:
            second = await ask(todays, 1)
    assert (first["today"], second["today"]) == ("2026-03-31", "2026-04-01")


async def test_an_unknown_opportunity(service: Service) -> None:
    """404 in the service's shape; and known as soon as it is there."""
    reply = await service.ask("analyze_opportunity", opportunity_id=41)
    assert (reply.status_code, reply.json()["error"]) == (404, "opportunity_not_found")
    assert await new_offer(service) == 41
    await service.settled()
    assert (await ask(service, 41))["opportunity"]["id"] == 41


@pytest.mark.parametrize("wrong", [{}, {"opportunity_id": 0}, {"opportunity_id": "1"}, {"opportunity_id": 2**63}])
async def test_what_is_refused(service: Service, wrong: dict[str, Any]) -> None:
    """An id that cannot be one is 422."""
    assert (await service.ask("analyze_opportunity", **wrong)).status_code == 422
