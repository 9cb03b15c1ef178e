"""Who asks. Touches: the key's row.

What everybody may see is open to everybody; who writes, or wants what is their own, shows an API key or a token made
with it. What is for operators wants an administrator's.
"""

from __future__ import annotations

from collections.abc import Awaitable

from fastapi import Request
from sqlalchemy import null, select

from tailrace.clock import Clock
from tailrace.errors import RequestError
from tailrace.fastapi import Exchange
from tailrace_services.identity.accounts import HOLDER, Account, Accounts
from tailrace_services.identity.authentication import Authenticator, Headers
from tailrace_services.research_hub.api.key_uses import KeyUses
from tailrace_services.research_hub.keys import KEYS, TOKENS
from tailrace_services.research_hub.model import ApiKey

__all__ = ["FIND_KEY", "Callers"]


FIND_KEY = select(ApiKey.key_hash, ApiKey.active, null(), ApiKey.user_id, ApiKey.administrator).where(
    ApiKey.id == HOLDER
)
"""A key's account; nobody's email is in it."""


class Callers(Authenticator):
    """The service's callers.

    Args:
        accounts: knows their keys.
        uses: told of every use of a key, by itself or by a token that was made with it.
        clock: says when tokens expire.
    """

    def __init__(self, accounts: Accounts, uses: KeyUses, clock: Clock) -> None:
        super().__init__(accounts, KEYS, TOKENS, clock)
        self._uses = uses

    def known(self, headers: Headers) -> Account | None:
        """As for every service; a key that is found is used."""
        account = super().known(headers)
        if account is not None:
            self._uses.note(account.holder_id)
        return account

    async def account(self, headers: Headers, *, by_key_alone: bool = False) -> Account:
        """As for every service; the key is used.

        Raises: as there.
        """
        account = await super().account(headers, by_key_alone=by_key_alone)
        self._uses.note(account.holder_id)
        return account

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
        return self.identify(exchange.scope["headers"], _name)


def _user_of(account: Account) -> int:
    assert account.user_id is not None
    return account.user_id


def _name(account: Account) -> str:
    return str(_user_of(account))
