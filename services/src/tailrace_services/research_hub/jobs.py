"""What is done for the Research Hub in the background. Touches: its database."""

from __future__ import annotations

import logging
from contextlib import aclosing

from tailrace.errors import TailraceError
from tailrace.jobs import JobContext, Jobs, Retries
from tailrace.semantic import Embedder, EmbeddingProgress, embed_waiting
from tailrace_services.research_hub.optimised.research import SEARCH
from tailrace_services.research_hub.tokens.reconciliation import reconcile

__all__ = ["JOBS", "TokensDifferError", "embed_posts", "reconcile_tokens"]

NICENESS = 10
"""Of making vectors: a core that nobody else wants, a tenth of one that a server does."""
LONGEST = 6 * 3600.0
"""Seconds of making vectors, enough for two million posts; what is left then goes on with the next run."""

_log = logging.getLogger("tailrace_services")

JOBS = Jobs()


class TokensDifferError(TailraceError):
    """Tokens do not add up."""

    code = "tokens_differ"


@JOBS.job("reconcile-tokens", schedule="47 * * * *", timeout=600.0, retries=Retries(never_after=(TokensDifferError,)))
async def reconcile_tokens(context: JobContext) -> None:
    """Add up all tokens each hour. When they differ the job is dead, which shows until somebody has looked at it.

    Raises:
        TokensDifferError: balances are not what the ledger says, or somebody has less than nothing.
    """
    found = await reconcile(context.database.direct)
    if not found.agrees:
        users = sorted({*found.below_zero, *(each.user_id for each in found.differing)})
        raise TokensDifferError(f"tokens do not add up; users to look at: {users or 'none'}")


@JOBS.job("embed-posts", schedule="23 * * * *", timeout=LONGEST, concurrency=1, interruptible=True)
async def embed_posts(context: JobContext) -> None:
    """Each hour, and when the service starts, give vectors to posts that have none, so that they are found by meaning.

    The newest first, until none waits; how many do is logged. A worker that stops does not wait for that; the run is
    begun again, and goes on.
    """

    def told(step: EmbeddingProgress) -> None:
        _log.info("%s posts have got a vector, %s wait for theirs", f"{step.done:,}", f"{step.waiting:,}")

    async with aclosing(Embedder(niceness=NICENESS)) as embedder:
        await embed_waiting(context.database, SEARCH, embedder, progress=told)
