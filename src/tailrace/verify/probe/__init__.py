"""Says of any running service what its front door does, and what falls short. Touches: the network.

One file a check. Each asks with harmless requests only (``target``) and knows the service by its answers alone, so it
says the same of a service of any make.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping
from http import HTTPStatus

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
    only: Collection[str] = CHECKS,
    told: Callable[[str], None] = lambda check: None,
) -> Report:
    """Look at one address, which should answer 200 to GET.

    Args:
        url: of the service; its path is what is asked for.
        headers: sent with every request; their values appear nowhere in the report.
        timeout: seconds for each request.
        burst: requests to send at once to find out whether there is a limit; 0: none.
        only: names of checks.
        told: called with each check's name as it begins.

    Raises:
        ExchangeFailedError: the service cannot be reached, or answered no HTTP.
        SettingsError: the address cannot be used.

    Cost: some 40 requests, one at a time, and the burst.
    """
    async with Target(url, headers=headers, timeout=timeout) as target:
        checks: dict[str, Callable[[], Awaitable[list[Finding]]]] = {
            "compression": lambda: compression.check(target),
            "caching": lambda: caching.check(target),
            "ids": lambda: request_ids.check(target),
            "errors": lambda: errors.check(target),
            "pagination": lambda: pagination.check(target),
            "limits": lambda: rate_limits.check(target, burst),
        }
        status = (await target.ask()).status
        report = Report(url, status)
        if status >= HTTPStatus.BAD_REQUEST:
            message = f"the address answers {status}, so what is said of its answers is said of an error"
            report.findings.append(Finding("address", "refused", "short", message))
        for name in CHECKS:
            if name in only:
                told(name)
                report.findings.extend(await checks[name]())
        return report
