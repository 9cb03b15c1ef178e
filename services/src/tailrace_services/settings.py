"""What the reference services read from the environment, beside Tailrace's own settings: ``TAILRACE_SERVICES_...``.

Touches: the environment, when one of the functions that read it is called.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated
from urllib.parse import quote, urlsplit, urlunsplit

from pydantic import AfterValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from tailrace.core.cursor import Cursors
from tailrace.errors import SettingsError
from tailrace.settings import Settings, load_settings
from tailrace_services.clock import for_moment

__all__ = [
    "DEFAULT_SEED",
    "ServicesSettings",
    "database_name",
    "database_url",
    "load_services_settings",
    "service_settings",
    "shared_cursors",
]

DEFAULT_SEED = 1
"""The seed of generated data when none is given."""

MAINTENANCE_DATABASES = frozenset({"", "postgres", "template0", "template1"})


def _aware(moment: datetime) -> datetime:
    """UTC; without a zone it is taken as UTC, which is what all days and months here are."""
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


class ServicesSettings(BaseSettings):
    """Settings shared by the reference services."""

    model_config = SettingsConfigDict(
        env_prefix="TAILRACE_SERVICES_", frozen=True, extra="ignore", hide_input_in_errors=True
    )

    fixed_now: Annotated[datetime, AfterValidator(_aware)] | None = None
    """Freezes the services' clock at this ISO 8601 moment, so that two runs answer alike; None: the real clock."""
    provider_url: Annotated[str, Field(pattern=r"^https?://[^\s]+$")] = "http://127.0.0.1:8010"
    """Base address of the voice provider, or of its simulator."""
    provider_api_key: SecretStr = SecretStr("simulated")
    """Sent to the voice provider as ``xi-api-key``."""
    chat_url: Annotated[str, Field(pattern=r"^https?://[^\s]+$")] | None = None
    """Base address of a Chat Completions endpoint that analyses calls, up to and with its version
    (``https://host/v1``); None: calls are analysed without a language model."""
    chat_model: str = ""
    """The model's name there."""
    chat_api_key: SecretStr = SecretStr("")
    """Sent to it as a bearer token; empty for an endpoint that asks for none, as models on one's own machine do."""
    default_documents: bool = True
    """Whether Trading Desk loads Python's own documentation in the background where no other documents were loaded."""
    embed_posts: bool = True
    """Whether Research Hub's posts get their vectors in the background when it starts, too, and not only each hour."""
    answer_chat_url: Annotated[str, Field(pattern=r"^https?://[^\s]+$")] | None = None
    """Base address of a Chat Completions endpoint that words Trading Desk's answers, up to and with its version; None:
    answers are the documents' own sentences."""
    answer_chat_model: str = ""
    """The model's name there."""
    answer_chat_api_key: SecretStr = SecretStr("")
    """Sent to it as a bearer token; empty for an endpoint that asks for none."""
    answer_threshold: Annotated[float, Field(gt=0, le=1)] | None = None
    """Least cosine of two questions that get one answer; None: 0.95, or 0.75 with ``answer_wrong_at_most``."""
    answer_wrong_at_most: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Share of the answers to similar questions that may be wrong; such questions are computed until comparisons show
    that it is kept. None: the threshold decides."""
    answer_least_similarity: Annotated[float, Field(ge=0, le=1)] = 0.36
    """Least cosine of a question and the passage nearest to it; below it nothing was found. 0: whatever is best is an
    answer."""
    research_least_similarity: Annotated[float, Field(ge=0, le=1)] = 0.30
    """The same of Research Hub's posts, which are about more and less alike than a manual's passages."""
    answer_questions_shared: bool = False
    """Whether Trading Desk remembers questions in its database, so that a similar one is answered from the cache
    whichever process was asked first; otherwise each process knows its own."""
    seed: Annotated[int, Field(ge=0)] = DEFAULT_SEED
    """What generated data and its API keys are made from."""


def load_services_settings() -> ServicesSettings:
    """Read the environment.

    Raises:
        SettingsError: one line for every setting that is wrong; values are not repeated.
    """
    try:
        return ServicesSettings()
    except ValidationError as error:
        lines = [f"TAILRACE_SERVICES_{'__'.join(map(str, e['loc'])).upper()}: {e['msg']}" for e in error.errors()]
        raise SettingsError("\n".join(lines)) from None


def database_name(base: str, service: str, baseline: bool = False) -> str:
    """The service's database beside the database ``base``.

    >>> database_name("tailrace", "voice-dashboard", baseline=True)
    'tailrace_voice_dashboard_baseline'
    """
    prefix = "tailrace" if base in MAINTENANCE_DATABASES else base
    return f"{prefix}_{service.replace('-', '_')}{'_baseline' if baseline else ''}"


def database_url(service: str, baseline: bool = False, *, environment: Mapping[str, str] | None = None) -> str:
    """The address of the service's own database on the server that ``TAILRACE_DATABASE_URL`` names.

    Raises:
        SettingsError: the variable is missing or not the address of a PostgreSQL server.

    >>> database_url("voice_dashboard", environment={"TAILRACE_DATABASE_URL": "postgresql://u:p@db:5432/tailrace"})
    'postgresql://u:p@db:5432/tailrace_voice_dashboard'
    """
    environment = os.environ if environment is None else environment
    url = environment.get("TAILRACE_DATABASE_URL", "")
    if not url:
        raise SettingsError("TAILRACE_DATABASE_URL is not set: name a PostgreSQL server, or start with `make up`")
    parts = urlsplit(url)
    if not re.fullmatch(r"postgres(ql)?(\+\w+)?", parts.scheme) or not parts.netloc:
        raise SettingsError("TAILRACE_DATABASE_URL: give postgresql://user:password@host:port/name")
    name = database_name(parts.path.removeprefix("/"), service, baseline)
    return urlunsplit(parts._replace(path="/" + quote(name, safe="")))


def shared_cursors(settings: Settings) -> Cursors | None:
    """What signs the pages of an original's lists, by Tailrace's own secrets; None: each process has its own."""
    secrets = [secret.get_secret_value().encode() for secret in settings.http.cursor_secrets]
    return Cursors(secrets) if secrets else None


def service_settings(service: str, fixed_now: datetime | None = None) -> Settings:
    """Tailrace's settings for a service: with its own database and name, and as :func:`for_moment` makes them.

    Raises:
        SettingsError: one line for every setting that is missing or wrong.
    """
    settings = load_settings()
    own: dict[str, object] = {"database_url": SecretStr(database_url(service))}
    database = settings.database

    def beside(address: SecretStr) -> SecretStr:
        return SecretStr(database_url(service, environment={"TAILRACE_DATABASE_URL": address.get_secret_value()}))

    own["database"] = database.model_copy(
        update={
            "direct_url": None if database.direct_url is None else beside(database.direct_url),
            "replica_urls": tuple(beside(address) for address in database.replica_urls),
        }
    )
    if settings.http.metrics_name is None:
        # Its jobs, done in another process, are counted under the same name.
        own["http"] = settings.http.model_copy(update={"metrics_name": service.replace("-", "_")})
    return for_moment(settings.model_copy(update=own), fixed_now)
