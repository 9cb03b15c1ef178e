"""What is done for the Research Hub in the background. Touches: its database."""

from __future__ import annotations

from tailrace.errors import TailraceError
from tailrace.jobs import JobContext, Jobs, Retries
from tailrace_services.research_hub.tokens.reconciliation import reconcile

__all__ = ["JOBS", "TokensDifferError", "reconcile_tokens"]

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
