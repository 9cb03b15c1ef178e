"""A bearer token in the first version of the API. Pure."""

from __future__ import annotations

from typing import Literal

from tailrace_services.call_coach.api.v1.schemas.body import Envelope, ResponseBody
from tailrace_services.identity.tokens import TOKEN_TTL

__all__ = ["TokenResponse"]


class Token(ResponseBody):
    """Sent as ``Authorization: Bearer``; good for ``expires_in`` seconds."""

    access_token: str
    token_type: Literal["bearer"] = "bearer"  # noqa: S105 - not one
    expires_in: int = TOKEN_TTL


class TokenResponse(Envelope[Token]):
    """The answer."""

    @classmethod
    def of(cls, token: str) -> TokenResponse:
        """A token as it is sent."""
        return cls(data=Token(access_token=token))
