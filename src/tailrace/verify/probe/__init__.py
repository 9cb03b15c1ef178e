"""Says of any running service what its front door does, and what falls short. Touches: the network.

One file a check. Each asks with harmless requests only (``target``) and knows the service by its answers alone, so it
says the same of a service of any make.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping
from http import HTTPStatus

from tailrace.verify.http1 import Response
from tailrace.verify.probe import caching, compression, errors, pagination, rate_limits, request_ids
from tailrace.verify.probe.finding import Finding, Level, Report
from tailrace.verify.probe.target import Target

__all__ = ["CHECKS", "Finding", "Level", "Report", "probe"]

CHECKS = ("compression", "caching", "ids", "errors", "pagination", "limits")
"""The checks, in their order; a burst, which may use a limit up, comes last."""


async def probe(
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    timeout: float = 10.0,
    burst: int = 0,
    patience: float = 30.0,
    only: Collection[str] = CHECKS,
    told: Callable[[str], None] = lambda check: None,
) -> Report:
    """Look at one address, which should answer 200 to GET.

    Args:
        url: of the service; its path is what is asked for.
        headers: sent with every request; their values appear nowhere in the report.
        timeout: seconds for each request.
        burst: requests to send at once to find out whether there is a limit; 0: none.
        patience: seconds to wait in all where a limit refuses what is asked one by one.
        only: names of checks.
        told: called with each check's name as it begins.

    Raises:
        ExchangeFailedError: the service cannot be reached, or answered no HTTP.
        SettingsError: the address cannot be used.

    Cost: some 40 requests, one at a time, and the burst.
    """
    async with Target(url, headers=headers, timeout=timeout, patience=patience) as target:
        checks: dict[str, Callable[[], Awaitable[list[Finding]]]] = {
            "compression": lambda: compression.check(target),
            "caching": lambda: caching.check(target),
            "ids": lambda: request_ids.check(target),
            "errors": lambda: errors.check(target),
            "pagination": lambda: pagination.check(target),
            "limits": lambda: rate_limits.check(target, burst),
        }
        first = await target.ask()
        report = Report(url, first.status)
        report.findings.extend(_of_address(first))
        refused = target.refused
        for name in CHECKS:
            if name in only:
                told(name)
                report.findings.extend(await checks[name]())
        if target.refused > refused:
            message = f"refused {target.refused - refused} requests, so some of this is said of refusals: try --only"
            report.findings.append(Finding("address", "limited", "short", message))
        return report


def _of_address(answer: Response) -> Iterator[Finding]:
    if answer.status >= HTTPStatus.BAD_REQUEST:
        message = f"the address answers {answer.status}, so what is said of its answers is said of an error"
        yield Finding("address", "refused", "short", message)
    elif answer.status >= HTTPStatus.MULTIPLE_CHOICES:
        place = (answer.header("location") or "nowhere")[:200]
        message = f"the address answers {answer.status} and leads to {place}: probe that, of this little can be said"
        yield Finding("address", "moved", "short", message)
