"""What is done for the Research Hub in the background. Touches: its database."""

from __future__ import annotations

from contextlib import aclosing

from tailrace.errors import TailraceError
from tailrace.jobs import JobContext, Jobs, Retries
from tailrace.semantic import Embedder, embed_at_once
from tailrace_services.research_hub.optimised.research import SEARCH
from tailrace_services.research_hub.tokens.reconciliation import reconcile

__all__ = ["JOBS", "POSTS", "TokensDifferError", "embed_posts", "reconcile_tokens"]

POSTS = 5_000
"""Posts that get their vectors together: some minutes of a processor's work at most."""
REST = 1.0
"""Seconds left to requests for each second of making vectors."""

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


@JOBS.job("embed-posts", schedule="23 * * * *", timeout=1800.0, concurrency=1, interruptible=True)
async def embed_posts(context: JobContext) -> None:
    """Each hour, and when the service starts, give vectors to posts that have none, so that they are found by meaning.

    All of a run are written together: each write to the posts ends what is kept of answers about them. A worker that
    stops does not wait for that; the run is begun again.
    """
    async with aclosing(Embedder()) as embedder:
        await embed_at_once(context.database, SEARCH, embedder, most=POSTS, rest=REST)
