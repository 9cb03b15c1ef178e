"""Which limits count for a route. Pure.

A route's own limits stand beside its endpoint; general ones count for every route that does not decline them. They are
decided together: all are granted, or none is taken. A limit of the route with a general one's name takes its place.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from inspect import iscoroutinefunction

from tailrace.asgi.route_policy import IdentityOf, Resolved
from tailrace.asgi.types import Header
from tailrace.core.gcra import SECOND, Decision, Rate, parse_rate
from tailrace.limits import Claim, Limit, Verdict
from tailrace.limits.limit import Mode, OnOutage

__all__ = ["LimitDefaults", "LimitPlan", "LimitPlans", "PlannedLimit", "RouteLimit"]

RETRY_CLOSED = 1
"""Seconds after which to try again while nobody can tell, since the store is down."""


@dataclass(frozen=True, slots=True)
class RouteLimit:
    """A limit as it is declared.

    Args:
        rate: such as ``20/minute``.
        burst: units that may be used at once after a pause; by default as many as the rate has.
        cost: units that one request takes.
        by: whose requests are counted together, None for the address; see ``tailrace.asgi.caller``.
        name: limits of one name share their buckets; by default the route's method and template.
        mode, on_outage: as in ``tailrace.limits``; by default as in the settings.

    Raises:
        ValueError: the rate cannot be read, or the cost is not within the burst.
    """

    rate: str
    burst: int = 0
    cost: int = 1
    by: IdentityOf | None = None
    name: str = ""
    mode: Mode | None = None
    on_outage: OnOutage | None = None
    parsed: Rate = field(init=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "parsed", parse_rate(self.rate, self.burst))
        if not 1 <= self.cost <= self.parsed.burst:
            raise ValueError(f"a cost of {self.cost} can never be taken from a burst of {self.parsed.burst}")
        if self.name:
            Limit(self.name, self.parsed)  # refuses what cannot be a name


@dataclass(frozen=True, slots=True)
class LimitDefaults:
    """What holds for limits that do not say otherwise."""

    by: IdentityOf | None = None
    mode: Mode = "exact"
    on_outage: OnOutage = "share"


class PlannedLimit:
    """A limit with all that can be made ready of its header fields."""

    __slots__ = ("begun", "burst", "by", "cost", "limit", "policy", "quoted")

    def __init__(self, declared: RouteLimit, name: str, defaults: LimitDefaults) -> None:
        rate = declared.parsed
        self.limit = Limit(name, rate, declared.mode or defaults.mode, declared.on_outage or defaults.on_outage)
        self.cost = declared.cost
        self.by = declared.by or defaults.by
        self.quoted = b'"%s"' % name.encode("ascii")
        self.policy = b"%s;q=%d;w=%d" % (self.quoted, rate.amount, max(1, rate.period // SECOND))
        self.begun = self.quoted + b";r="
        self.burst = (b"x-ratelimit-limit", b"%d" % rate.burst)
        if rate.burst != rate.amount:
            self.policy += b";tailrace-burst=%d" % rate.burst

    def claim_of(self, address: str) -> Claim:
        """What a request from ``address`` takes, where addresses are counted."""
        return Claim(self.limit, f"ip:{address}", self.cost)  # no hash has a character that each address has

    def measure(self, decision: Decision) -> tuple[int, int, int]:
        """Units left, the whole seconds over which they flow in anew, and the time until all are there again.

        After a refusal, the seconds until the same request would be granted; with none left, until there is one.
        """
        rate, allowed, arrival, now, _ = decision
        reset = arrival - now if arrival > now else 0  # as ``decision.reset``, without asking for it
        left = (rate.span - reset) // rate.interval
        if not allowed:
            window = decision.retry_after
        else:
            window = left * rate.interval if left else reset - rate.span + rate.interval
        return left, -(-window // SECOND), reset


class LimitPlan:
    """The limits of one route.

    Attributes:
        limits: in order, the general ones first.
        by_address: all of them count by the address.
        waits: finding out whose request it is takes waiting.
    """

    __slots__ = ("_lines", "_policy", "by_address", "limits", "waits")

    def __init__(self, limits: Sequence[PlannedLimit]) -> None:
        self.limits = tuple(limits)
        self.waits = any(iscoroutinefunction(limit.by) for limit in limits)
        self.by_address = all(limit.by is None for limit in limits)
        self._policy = (b"ratelimit-policy", b", ".join([limit.policy for limit in limits]))
        self._lines: tuple[str, str] | None = None
        if len(limits) == 1:
            policy, name, burst = [
                text.decode("ascii") for text in (limits[0].policy, limits[0].quoted, limits[0].burst[1])
            ]
            self._lines = (
                f"ratelimit-policy: {policy}\r\nratelimit: {name};r=",
                f"\r\nx-ratelimit-limit: {burst}\r\nx-ratelimit-remaining: ",
            )

    def fields(self, verdict: Verdict) -> list[Header]:
        """The header fields that tell the client: ``RateLimit-Policy``, ``RateLimit`` and ``X-RateLimit-*``.

        ``RateLimit`` lists every limit, after a refusal those that refused; ``t`` is the time over which the units that
        are left would flow in anew, so that a client that spreads them over it keeps within the rate. ``X-RateLimit-*``
        are about the one that refused longest or has the least left: the burst, what is left of it, and the seconds
        until it is full.

        **Source:** draft-ietf-httpapi-ratelimit-headers-11 sections 3, 4 and 8.5; redis-cell for ``X-RateLimit-*``.
        """
        granted, decisions, _ = verdict
        if len(decisions) == 1:  # as nearly everywhere, so it is spared the comparing
            decision, planned = decisions[0], self.limits[0]
            if decision is None:
                return [self._policy]
            left, window, reset = planned.measure(decision)
            remaining = str(left).encode()  # quicker than a format of bytes
            told = planned.begun + remaining + b";t=" + str(window).encode()
        else:
            tightest, several = None, []
            least = math.inf
            for each, decision in zip(self.limits, decisions, strict=True):
                if decision is None or decision.allowed is not granted:
                    continue
                measured = left, window, _ = each.measure(decision)
                several.append(each.begun + b"%d;t=%d" % (left, window))
                rank = left / decision.rate.burst if granted else -float(decision.retry_after)
                if rank < least:
                    least, tightest = rank, (each, *measured)
            if tightest is None:
                return [self._policy]
            planned, left, _, reset = tightest
            remaining, told = b"%d" % left, b", ".join(several)
        return [
            self._policy,
            (b"ratelimit", told),
            planned.burst,
            (b"x-ratelimit-remaining", remaining),
            (b"x-ratelimit-reset", str(-(-reset // SECOND)).encode()),
        ]

    def lines(self, verdict: Verdict) -> bytes:
        """The same as HTTP/1.1 sends them; nothing in them comes from outside."""
        decision = verdict[1][0]
        if self._lines is None or decision is None:
            return b"".join([b"%b: %b\r\n" % field for field in self.fields(verdict)])
        left, window, reset = self.limits[0].measure(decision)
        until_left, until_remaining = self._lines
        told = f"{until_left}{left};t={window}{until_remaining}{left}\r\nx-ratelimit-reset: {-(-reset // SECOND)}\r\n"
        return told.encode()

    def refused(self, verdict: Verdict) -> list[str]:
        """The names of the limits that refused; of all, where nobody could tell which."""
        named = [
            planned.limit.name
            for planned, decision in zip(self.limits, verdict.decisions, strict=True)
            if decision is not None and not decision.allowed
        ]
        return named or [planned.limit.name for planned in self.limits]

    def retry_after(self, verdict: Verdict) -> int:
        """Whole seconds for ``Retry-After``: when they have passed, the same request is granted if nobody else asks."""
        return -(-verdict.retry_after // SECOND) or RETRY_CLOSED


class LimitPlans:
    """Makes the plans, once for each route.

    Args:
        general: count for every route; each must have a name.
        defaults: what holds where a limit does not say otherwise.

    Raises:
        ValueError: a general limit has no name.
    """

    def __init__(self, general: Sequence[RouteLimit] = (), defaults: LimitDefaults | None = None) -> None:
        if not all(limit.name for limit in general):
            raise ValueError("a general limit must have a name")
        self._general = tuple(general)
        self._defaults = defaults or LimitDefaults()
        self._unmatched = self._make((), "", general=True)
        self._made: dict[tuple[str, int], tuple[object, LimitPlan | None]] = {}

    @property
    def general(self) -> bool:
        """Whether there are limits that count for every route."""
        return bool(self._general)

    def of(self, resolved: Resolved | None) -> LimitPlan | None:
        """The limits of a route, None if it has none; without a route, the general ones."""
        if resolved is None:
            return self._unmatched
        declared = resolved.limits
        if not declared and resolved.general_limits:
            return self._unmatched
        made = self._made.get((resolved.name, id(declared)))
        if made is None:
            plan = self._make(declared, resolved.name, general=resolved.general_limits)
            made = self._made[(resolved.name, id(declared))] = (declared, plan)  # kept, so its id stays its own
        return made[1]

    def _make(self, declared: Sequence[RouteLimit], name: str, *, general: bool) -> LimitPlan | None:
        chosen = {limit.name: limit for limit in self._general} if general else {}
        for number, limit in enumerate(declared):
            own = limit.name or (name if len(declared) == 1 else f"{name} {number + 1}")
            chosen[_printable(own)] = limit
        if not chosen:
            return None
        return LimitPlan([PlannedLimit(limit, name, self._defaults) for name, limit in chosen.items()])


def _printable(name: str) -> str:
    """A template as the name of a limit: what no name may have becomes ``?``."""
    return "".join(c if c.isascii() and c.isprintable() and c not in '"\\' else "?" for c in name)[:128]
