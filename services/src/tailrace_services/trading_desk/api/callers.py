"""Who asks. Touches: the trader's row.

Items are the desk's own: whoever reads or writes them shows a trader's API key, or a token made with it.
"""

from __future__ import annotations

from collections.abc import Awaitable

from fastapi import Request
from sqlalchemy import select

from tailrace.clock import Clock
from tailrace.fastapi import Exchange
from tailrace_services.identity.accounts import HOLDER, Account, Accounts
from tailrace_services.identity.authentication import Authenticator
from tailrace_services.trading_desk.keys import KEYS, TOKENS
from tailrace_services.trading_desk.model import Trader

__all__ = ["FIND_TRADER", "Callers"]


FIND_TRADER = select(Trader.api_key_hash, Trader.is_active, Trader.email).where(Trader.id == HOLDER)
"""A trader's account."""


class Callers(Authenticator):
    """The service's callers.

    Args:
        accounts: knows the traders.
        clock: says when tokens expire.
    """

    def __init__(self, accounts: Accounts, clock: Clock) -> None:
        super().__init__(accounts, KEYS, TOKENS, clock)

    async def trader(self, request: Request) -> int:
        """The trader who sent ``request``; 401 for nobody, or a wrong credential."""
        return (await self.account(request.scope["headers"])).holder_id

    def identity(self, exchange: Exchange) -> str | Awaitable[str | None]:
        """Whose request it is; awaited where the trader's row must be read."""
        return self.identify(exchange.scope["headers"], _name)


def _name(account: Account) -> str:
    return str(account.holder_id)
