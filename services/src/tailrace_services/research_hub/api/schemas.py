"""The bodies of answers and of writes: one set for both implementations. Pure. Moments are UTC, ISO 8601 with ``Z``."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictInt, model_validator

from tailrace_services.identity.tokens import TOKEN_TTL

__all__ = [
    "AttributionShare",
    "AuthorName",
    "Body",
    "CardContent",
    "CardView",
    "NewAttribution",
    "NewCard",
    "RequestBody",
    "Token",
    "UserName",
    "printable",
]

LARGEST_ID = 2**63 - 1
MOST_ATTRIBUTIONS = 20


class Body(BaseModel):
    """Base of answers."""

    model_config = ConfigDict(frozen=True)

    def json_bytes(self) -> bytes:
        """The body as it is sent."""
        return self.__pydantic_serializer__.to_json(self)


class UserName(Body):
    """A user, as others see one."""

    id: int
    username: str


class AuthorName(Body):
    """Whoever wrote a post, on its platform."""

    id: int
    username: str
    display_name: str


class CardContent(Body):
    """The post that a card is about."""

    id: int
    platform: str
    url: str
    title: str
    author: AuthorName


class AttributionShare(Body):
    """A post that a card goes back to."""

    id: int
    content_id: int
    weight: Annotated[float, Field(description="Its share, above 0 and at most 1.")]


class CardView(Body):
    """A card with what it is about and where it comes from."""

    id: int
    title: str
    body: str
    published_at: Annotated[datetime | None, Field(description="null while it is a draft")]
    created_at: datetime
    user: UserName
    content: CardContent
    attributions: Annotated[list[AttributionShare], Field(description="The heaviest first.")]


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


class RequestBody(BaseModel):
    """Base of what is written: unknown fields are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)


class NewAttribution(RequestBody):
    """A post that a new card goes back to."""

    content_id: Id
    weight: Annotated[Decimal, Field(gt=0, le=1, decimal_places=4)]


class NewCard(RequestBody):
    """``POST /api/cards``."""

    content_id: Id
    title: Annotated[str, Field(min_length=1, max_length=300), AfterValidator(printable)]
    body: Annotated[str, Field(min_length=1, max_length=20_000), AfterValidator(printable)]
    publish: Annotated[bool, Field(description="Show it to everybody at once; otherwise it stays a draft.")] = True
    attributions: Annotated[
        tuple[NewAttribution, ...],
        Field(max_length=MOST_ATTRIBUTIONS, description="By default the post that it is about, with weight 1."),
    ] = ()

    @model_validator(mode="after")
    def _whole(self) -> NewCard:
        posts = [each.content_id for each in self.attributions]
        if len(set(posts)) != len(posts):
            raise ValueError("name each post once")
        if sum(each.weight for each in self.attributions) > 1:
            raise ValueError("the weights must not add up to more than 1")
        return self

    @property
    def sources(self) -> tuple[NewAttribution, ...]:
        """What it goes back to."""
        return self.attributions or (NewAttribution(content_id=self.content_id, weight=Decimal(1)),)
