"""What a transfer of tokens says and is answered with. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import Field

from tailrace.errors import RequestError
from tailrace.fastapi import Listing
from tailrace_services.bodies import Body, Id, RequestBody
from tailrace_services.research_hub.model import Movement
from tailrace_services.research_hub.tokens.idempotency import Outcome, refused

__all__ = ["INSUFFICIENT", "EntryView", "NewTransfer", "TokenAccount", "TransferView", "no_such_user", "transferred"]

LARGEST_AMOUNT = 10**12
"""Tokens; so many that balances stay far from the largest number."""


class NewTransfer(RequestBody):
    """``POST /api/tokens/transfer``."""

    to_user_id: Id
    amount: Annotated[int, Field(strict=True, ge=1, le=LARGEST_AMOUNT)]

    def checked(self, user_id: int) -> NewTransfer:
        """Itself, if ``user_id`` may ask for it.

        Raises:
            RequestError: 422, it is to oneself.
        """
        if self.to_user_id == user_id:
            raise RequestError("transfers go to somebody else", status=422, code="transfer_to_oneself")
        return self


class TransferView(Body):
    """A transfer, and what is left to whoever asked for it."""

    id: int
    to_user_id: int
    amount: int
    created_at: datetime
    balance: Annotated[int, Field(description="Right after the transfer.")]


class EntryView(Body):
    """One's own side of a movement."""

    id: int
    type: str
    amount: Annotated[int, Field(description="Below 0 where one gave.")]
    other_user_id: Annotated[int | None, Field(description="null where tokens were made or taken")]
    created_at: datetime


class TokenAccount(Listing[EntryView]):
    """What one has, and a page of how it came and went."""

    balance: int


INSUFFICIENT = refused(409, "insufficient_tokens", "there are not that many tokens to give")


def no_such_user(user_id: int) -> Outcome:
    """Refused: nobody is there to get them."""
    return refused(422, "user_not_found", f"there is no user {user_id}")


def transferred(movement_id: int, transfer: NewTransfer, now: datetime, balance: int) -> Outcome:
    """Done."""
    view = TransferView(
        id=movement_id, to_user_id=transfer.to_user_id, amount=transfer.amount, created_at=now, balance=balance
    )
    return Outcome(201, view.json_bytes())


def movement(user_id: int, transfer: NewTransfer, now: datetime) -> Movement:
    """The ledger's new row."""
    return Movement(
        from_user_id=user_id, to_user_id=transfer.to_user_id, type="transfer", amount=transfer.amount, created_at=now
    )
