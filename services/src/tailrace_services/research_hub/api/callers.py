"""Who asks. Touches: the key's row.

What everybody may see is open to everybody; who writes, or wants what is their own, shows an API key or a token made
with it. What is for operators wants an administrator's.
"""

from __future__ import annotations

from collections.abc import Awaitable, Generator
from typing import Any

from fastapi import Request
from sqlalchemy import Executable, null, select

from tailrace.clock import Clock
from tailrace.errors import RequestError, TailraceError
from tailrace.fastapi import Exchange
from tailrace_services.identity.accounts import Account, Accounts
from tailrace_services.identity.authentication import Authenticator
from tailrace_services.research_hub.keys import KEYS, TOKENS
from tailrace_services.research_hub.model import ApiKey

__all__ = ["Callers", "find_key"]


def find_key(key_id: int) -> Executable:
    """The statement for a key's account; nobody's email is in it."""
    account = select(ApiKey.key_hash, ApiKey.active, null(), ApiKey.user_id, ApiKey.administrator)
    return account.where(ApiKey.id == key_id)


class Callers(Authenticator):
    """The service's callers.

    Args:
        accounts: knows their keys.
        clock: says when tokens expire.
    """

    def __init__(self, accounts: Accounts, clock: Clock) -> None:
        super().__init__(accounts, KEYS, TOKENS, clock)

    async def user(self, request: Request) -> int:
        """The user who sent ``request``; 401 for nobody, or a wrong credential."""
        return _user_of(await self.account(request.scope["headers"]))

    async def administrator(self, request: Request) -> int:
        """The administrator who sent ``request``; 401 for nobody, 403 for another user."""
        account = await self.account(request.scope["headers"])
        if not account.is_administrator:
            raise RequestError("only administrators may do this", status=403, code="administrators_only")
        return _user_of(account)

    def identity(self, exchange: Exchange) -> str | Awaitable[str | None]:
        """Whose answer a cached one is; awaited where the key's row must be read."""
        known = self.known(exchange.scope["headers"])
        return _Asked(self, exchange) if known is None else str(_user_of(known))


class _Asked:
    """Finds out whose request it is where that takes waiting; asked only when it is awaited."""

    __slots__ = ("_callers", "_exchange")

    def __init__(self, callers: Callers, exchange: Exchange) -> None:
        self._callers = callers
        self._exchange = exchange

    def __await__(self) -> Generator[Any, None, str | None]:
        return self._ask().__await__()

    async def _ask(self) -> str | None:
        try:
            return str(_user_of(await self._callers.account(self._exchange.scope["headers"])))
        except TailraceError:
            return None  # not answered from the cache; the endpoint says what is wrong


def _user_of(account: Account) -> int:
    assert account.user_id is not None
    return account.user_id
