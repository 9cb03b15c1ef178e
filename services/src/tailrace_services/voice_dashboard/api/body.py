"""What all bodies have in common, and the one body of errors. Pure."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

__all__ = ["Body", "ErrorBody", "ErrorDetail"]


class Body(BaseModel):
    """Base of every body: frozen, camelCase in JSON."""

    model_config = ConfigDict(frozen=True, alias_generator=to_camel, validate_by_name=True, validate_by_alias=True)

    def json_bytes(self) -> bytes:
        """The body as it is sent."""
        return self.__pydantic_serializer__.to_json(self, by_alias=True)


class ErrorDetail(Body):
    """What went wrong. ``fallbackData`` is the last known answer, if there is one."""

    code: str
    message: str
    details: object | None = None
    fallback_data: object | None = None
    retry_attempts: Annotated[int, Field(description="how often the service itself tried again")] = 0


class ErrorBody(Body):
    """Every answer that is not 2xx."""

    success: Literal[False] = False
    error: ErrorDetail
