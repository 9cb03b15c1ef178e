"""What the bodies of answers and of writes have in common. Pure."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictInt

from tailrace_services.identity.tokens import TOKEN_TTL

__all__ = ["LARGEST_ID", "Body", "Id", "Printable", "RequestBody", "Token", "Words", "printable"]

LARGEST_ID = 2**63 - 1

_set = object.__setattr__  # past a model's own, which refuses where it is frozen


class Body(BaseModel):
    """Base of answers."""

    model_config = ConfigDict(frozen=True)

    @classmethod
    def of(cls, values: dict[str, Any]) -> Self:
        """An answer of values that fit, all of its fields in their order: nothing is checked. It keeps ``values``.

        As ``model_construct`` makes it of the same, which looks for aliases and defaults first. Cost: 1 microsecond in
        place of 6.
        """
        made = cls.__new__(cls)
        _set(made, "__dict__", values)
        _set(made, "__pydantic_fields_set__", set(values))
        _set(made, "__pydantic_extra__", None)
        _set(made, "__pydantic_private__", None)
        return made

    def json_bytes(self) -> bytes:
        """The body as it is sent."""
        return self.__pydantic_serializer__.to_json(self)


class Token(Body):
    """Sent as ``Authorization: Bearer``; good for ``expires_in`` seconds."""

    access_token: str
    token_type: Literal["bearer"] = "bearer"  # noqa: S105 - not one
    expires_in: int = TOKEN_TTL


def printable(value: str) -> str:
    """``value``, which PostgreSQL can keep; ``ValueError`` for what it cannot."""
    if "\x00" in value:
        raise ValueError("must not contain NUL characters")
    return value


Id = Annotated[StrictInt, Field(ge=1, le=LARGEST_ID)]
Printable = AfterValidator(printable)  # behind bounds, or what they say is of items instead of characters
Words = Annotated[str, Printable]


class RequestBody(BaseModel):
    """Base of what is written: unknown fields are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)
