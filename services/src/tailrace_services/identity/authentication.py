"""Who is asking: an API key (``X-API-Key``) or a bearer token (``Authorization``). Touches: the holder's row.

Every refusal of a credential is the same 401, and costs the same work whether the holder exists or not, so that nobody
learns which there are. Only who proves to be one learns that the account is switched off (403).
"""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable, Generator, Sequence
from typing import Any

from fastapi.security import APIKeyHeader, HTTPBearer

from tailrace.clock import Clock
from tailrace.errors import RequestError, TailraceError
from tailrace_services.identity.accounts import Account, Accounts
from tailrace_services.identity.keys import ApiKeys, verify_api_key
from tailrace_services.identity.tokens import Tokens

__all__ = ["Authenticator", "Headers", "Name", "UnauthorizedError", "security_schemes"]

Headers = Sequence[tuple[bytes, bytes]]
"""Names in lower case and values, as ASGI has them."""

Name = Callable[[Account], str]
"""What an account is called where its requests are counted, or its answers kept, together."""

CREDENTIALS = (b"x-api-key", b"authorization")

NOBODY = "0" * 64
"""Stands in for the stored hash of a holder that does not exist; it is no key's SHA-256 that anyone can find."""


def security_schemes(keys: ApiKeys, token_path: str) -> tuple[APIKeyHeader, HTTPBearer]:
    """Both ways in, for OpenAPI. Neither decides anything: :class:`Authenticator` does."""
    return (
        APIKeyHeader(name="X-API-Key", auto_error=False, description=f"`{keys.prefix}_<id>_<secret>`"),
        HTTPBearer(auto_error=False, description=f"a token from `POST {token_path}`"),
    )


class UnauthorizedError(RequestError):
    """401, whatever was wrong with the credential."""

    headers = ((b"www-authenticate", b"Bearer"),)

    def __init__(self) -> None:
        message = "send a valid API key as X-API-Key, or a valid token as Authorization: Bearer"
        super().__init__(message, status=401, code="unauthorized")


class Authenticator:
    """Decides who a request comes from.

    Args:
        accounts: knows the holders.
        keys, tokens: the service's.
        clock: says when tokens expire.
    """

    def __init__(self, accounts: Accounts, keys: ApiKeys, tokens: Tokens, clock: Clock) -> None:
        self._accounts = accounts
        self._keys = keys
        self._tokens = tokens
        self._clock = clock

    @staticmethod
    def is_anonymous(headers: Headers) -> bool:
        """Whether a request claims to be nobody's in particular."""
        return not any(name in CREDENTIALS for name, _ in headers)

    def known(self, headers: Headers) -> Account | None:
        """The active account whose API key is the one credential among ``headers``, if that takes no waiting.

        None says nothing: ask :meth:`account`.
        """
        key = None
        for name, value in headers:
            if name == b"authorization" or (name == b"x-api-key" and key is not None):
                return None
            if name == b"x-api-key":
                key = value.decode("latin-1")
        holder_id = None if key is None else self._keys.holder_of(key)
        account = None if holder_id is None else self._accounts.known(holder_id)
        if key is None or account is None or not account.is_active or not verify_api_key(key, account.key_hash):
            return None
        return account

    def identify(self, headers: Headers, name: Name) -> str | Awaitable[str | None]:
        """The ``name`` of the account whose credential is among ``headers``; awaited where that takes waiting.

        It then is None for whom :meth:`account` refuses, or cannot find just now.
        """
        known = self.known(headers)
        return _Asked(self, headers, name) if known is None else name(known)

    async def account(self, headers: Headers, *, by_key_alone: bool = False) -> Account:
        """The active account whose credential is among ``headers``; with ``by_key_alone``, tokens do not count.

        Raises:
            RequestError: 401 for a missing, repeated or wrong credential, 403 for a holder who is switched off.
        """
        keys = [value for name, value in headers if name == b"x-api-key"]
        tokens = [value for name, value in headers if name == b"authorization"]
        if len(keys) + len(tokens) != 1 or (by_key_alone and not keys):
            # Two credentials could name two holders; which of them counts must not depend on who reads the headers.
            raise UnauthorizedError()
        account = await self._by_key(keys[0].decode("latin-1")) if keys else await self._by_token(tokens[0])
        if not account.is_active:
            raise RequestError("this account is switched off", status=403, code="account_inactive")
        return account

    async def exchange(self, headers: Headers) -> str:
        """A token for the holder whose API key is among ``headers``; a token is not exchanged for another.

        Raises: as :meth:`account`.
        """
        account = await self.account(headers, by_key_alone=True)
        secret = await self._accounts.secret()
        return self._tokens.issue(account.holder_id, account.key_hash, secret, self._clock.now())

    async def _by_key(self, key: str) -> Account:
        holder_id = self._keys.holder_of(key)
        account = None if holder_id is None else await self._accounts.read(holder_id)
        genuine = verify_api_key(key, NOBODY if account is None else account.key_hash)
        if account is None or not genuine:
            raise UnauthorizedError()
        return account

    async def _by_token(self, authorization: bytes) -> Account:
        scheme, _, token = authorization.decode("latin-1").partition(" ")
        if scheme.lower() != "bearer":
            raise UnauthorizedError()
        claims = self._tokens.read(token.strip(), await self._accounts.secret(), self._clock.now())
        account = None if claims is None else await self._accounts.read(claims.holder_id)
        if (
            claims is None
            or account is None
            or not hmac.compare_digest(claims.key, self._tokens.fingerprint(account.key_hash))
        ):
            raise UnauthorizedError()
        return account


class _Asked:
    """Finds out who asks where that takes waiting; asked only when it is awaited, as often as that is."""

    __slots__ = ("_authenticator", "_headers", "_name")

    def __init__(self, authenticator: Authenticator, headers: Headers, name: Name) -> None:
        self._authenticator = authenticator
        self._headers = headers
        self._name = name

    def __await__(self) -> Generator[Any, None, str | None]:
        return self._ask().__await__()

    async def _ask(self) -> str | None:
        try:
            return self._name(await self._authenticator.account(self._headers))
        except TailraceError:
            return None  # the endpoint asks again, and says what is wrong
