"""How the service talks to the voice provider. Pure: a settings model."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from tailrace.settings import UpstreamSettings

__all__ = ["VoiceProviderSettings"]

Seconds = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]


def _upstream() -> UpstreamSettings:
    return UpstreamSettings(
        attempt_timeout=3.0,
        total_timeout=15.0,
        max_retries=3,
        backoff=1.0,
        max_backoff=4.0,
        retry_budget_ratio=0.2,
        concurrency=64,
        queue=512,
        queue_timeout=5.0,
        breaker_window=10.0,
        breaker_minimum_calls=10,
        breaker_failures=0.5,
        breaker_consecutive=20,
        breaker_open=5.0,
        max_response_bytes=1024 * 1024,
    )


class VoiceProviderSettings(BaseModel):
    """Address, patience and limits. Retries come at most 1, 2 and 4 seconds after one another (full jitter)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    base_url: Annotated[str, Field(pattern=r"^https?://[^\s]+$")] = "http://127.0.0.1:8010"
    """Where the provider's API is, without ``/v1``."""
    api_key: SecretStr = SecretStr("simulated")
    """Sent as ``xi-api-key``."""
    patience: Seconds = 0.9
    """Longest time, in seconds, that a user waits for the provider; attempts may go on after that, unwatched."""
    patience_in_outage: Seconds = 0.02
    """The same while the circuit is not closed: time enough to look into the shared cache, not to wait for a trial."""
    ttl: Seconds = 300.0
    """Seconds for which a configuration counts as current."""
    stale_while_revalidate: Annotated[float, Field(ge=0)] = 300.0
    """Seconds after that for which it is still shown while it is fetched anew."""
    unknown_ttl: Seconds = 30.0
    """Seconds for which an agent that the provider does not know is not asked for again."""
    background: Count = 512
    """Most configurations being fetched, watched or not."""
    known: Count = 10_000
    """Most last known configurations kept in this process."""
    upstream: UpstreamSettings = Field(default_factory=_upstream)
    """Timeouts, retries, breaker and bulkhead."""
