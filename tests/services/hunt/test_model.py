"""The hunt's model allows what the guarantees allow and nothing else: every rule has a planted violation."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace_services.hunt.model import Counter, Kind, Read, Register, Violation, check_owner

BOUND = 1.0


def kind(violation: Violation | None) -> Kind | None:
    return None if violation is None else violation.kind


def counter_with_one_write(session: str | None) -> Counter:
    """Base 10, one write begun at 5 and acknowledged at 6."""
    counter = Counter("calls", BOUND, base=10)
    counter.acknowledge(counter.begin(session, 5.0), 6.0)
    return counter


@pytest.mark.parametrize(
    ("value", "session", "started", "ended", "expected"),
    [
        (10, "me", 6.1, 6.2, "own write not visible"),
        (11, "me", 6.1, 6.2, None),
        (10, "me", 5.5, 6.2, None),  # sent before my write was acknowledged
        (10, "other", 6.9, 7.0, None),
        (10, "other", 7.0, 7.1, "stale beyond the bound"),
        (10, "me", 7.5, 7.6, "stale beyond the bound"),
        (11, "other", 5.0, 5.1, None),  # it may have committed before it was acknowledged
        (11, "other", 4.0, 4.9, "never committed"),
        (12, "other", 8.0, 8.1, "never committed"),
        (9, "other", 1.0, 1.1, "stale beyond the bound"),
    ],
)
def test_a_counter_is_neither_stale_nor_ahead(
    value: int, session: str, started: float, ended: float, expected: Kind | None
) -> None:
    """Own writes at once, others' within the bound, nothing before it was begun."""
    assert kind(counter_with_one_write("me").check(value, Read(session, started, ended))) == expected


def test_own_and_others_writes_add_up() -> None:
    """A session must see its own recent writes beside all the old ones, not in place of them."""
    counter = Counter("calls", BOUND)
    for moment in (1.0, 2.0, 3.0):
        counter.acknowledge(counter.begin("other", moment), moment)
    counter.acknowledge(counter.begin("me", 10.0), 10.0)
    counter.acknowledge(counter.begin("other", 10.1), 10.2)
    assert kind(counter.check(3, Read("me", 10.3, 10.4))) == "own write not visible"
    assert kind(counter.check(4, Read("me", 10.3, 10.4))) is None
    assert kind(counter.check(4, Read("me", 11.3, 11.4))) == "stale beyond the bound"
    assert kind(counter.check(2, Read("stranger", 10.3, 10.4))) == "stale beyond the bound"


def test_a_write_that_was_refused_is_never_seen() -> None:
    """A rolled-back insert that shows in an answer is a violation at any time."""
    counter = Counter("calls", BOUND, base=10)
    counter.withdraw(counter.begin(None, 5.0))
    assert kind(counter.check(11, Read("r", 6.0, 6.1))) == "never committed"
    assert kind(counter.check(10, Read("r", 9.0, 9.1))) is None


def test_a_lost_write_is_allowed_both_ways_until_it_is_settled() -> None:
    """An unknown outcome widens what is allowed, and asking the database narrows it again."""
    for held, must in ((11, 11), (10, 10)):
        counter = Counter("calls", BOUND, base=10)
        counter.lose(counter.begin("me", 5.0))
        assert kind(counter.check(10, Read("me", 30.0, 30.1))) is None
        assert kind(counter.check(11, Read("me", 30.0, 30.1))) is None
        assert counter.unsettled == 1
        counter.settle(held, 40.0)
        assert counter.unsettled == 0
        assert kind(counter.check(must, Read("me", 41.0, 41.1))) is None
        wrong = 21 - must
        assert kind(counter.check(wrong, Read("me", 41.0, 41.1))) is not None


def test_the_database_must_explain_what_was_acknowledged() -> None:
    """Settling finds an acknowledged write that is gone, and a row that nobody wrote."""
    with pytest.raises(ValueError, match="the database holds 10"):
        counter_with_one_write("me").settle(10, 9.0)
    with pytest.raises(ValueError, match="the database holds 12"):
        counter_with_one_write("me").settle(12, 9.0)


def register_with_two_writes() -> Register:
    """a at first; b by ``me``, 5 to 6; c by raw SQL, 7 to 8."""
    register = Register("name", BOUND, "a")
    register.acknowledge(register.begin("me", "b", 5.0), 6.0)
    register.acknowledge(register.begin(None, "c", 7.0), 8.0)
    return register


@pytest.mark.parametrize(
    ("value", "session", "started", "ended", "expected"),
    [
        ("a", "me", 6.5, 6.6, "own write not visible"),
        ("a", "other", 6.5, 6.6, None),
        ("a", "other", 7.0, 7.1, "stale beyond the bound"),
        ("b", "me", 8.5, 8.6, None),  # psql's write is not mine
        ("b", "me", 9.0, 9.1, "stale beyond the bound"),
        ("c", "other", 7.0, 7.1, None),
        ("c", "other", 6.0, 6.9, "never committed"),
        ("x", "other", 6.0, 6.9, "never committed"),
        ("a", "me", 4.0, 9.9, None),  # sent long before, answered long after
    ],
)
def test_a_register_is_neither_stale_nor_ahead(
    value: str, session: str, started: float, ended: float, expected: Kind | None
) -> None:
    """Replaced values may be seen only as long as the guarantees say."""
    assert kind(register_with_two_writes().check(value, Read(session, started, ended))) == expected


def test_a_rolled_back_value_is_never_seen() -> None:
    """A value of an aborted transaction in an answer is a violation, and the value before it stays right."""
    register = register_with_two_writes()
    register.withdraw(register.begin(None, "d", 10.0))
    assert kind(register.check("d", Read("r", 20.0, 20.1))) == "never committed"
    assert kind(register.check("c", Read("r", 20.0, 20.1))) is None


def test_a_lost_value_is_allowed_both_ways_until_it_is_settled() -> None:
    """After a lost answer both values may be seen; the database then says which one."""
    for held, other in (("d", "c"), ("c", "d")):
        register = register_with_two_writes()
        register.lose(register.begin("me", "d", 10.0))
        assert kind(register.check("c", Read("me", 20.0, 20.1))) is None
        assert kind(register.check("d", Read("me", 20.0, 20.1))) is None
        with pytest.raises(ValueError, match="two writes at once"):
            register.begin("me", "e", 21.0)
        register.settle(held, 30.0)
        assert kind(register.check(held, Read("me", 32.0, 32.1))) is None
        assert kind(register.check(other, Read("me", 32.0, 32.1))) is not None


def test_a_register_settles_on_what_was_acknowledged() -> None:
    """A database that holds neither the last acknowledged value nor a lost one has lost a commit."""
    register = register_with_two_writes()
    register.settle("c", 9.0)
    with pytest.raises(ValueError, match="the database holds b"):
        register.settle("b", 9.0)
    register.lose(register.begin("me", "d", 10.0))
    with pytest.raises(ValueError, match="the database holds a"):
        register.settle("a", 11.0)


def test_values_are_written_once() -> None:
    """A value written twice could not tell which write was seen."""
    with pytest.raises(ValueError, match="written before"):
        register_with_two_writes().begin(None, "a", 9.0)


def test_anything_of_another_user_is_found() -> None:
    """One foreign agent among a user's own is enough."""
    read = Read("r", 1.0, 1.1)
    assert check_owner(7, [7, 7], read) is None
    assert kind(check_owner(7, [7, 8], read)) == "somebody else's answer"


@given(
    gaps=st.lists(st.tuples(st.floats(0.01, 2), st.floats(0.01, 2), st.booleans()), min_size=1, max_size=20),
    at=st.floats(0, 60),
    delay=st.floats(0, 0.99),
)
def test_a_store_that_keeps_the_guarantees_is_never_accused(
    gaps: list[tuple[float, float, bool]], at: float, delay: float
) -> None:
    """Soundness: a reader that sees own commits at once and others' within the bound violates nothing."""
    counter, register = Counter("calls", BOUND), Register("name", BOUND, "v0")
    moment, visible, value = 0.0, 0, "v0"
    for number, (pause, took, mine) in enumerate(gaps, start=1):
        begun, ended = moment + pause, moment + pause + took
        session = "me" if mine else None
        counter.acknowledge(counter.begin(session, begun), ended)
        register.acknowledge(register.begin(session, f"v{number}", begun), ended)
        committed = begun + took / 2
        if committed + (0.0 if mine else delay) <= at:
            visible, value = number, f"v{number}"
        moment = ended
    read = Read("me", at, at + 0.001)
    # Seeing a later one implies the earlier ones: take what the register would show for both.
    assert counter.check(visible, read) is None
    assert register.check(value, read) is None
