"""The bodies of answers and of writes: one set for both implementations. Pure. Moments are UTC, ISO 8601 with ``Z``."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field, model_validator

from tailrace_services.bodies import LARGEST_ID, Body, Id, Printable, RequestBody, Token, Words, printable

__all__ = [
    "LARGEST_ID",
    "AttributionShare",
    "AttributionView",
    "AuthorName",
    "AuthorView",
    "Body",
    "CardContent",
    "CardName",
    "CardView",
    "ContentName",
    "ContentState",
    "ContentView",
    "NewAttribution",
    "NewCard",
    "NewSession",
    "PatternType",
    "PatternView",
    "RequestBody",
    "SessionStatus",
    "SessionView",
    "Token",
    "UserDetails",
    "UserName",
    "UserView",
    "Words",
    "printable",
]

SessionStatus = Literal["queued", "running", "done", "failed"]
PatternType = Literal["trend", "theme", "format", "contradiction", "anomaly"]
ContentState = Literal["analyzed", "embedded"]
MOST_ATTRIBUTIONS = 20


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


class CardName(Body):
    """A card, as others refer to it."""

    id: int
    title: str
    user: UserName


class ContentName(Body):
    """A post, as others refer to it."""

    id: int
    platform: str
    url: str
    title: str


class AttributionView(Body):
    """That a published card goes back to a post."""

    id: int
    weight: Annotated[float, Field(description="The post's share in the card, above 0 and at most 1.")]
    card: CardName
    content: ContentName


class AuthorView(AuthorName):
    """Whoever writes posts."""

    platform: str
    followers: int


class ContentView(ContentName):
    """A post that was collected."""

    body: str
    author: AuthorName
    scraped_at: datetime
    published_at: datetime
    analyzed_at: datetime | None
    embedded: Annotated[bool, Field(description="It can be found by what it means.")]
    metrics: Annotated[dict[str, int | float | str], Field(description="What the platform says of it, by name.")]


class PatternView(Body):
    """What several posts have in common."""

    id: int
    type: str
    description: str
    confidence_score: Annotated[float, Field(description="0 to 1")]
    discovered_at: datetime
    contents: Annotated[list[ContentName], Field(description="Those of its posts that are still there.")]


class UserView(UserName):
    """A user, as everybody may know one."""

    created_at: datetime


class UserDetails(UserView):
    """A user, as operators know one."""

    email: str


class SessionView(Body):
    """A question that is researched."""

    id: int
    user: UserName
    query: str
    status: SessionStatus
    created_at: datetime


class NewAttribution(RequestBody):
    """A post that a new card goes back to."""

    content_id: Id
    weight: Annotated[Decimal, Field(gt=0, le=1, decimal_places=4)]


class NewCard(RequestBody):
    """``POST /api/cards``."""

    content_id: Id
    title: Annotated[str, Field(min_length=1, max_length=300), Printable]
    body: Annotated[str, Field(min_length=1, max_length=20_000), Printable]
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


class NewSession(RequestBody):
    """``POST /api/research-sessions``."""

    query: Annotated[str, Field(min_length=3, max_length=500), Printable]
