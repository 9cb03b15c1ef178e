"""Who asks, and whose requests a limit counts together. Touches: the caller's row.

Nobody need say who they are: who does not is limited by address. A credential that is sent must be right, and only one
that was found right decides whose bucket a request takes from: the caller's email, so that a person's keys share one,
or the key's, where it is a program's. A wrong one is refused, and counts for its address.
"""

from __future__ import annotations

from collections.abc import Awaitable

from fastapi import Request
from sqlalchemy import select

from tailrace.clock import Clock
from tailrace.fastapi import Exchange
from tailrace_services.call_coach.keys import KEYS, TOKENS
from tailrace_services.call_coach.model import Caller
from tailrace_services.identity.accounts import HOLDER, Account, Accounts
from tailrace_services.identity.authentication import Authenticator

__all__ = ["FIND_CALLER", "Callers"]


FIND_CALLER = select(Caller.api_key_hash, Caller.is_active, Caller.email).where(Caller.id == HOLDER)
"""A caller's key hash, standing and email."""


class Callers(Authenticator):
    """The service's callers.

    Args:
        accounts: knows them.
        clock: says when tokens expire.
    """

    def __init__(self, accounts: Accounts, clock: Clock) -> None:
        super().__init__(accounts, KEYS, TOKENS, clock)

    async def anybody(self, request: Request) -> Account | None:
        """The caller who sent ``request``, None for who does not say; a wrong credential is 401."""
        headers = request.scope["headers"]
        return None if self.is_anonymous(headers) else await self.account(headers)

    def bucket(self, exchange: Exchange) -> str | Awaitable[str | None] | None:
        """Whose bucket a request takes from, None for its address's; awaited where the caller's row must be read."""
        headers = exchange.scope["headers"]
        return None if self.is_anonymous(headers) else self.identify(headers, _bucket)


def _bucket(account: Account) -> str:
    return f"key:{account.holder_id}" if account.email is None else f"email:{account.email.lower()}"
