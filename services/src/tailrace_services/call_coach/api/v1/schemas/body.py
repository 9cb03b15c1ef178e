"""What all bodies of the first version have in common. Pure."""

from __future__ import annotations

from typing import Annotated, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["Envelope", "Id", "RequestBody", "ResponseBody"]

Id = Annotated[int, Field(ge=1, le=2**63 - 1, strict=True)]
"""A row's id."""


class RequestBody(BaseModel):
    """Base of requests. Unknown fields are refused: a filter that is misspelt must not be ignored."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ResponseBody(BaseModel):
    """Base of what responses hold; made from a tool's values by their names."""

    model_config = ConfigDict(frozen=True, from_attributes=True)


Data = TypeVar("Data", bound=ResponseBody)


class Envelope(BaseModel, Generic[Data]):
    """Every response that is not an error."""

    model_config = ConfigDict(frozen=True)

    api_version: Literal["v1"] = "v1"
    data: Data

    def json_bytes(self) -> bytes:
        """The body as it is sent."""
        return self.__pydantic_serializer__.to_json(self)
