"""Who is asking: an API key (``X-API-Key``) or a bearer token (``Authorization``). Touches: the user's row.

Every refusal of a credential is the same 401, and costs the same work whether the user exists or not, so that nobody
learns which users there are. Only who proves to be a user learns that the account is switched off (403).
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence

from fastapi import Request
from fastapi.security import APIKeyHeader, HTTPBearer

from tailrace.clock import Clock
from tailrace.errors import RequestError
from tailrace_services.voice_dashboard.api.dashboard import Account, Dashboard
from tailrace_services.voice_dashboard.api.tokens import fingerprint, issue_token, read_token
from tailrace_services.voice_dashboard.keys import user_id_of, verify_api_key

__all__ = ["SCHEMES", "Authenticator"]

SCHEMES = (
    APIKeyHeader(name="X-API-Key", auto_error=False, description="`vd_<user id>_<secret>`"),
    HTTPBearer(auto_error=False, description="a token from `POST /api/auth/token`"),
)
"""Both ways in, for OpenAPI. Neither decides anything: :class:`Authenticator` does."""

Headers = Sequence[tuple[bytes, bytes]]
"""Names in lower case and values, as ASGI has them."""

NOBODY = "0" * 64
"""Stands in for the stored hash of a user that does not exist; it is no key's SHA-256 that anyone can find."""


def _unauthorized() -> RequestError:
    return RequestError(
        "send a valid API key as X-API-Key, or a valid token as Authorization: Bearer", status=401, code="UNAUTHORIZED"
    )


class Authenticator:
    """Decides who a request comes from.

    Args:
        dashboard: knows the users.
        clock: says when tokens expire.
    """

    def __init__(self, dashboard: Dashboard, clock: Clock) -> None:
        self._dashboard = dashboard
        self._clock = clock

    async def __call__(self, request: Request) -> int:
        """The id of the active user who sent ``request``.

        Raises:
            RequestError: 401 for a missing, repeated or wrong credential, 403 for a user who is switched off.
        """
        return (await self.account(request.scope["headers"])).user_id

    def known(self, headers: Headers) -> int | None:
        """The id of the active user whose API key is the one credential among ``headers``, if that takes no waiting.

        None says nothing: ask :meth:`account`.
        """
        key = None
        for name, value in headers:
            if name == b"authorization" or (name == b"x-api-key" and key is not None):
                return None
            if name == b"x-api-key":
                key = value.decode("latin-1")
        user_id = None if key is None else user_id_of(key)
        account = None if user_id is None else self._dashboard.known_account(user_id)
        if key is None or account is None or not account.is_active or not verify_api_key(key, account.key_hash):
            return None
        return account.user_id

    async def account(self, headers: Headers, *, by_key_alone: bool = False) -> Account:
        """The active user whose credential is among ``headers``; with ``by_key_alone``, tokens do not count.

        Raises: as a call.
        """
        keys = [value for name, value in headers if name == b"x-api-key"]
        tokens = [value for name, value in headers if name == b"authorization"]
        if len(keys) + len(tokens) != 1 or (by_key_alone and not keys):
            # Two credentials could name two users; which of them counts must not depend on who reads the headers.
            raise _unauthorized()
        account = await self._by_key(keys[0].decode("latin-1")) if keys else await self._by_token(tokens[0])
        if not account.is_active:
            raise RequestError("this account is switched off", status=403, code="ACCOUNT_INACTIVE")
        return account

    async def exchange(self, request: Request) -> str:
        """A token for the user whose API key ``request`` carries; a token is not exchanged for another.

        Raises: as a call.
        """
        account = await self.account(request.scope["headers"], by_key_alone=True)
        secret = await self._dashboard.token_secret()
        return issue_token(account.user_id, account.key_hash, secret, self._clock.now())

    async def _by_key(self, key: str) -> Account:
        user_id = user_id_of(key)
        account = None if user_id is None else await self._dashboard.account(user_id)
        genuine = verify_api_key(key, NOBODY if account is None else account.key_hash)
        if account is None or not genuine:
            raise _unauthorized()
        return account

    async def _by_token(self, authorization: bytes) -> Account:
        scheme, _, token = authorization.decode("latin-1").partition(" ")
        if scheme.lower() != "bearer":
            raise _unauthorized()
        claims = read_token(token.strip(), await self._dashboard.token_secret(), self._clock.now())
        account = None if claims is None else await self._dashboard.account(claims.user_id)
        if claims is None or account is None or not hmac.compare_digest(claims.key, fingerprint(account.key_hash)):
            raise _unauthorized()
        return account
