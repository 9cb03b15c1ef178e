"""Every error Tailrace raises, one tree.

    TailraceError
    |- SettingsError                 a setting is missing or wrong; every mistake is listed at once
    |- MissingExtraError             an optional dependency is not installed
    |- EmbeddedServerError           a server from a wheel cannot start, or its folder is in use; says what to do
    |- StoreError
    |  `- StoreUnavailableError      the store is down, too slow, or answered an error
    |- DatabaseError
    |  |- DatabaseUnavailableError   cannot connect, connection lost, server shutting down (transient)
    |  |  `- OutcomeUnknownError     ... under a commit: nobody knows whether the write was done
    |  |- DatabaseTimeoutError       statement or lock timeout (transient)
    |  |- PoolTimeoutError           no connection became free in time (transient)
    |  |- ConflictError              deadlock or serialization failure, retries used up (transient)
    |  |- ConstraintError            a unique, foreign key, check or not-null constraint was violated
    |  `- SchemaError                plan/apply cannot go on; says which object and why
    |- UpstreamError
    |  |- UpstreamTimeoutError       an attempt, or the call as a whole, ran out of time
    |  |- UpstreamUnavailableError   no connection, or a 5xx / 429 answer after the last retry
    |  |- UpstreamRejectedError      a 4xx that no retry will mend
    |  |  `- UpstreamRedirectedError it lives elsewhere; nothing goes there by itself
    |  |- UrlRefusedError            a URL that a stranger named is not asked; says why
    |  |- CircuitOpenError           the breaker refuses calls just now
    |  |- BulkheadFullError          too many calls under way
    |  `- GatewayError               the origin behind a gateway is not there, or broke off
    |- JobError
    |  |- JobTimeoutError            a background job took longer than it may
    |  `- JobAbandonedError          a background job was lost with its process as often as it may be tried
    |- OverloadedError               more requests than can be served in time; refused before any work
    `- RequestError                  the client's mistake: status 4xx

Foreign errors are translated in the adapter that meets them, with ``raise ... from``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

__all__ = [
    "BulkheadFullError",
    "CircuitOpenError",
    "ConflictError",
    "ConstraintError",
    "DatabaseError",
    "DatabaseTimeoutError",
    "DatabaseUnavailableError",
    "EmbeddedServerError",
    "GatewayError",
    "JobAbandonedError",
    "JobError",
    "JobTimeoutError",
    "MissingExtraError",
    "OutcomeUnknownError",
    "OverloadedError",
    "PoolTimeoutError",
    "RequestError",
    "SchemaError",
    "SettingsError",
    "StoreError",
    "StoreUnavailableError",
    "TailraceError",
    "UpstreamError",
    "UpstreamRedirectedError",
    "UpstreamRejectedError",
    "UpstreamTimeoutError",
    "UpstreamUnavailableError",
    "UrlRefusedError",
]


class TailraceError(Exception):
    """Root of all errors.

    Class attributes: ``code`` is stable and machine-readable, ``status`` the HTTP status an unhandled one becomes,
    ``retryable`` whether the same request may succeed later. ``retry_after`` (seconds) is known for some.
    """

    code: ClassVar[str] = "internal_error"
    status: ClassVar[int] = 500
    retryable: ClassVar[bool] = False

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class SettingsError(TailraceError):
    """A setting is missing or wrong. The message has one line per mistake."""

    code = "settings_invalid"


class MissingExtraError(TailraceError):
    """An optional dependency is not installed. The message says what to install."""

    code = "extra_missing"


class EmbeddedServerError(TailraceError):
    """A server from a wheel cannot start, or its folder is in use. One line, which says what to do."""

    code = "embedded_server_error"


class StoreError(TailraceError):
    """A store could not do what was asked."""

    code = "store_error"
    status = 503


class StoreUnavailableError(StoreError):
    """The store is down, slower than its time limit, or answered an error."""

    code = "store_unavailable"
    retryable = True


class DatabaseError(TailraceError):
    """The database refused a statement."""

    code = "database_error"


class DatabaseUnavailableError(DatabaseError):
    """No connection to the database, or it was lost."""

    code = "database_unavailable"
    status = 503
    retryable = True


class OutcomeUnknownError(DatabaseUnavailableError):
    """The connection was lost, or the server fell silent, under a commit: the write was done, or it was not.

    The same request may do it a second time; whoever asks again must look first, or have a key that makes it harmless.
    """

    code = "outcome_unknown"
    retryable = False


class DatabaseTimeoutError(DatabaseError):
    """A statement or lock timeout."""

    code = "database_timeout"
    status = 503
    retryable = True


class PoolTimeoutError(DatabaseError):
    """No pooled connection became free in time."""

    code = "pool_timeout"
    status = 503
    retryable = True


class ConflictError(DatabaseError):
    """A deadlock or serialization failure that retries did not mend."""

    code = "transaction_conflict"
    status = 503
    retryable = True


class ConstraintError(DatabaseError):
    """A constraint was violated. ``constraint`` is its name, ``kind`` which sort: the client's mistake as a rule."""

    code = "constraint_violated"
    status = 409

    def __init__(self, message: str, *, kind: str, constraint: str | None) -> None:
        super().__init__(message)
        self.kind = kind
        self.constraint = constraint


class SchemaError(DatabaseError):
    """Plan or apply cannot go on; the message names the object and what to do."""

    code = "schema_error"


class UpstreamError(TailraceError):
    """A call to another service failed.

    ``unasked``: no connection was made, so that the service has seen nothing of the call.
    """

    code = "upstream_error"
    status = 502
    unasked = False


class UpstreamTimeoutError(UpstreamError):
    """An attempt, or the call as a whole, ran out of time."""

    code = "upstream_timeout"
    status = 504
    retryable = True


class UpstreamUnavailableError(UpstreamError):
    """No connection, or the last attempt answered 429 or 5xx."""

    code = "upstream_unavailable"
    status = 503
    retryable = True


class UpstreamRejectedError(UpstreamError):
    """The other service answered a 4xx that repeating will not mend.

    Args:
        answered: the status it answered.
    """

    code = "upstream_rejected"

    def __init__(self, message: str, *, answered: int) -> None:
        super().__init__(message)
        self.answered = answered


class UpstreamRedirectedError(UpstreamRejectedError):
    """The other service says that what was asked for is elsewhere.

    Args:
        location: where, as it was sent: not to be believed, and in no message.
    """

    code = "upstream_redirected"

    def __init__(self, message: str, *, answered: int, location: str) -> None:
        super().__init__(message, answered=answered)
        self.location = location


class UrlRefusedError(UpstreamError):
    """A URL that a stranger named is not asked, whatever it would answer. The message repeats nothing of the URL.

    Args:
        reason: length, characters, scheme, credentials, host, port, address, downgrade or redirects.
    """

    code = "url_refused"
    status = 422

    def __init__(self, message: str, *, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


class CircuitOpenError(UpstreamError):
    """The circuit breaker refuses calls until ``retry_after`` seconds have passed."""

    code = "circuit_open"
    status = 503
    retryable = True


class BulkheadFullError(UpstreamError):
    """As many calls as allowed are under way and waiting."""

    code = "bulkhead_full"
    status = 503
    retryable = True


class GatewayError(UpstreamError):
    """The origin behind a gateway could not be reached, or what it sent is no whole response."""

    code = "bad_gateway"
    retryable = True


class JobError(TailraceError):
    """An attempt at a background job failed for a reason of its surroundings."""

    code = "job_error"


class JobTimeoutError(JobError):
    """A background job took longer than it may, or ended its own task."""

    code = "job_timeout"


class JobAbandonedError(JobError):
    """A background job was lost with its process as often as it may be tried."""

    code = "job_abandoned"


class OverloadedError(TailraceError):
    """More requests than can be served in time; ``retry_after`` says when to come again."""

    code = "overloaded"
    status = 503
    retryable = True


class RequestError(TailraceError):
    """The client's mistake.

    Args:
        message: what is wrong and what to send instead.
        status: the 4xx to answer.
        code: stable name of this mistake.
        data: what the answer says besides, as JSON values.
    """

    code = "bad_request"
    status = 400

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        code: str = "bad_request",
        data: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status  # type: ignore[misc]
        self.code = code  # type: ignore[misc]
        self.data = data
