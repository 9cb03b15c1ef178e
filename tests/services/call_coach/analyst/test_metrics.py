"""Each metric on a conversation small enough to do by hand: the expected figures below were."""

from __future__ import annotations

import pytest
from tests.services.call_coach.analyst.talking import talk

from tailrace_services.call_coach.analyst import Conversation, Turn, measure
from tailrace_services.call_coach.analyst.answers import answers
from tailrace_services.call_coach.analyst.conversation import sentences, words
from tailrace_services.call_coach.analyst.fillers import fillers_per_minute
from tailrace_services.call_coach.analyst.interactivity import switches_per_minute
from tailrace_services.call_coach.analyst.interruptions import interruptions
from tailrace_services.call_coach.analyst.lexicon import Phrases
from tailrace_services.call_coach.analyst.mentions import (
    competitor_mentions,
    dated_next_steps,
    next_steps,
    pricing_mentions,
)
from tailrace_services.call_coach.analyst.monologue import longest_monologue
from tailrace_services.call_coach.analyst.objections import objections
from tailrace_services.call_coach.analyst.pace import words_per_minute
from tailrace_services.call_coach.analyst.patience import patience, waits
from tailrace_services.call_coach.analyst.questions import questions
from tailrace_services.call_coach.analyst.talk import listening_ms, speaking_ms, talk_share


def test_talk_share_counts_time_not_turns() -> None:
    """3 s of 12 s; the second representative talks over the first, which is the same time; silence is nobody's."""
    call = talk("R 0-2 a", "S 1-3 b", "P 10-18 c", "X 17-19 d")
    assert (speaking_ms(call), listening_ms(call)) == (3000, 9000)
    assert talk_share(call) == 0.25


def test_talk_share_of_nothing() -> None:
    """Nobody speaking is no ratio."""
    assert talk_share(talk()) is None
    assert talk_share(talk("R 1-1 a")) is None


def test_longest_monologue() -> None:
    """Pauses and back channels do not break it; another's words do, and so does a silence of more than 3 s."""
    call = talk(
        "R 0-10 We begin here.",
        "P 8-9 Mm-hmm.",
        "R 12.9-20 And go on.",  # 2.9 s later: 20 s in all
        "P 20-26 But what about the price?",
        "R 26-40 It is fair.",
        "R 43.1-50 After a silence.",  # 3.1 s later
    )
    longest = longest_monologue(call, of_rep=True)
    assert longest is not None
    assert (longest.first_turn, longest.length_ms) == (1, 20_000)
    story = longest_monologue(call, of_rep=False)
    assert story is not None
    assert (story.first_turn, story.length_ms) == (4, 6000)
    assert longest_monologue(talk("P 0-1 Hi"), of_rep=True) is None


def test_two_colleagues_are_not_one_monologue() -> None:
    """A monologue is one person's, even where a colleague takes over."""
    longest = longest_monologue(talk("R 0-5 one thing more", "S 5-12 and another thing"), of_rep=True)
    assert longest is not None
    assert (longest.speaker, longest.length_ms) == ("S", 7000)


def test_interruptions() -> None:
    """Half a second from the end is overlap; deeper is an interruption if it says something and outlasts the other."""
    call = talk(
        "P 0-10 We have a long story to tell.",
        "R 5-6 Mm-hmm, right.",  # back channel
        "R 6-9 Let me just say this quickly.",  # over before the other is
        "R 9.5-12 That is common in retail.",  # exactly half a second: overlap
        "P 20-30 And then there is the second thing.",
        "R 29.4-33 Let me stop you there.",  # 0.6 s before the end: an interruption
        "P 31-35 No, I was not finished yet.",  # 2 s before the end: the prospect interrupts
    )
    assert [turn.number for turn in interruptions(call, by_rep=True)] == [6]
    assert [turn.number for turn in interruptions(call, by_rep=False)] == [7]


def test_colleagues_do_not_interrupt_each_other() -> None:
    """Only the other side can be interrupted."""
    call = talk("P 0-10 a long story of ours", "Q 5-12 no it was different there")
    assert interruptions(call, by_rep=False) == []


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("How do you handle invoices today?", [True]),
        ("So, um, what happens then?", [True]),
        ("Okay, and why is that?", [True]),
        ("Tell me about the migration.", [True]),
        ("Could you walk me through it?", [True]),
        ("I guess, like, what is the plan?", [True]),
        ("Do you use spreadsheets?", [False]),
        ("Is there a budget?", [False]),
        ("How many users are there?", [False]),
        ("What time works?", [False]),
        ("Who decides?", [False]),
        ("When do you start?", [False]),
        ("You do what?", [False]),
        ("Right?", []),
        ("That is fine, okay.", []),
        ("We told them. Why? They asked. Is it true?", [True, False]),
        ("What works is simple.", []),
        ('He asked "why?"', [False]),
        ("", []),
    ],
)
def test_questions(said: str, expected: list[bool]) -> None:
    """Which sentences ask, and which of them leave the answer open."""
    assert [question.open for question in questions(talk(f"R 0-1 {said}"), of_rep=True)] == expected


def test_questions_are_of_one_side() -> None:
    """The prospect's questions are not the representative's."""
    call = talk("R 0-1 Why?", "P 1-2 Is it?", "X 2-3 What for?")
    assert [len(questions(call, of_rep=side)) for side in (True, False)] == [1, 2]


def test_patience_is_the_median_wait() -> None:
    """Waits of 0.5, 2 and 0 s (an overlap): the median is 0.5. Back channels are no answers and break nothing."""
    call = talk(
        "P 0-4 Our story.",
        "R 4.1-4.3 Okay.",
        "R 4.5-6 Thank you for that.",
        "R 7-8 One more thing to say.",  # goes on, does not answer
        "P 8-10 Another story.",
        "Q 9-12 And mine as well.",  # the last to finish counts
        "R 14-15 I see your point there.",
        "P 15-20 But then again we wait.",
        "R 19-22 Let me say something.",
    )
    assert waits(call) == [(3, 500), (7, 2000), (9, 0)]
    assert patience(call) == 0.5
    assert patience(talk("R 0-1 Hi there my friends")) is None


def test_fillers_for_each_minute_of_speech() -> None:
    """Five in 30 s of speech are ten a minute; a verb "like" is none, and the other side's do not count."""
    call = talk(
        "R 0-20 Um, so we, uh, have, like, three, you know, plans.",
        "P 20-40 Um, um, um.",
        "R 40-50 I like it. It works like this. Basically.",
    )
    assert fillers_per_minute(call) == 10
    assert fillers_per_minute(talk("P 0-1 um")) is None


def test_words_per_minute() -> None:
    """Six words in 3 s are 120 a minute; sounds in brackets are not words."""
    assert words_per_minute(talk("R 0-2 one two three four", "P 2-9 a b c", "R 9-10 five [laugh] six")) == 120
    assert words_per_minute(talk("P 0-1 a")) is None


def test_switches_per_minute() -> None:
    """Three changes of side in 30 s are six a minute; a back channel changes nothing."""
    call = talk(
        "R 0-5 We are here.",
        "P 5-6 Yeah.",
        "R 6-9 And there.",
        "P 9-20 So are we.",
        "R 20-25 Well then",
        "P 25-30 Fine by us",
    )
    assert switches_per_minute(call) == 6
    assert switches_per_minute(talk()) is None


def test_mentions() -> None:
    """Turns are counted, not words; a day makes a next step a dated one."""
    call = talk(
        "R 0-1 The next steps: I'll send the quote.",
        "P 1-2 Let's schedule a call on Thursday.",
        "P 2-3 The price and the budget are fine.",
        "P 3-4 Brightlane is cheaper than the other vendors.",
        "R 4-5 We priced it costly for Fridays.",
    )
    assert [turn.number for turn in next_steps(call)] == [1, 2]
    assert [turn.number for turn in dated_next_steps(call)] == [2]
    assert [turn.number for turn in pricing_mentions(call)] == [1, 3, 4]
    assert [turn.number for turn in competitor_mentions(call)] == [4]


def test_objections_and_their_responses() -> None:
    """Each objection is paired with the next words of a representative that say something."""
    call = talk(
        "P 0-2 I'm concerned about the migration.",
        "R 2.1-2.4 Okay.",
        "R 3-6 I understand. What worries you most?",
        "P 10-12 It is too expensive.",
        "R 11.5-14 Our list price is what it is.",
        "P 20-22 We had a bad experience.",
        "R 22.5-30 A customer in retail said so too.",
        "P 40-41 Is it too expensive?",  # a question, not an objection
        "R 41-42 Good point, but no.",
        "P 50-52 Not sure it scales.",
        "P 53-54 one",
        "P 54-55 two",
        "P 55-56 three",
        "P 56-57 four",
        "R 57-58 Too late to respond to that.",
    )
    found = objections(call)
    assert [(each.turn.number, each.response and each.response.number) for each in found] == [
        (1, 3),
        (4, 5),
        (6, 7),
        (10, None),
    ]
    assert [(each.acknowledged, each.explored, each.evidenced) for each in found] == [
        (True, True, False),
        (False, False, False),
        (False, False, True),
        (False, False, False),
    ]
    assert [each.wait_ms for each in found] == [1000, 0, 500, None]
    assert [each.handled for each in found] == [True, False, True, False]


def test_answers_to_the_prospect() -> None:
    """A question is answered by eight words or more of a representative within three turns."""
    call = talk(
        "P 0-1 How many users can it handle?",
        "R 1-2 Well, good question.",
        "R 2-6 In practice it handles a thousand users, and more for one customer.",
        "P 7-8 Is it encrypted?",
        "R 8-9 Yes it is.",
        "P 9-10 Fine.",
        "P 10-11 And now we go on.",
    )
    assert [(each.question.turn.number, each.turn and each.turn.number, each.evidenced) for each in answers(call)] == [
        (1, 3, True),
        (4, None, False),
    ]


def test_all_of_them_together() -> None:
    """A whole call measured at once gives the same figures as each metric alone."""
    call = talk(
        "R 0-10 How do you bill today?",
        "P 10.5-40 Mostly with spreadsheets, and that is too expensive for us.",
        "R 41-51 I understand. Let's schedule a session on Monday.",
        "P 51-55 What does it cost for ten users?",
    )
    metrics = measure(call)
    assert (metrics.speaking_seconds, metrics.listening_seconds) == (20.0, 33.5)
    assert (metrics.questions, metrics.open_question_share, metrics.questions_asked_back) == (1, 1.0, 1)
    assert (metrics.patience_seconds, metrics.longest_monologue_seconds) == (1.0, 10.0)
    assert metrics.longest_customer_story_seconds == 29.5
    assert (metrics.next_steps, metrics.dated_next_steps) == (1, 1)
    assert (metrics.pricing_mentions, metrics.competitor_mentions) == (2, 0)
    assert (metrics.objections, metrics.objections_handled) == (1, 1)
    assert (metrics.questions_due, metrics.questions_answered) == (1, 0)
    assert metrics.switches_per_minute == pytest.approx(3 * 60 / 55)


def test_words_sentences_phrases() -> None:
    """What counts as a word, a sentence, and a phrase found in a text."""
    assert words("It’s 3.5% — [inaudible] “well-known”, A/B!") == ["it's", "3.5", "well-known", "a", "b"]
    assert sentences("One. Two?! Three…  ") == ["One.", "Two?!", "Three…"]
    assert sentences("") == []
    assert Phrases(["cost"]).find("Cost, costs and low-cost; cost's") == ["cost", "cost"]
    assert Phrases([]).find("anything") == []
    assert Phrases(["can you", "can you walk"]).starts("can you walk on") == "can you walk"


def test_turns_come_in_any_order_but_forward() -> None:
    """Order is the conversation's own business; a turn that ends before it starts is a mistake."""
    first, second = Turn(1, "A", "rep", 0, 1, ""), Turn(2, "B", "prospect", 2, 3, "")
    assert Conversation.of([second, first]).turns == (first, second)
    with pytest.raises(ValueError, match="turn 3 ends before it starts"):
        Conversation.of([Turn(3, "A", "rep", 2, 1, "")])
