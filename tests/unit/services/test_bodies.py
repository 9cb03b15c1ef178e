"""Answers made of values that are known to fit."""

from __future__ import annotations

import copy
import pickle
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError

from tailrace_services.bodies import Body
from tailrace_services.trading_desk.api.schemas import ItemView
from tailrace_services.trading_desk.api.signals import SignalView
from tailrace_services.trading_desk.optimised.items import item_view
from tailrace_services.trading_desk.optimised.signals import signal_view

NOW = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)
PRICE = Decimal("1.2500")
ITEM = (7, "Roll WTI", "", "risk", 4, "open", ["wti"], {"asset": "WTI"}, NOW, NOW)
SIGNAL: Any = (9, NOW, "EURUSD", "quote", "oanda", PRICE, PRICE, None, None, None, "raw \u2028")


@pytest.mark.parametrize(
    ("made", "kind"), [(item_view(ITEM), ItemView), (signal_view(SIGNAL), SignalView)], ids=["item", "signal"]
)
def test_they_are_what_pydantic_makes_of_the_same(made: Body, kind: type[Body]) -> None:
    """Every field is there, in its order; the same in whatever an answer is asked for."""
    assert list(made.__dict__) == list(kind.model_fields)
    theirs = kind.model_construct(**made.__dict__)
    assert made == theirs
    assert made.json_bytes() == theirs.json_bytes() == kind.model_validate_json(made.json_bytes()).json_bytes()
    assert made.model_dump() == theirs.model_dump()
    assert made.model_dump_json(exclude_unset=True) == theirs.model_dump_json(exclude_unset=True)
    assert repr(made) == repr(theirs)
    assert made.__getstate__() == theirs.__getstate__()
    assert made.model_copy(deep=True) == copy.copy(made) == pickle.loads(pickle.dumps(made)) == theirs


def test_they_are_frozen() -> None:
    """As every answer is."""
    with pytest.raises(ValidationError, match="frozen"):
        item_view(ITEM).title = "another"
