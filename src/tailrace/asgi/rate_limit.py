"""Rate limits: who asks too often is refused before anything is read or done. Touches: the limiter.

The limits of a route and the general ones are decided together, for HTTP requests and for WebSocket handshakes. Every
response says how much is left; a refusal is 429 with ``Retry-After`` and the registered problem type, in the shape of
every other failure. Where no decision can be made, because the store is down and a limit is closed then, it is 503.

**Source:** RFC 6585 section 4 (429), RFC 9110 section 10.2.3 (Retry-After), draft-ietf-httpapi-ratelimit-headers-11.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from tailrace.asgi.caller import caller_key
from tailrace.asgi.client_address import ClientAddresses
from tailrace.asgi.exchange import Exchange, exchange_of
from tailrace.asgi.instruments import instruments
from tailrace.asgi.problem_details import ErrorShape, Problem, ProblemDetailsMiddleware, render, rfc9457
from tailrace.asgi.route_limit import LimitDefaults, LimitPlan, LimitPlans, PlannedLimit, RouteLimit
from tailrace.asgi.route_policy import Resolved
from tailrace.asgi.types import ASGIApp, Header, Receive, Scope, Send
from tailrace.events import Observer
from tailrace.limits import Claim, Limiter, MemoryLimiter, Verdict
from tailrace.limits.limit import of_fields

__all__ = ["Admission", "RateLimitMiddleware", "limits_by_path"]

QUOTA_EXCEEDED = "https://iana.org/assignments/http-problem-types#quota-exceeded"
REDUCED_CAPACITY = "https://iana.org/assignments/http-problem-types#temporary-reduced-capacity"
REMEMBERED = 8192
"""Most pairs of a route's limits and an address whose claims are remembered."""
TRY_AGAIN_LATER = 1013
"""WebSocket close code, where the server cannot answer a handshake otherwise."""


class Admission(NamedTuple):
    """What was decided of one request, and by which limits."""

    plan: LimitPlan
    verdict: Verdict

    def fields(self) -> list[Header]:
        """The header fields that tell the client."""
        return self.plan.fields(self.verdict)

    def tell(self, headers: list[Header]) -> None:
        """Add them to ``headers``."""
        headers += self.plan.fields(self.verdict)


def limits_by_path(limits: Mapping[str, Sequence[RouteLimit]]) -> Callable[[Scope], Resolved | None]:
    """A resolver for exact paths, without ``root_path`` and whatever the method: enough where no router tells."""
    routes = {path: Resolved(path, None, limits=tuple(of)) for path, of in limits.items()}

    def resolve(scope: Scope) -> Resolved | None:
        path: str = scope["path"]
        return routes.get(path.removeprefix(scope.get("root_path", "")))

    return resolve


class RateLimitMiddleware:
    """Refuses what exceeds its limits.

    Args:
        app: the application.
        general: limits that count for every request, each with a name.
        resolve: the route of a request with its own limits, None when it has none; called for each request.
        limiter: keeps the buckets; by default in this process's memory.
        addresses: finds out a client's address.
        defaults: whose requests count together, and what else holds where a limit does not say.
        observer: counts decisions, or receives ``LimitDecided``.
        shape: how refusals look.

    Raises:
        ValueError: a general limit has no name.

    Cost: about 5 microseconds with memory or leases; a round trip with exact limits on a store.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        general: Sequence[RouteLimit] = (),
        resolve: Callable[[Scope], Resolved | None] = lambda scope: None,
        limiter: Limiter | None = None,
        addresses: ClientAddresses | None = None,
        defaults: LimitDefaults | None = None,
        observer: Observer | None = None,
        shape: ErrorShape = rfc9457,
    ) -> None:
        self.app = app
        self._plans = LimitPlans(general, defaults)
        self._resolve = resolve
        self._limiter: Limiter = limiter or MemoryLimiter()
        self._addresses = addresses or ClientAddresses()
        self._instruments = None if observer is None else instruments(observer)
        self._problems = ProblemDetailsMiddleware(app, shape=shape)
        self._known: dict[tuple[LimitPlan, str], Sequence[Claim]] = {}
        # What decides at once, likewise, of peers that speak for themselves.
        self._direct: dict[tuple[LimitPlan, str], Callable[[], Verdict | None]] = {}
        self._granted: dict[tuple[LimitPlan, str], list[Callable[[], None]]] = {}
        self._refused: dict[tuple[PlannedLimit, str], Callable[[], None]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = scope["type"]
        if kind not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        resolved = self._resolve(scope)
        plan = self._plans.of(resolved)
        if plan is None:
            await self.app(scope, receive, send)
            return
        exchange = exchange_of(scope)
        # Who might be answered from the cache in one step was asked already. Taken once: such a layer may stand inside.
        admitted, exchange.admission = exchange.admission, None
        if admitted is None:
            if resolved is not None:
                exchange.path_params = resolved.path_params
            verdict = self._limiter.take_now(self._claims_by_address(plan, exchange)) if plan.by_address else None
            if verdict is None:
                verdict = await self._decide(plan, exchange)
            self._report(plan, verdict)
            admitted = plan, verdict
        admission = of_fields(Admission, admitted)
        if not admission.verdict.allowed:
            if resolved is not None:
                exchange.route = resolved.template
            await self._refuse(admission, scope, send)
            return
        await self.app(scope, receive, exchange.at_start(admission.tell, send))

    def around(self, app: ASGIApp) -> RateLimitMiddleware:
        """Stand around ``app`` in place of what it was made for; returns itself."""
        self.app = app
        return self

    def use(self, limiter: Limiter) -> None:
        """Ask another limiter from now on."""
        self._limiter = limiter
        self._direct.clear()

    def admit_now(self, exchange: Exchange, resolved: Resolved) -> tuple[LimitPlan, Verdict] | bool:
        """What the limits say, for who stands before the layers; what is said is counted.

        Returns:
            What an ``Admission`` is made of. True: there are no limits. False: it takes waiting to know, and nothing
            was counted.
        """
        plan = self._plans.of(resolved)
        if plan is None:
            return True
        client = exchange.scope.get("client")
        take = self._direct.get((plan, client[0])) if client else None
        if take is not None:
            verdict = take()
        else:
            claims = self._claims_now(plan, exchange)
            verdict = None if claims is None else self._limiter.take_now(claims)
        if verdict is None:
            return False
        self._report(plan, verdict)
        return plan, verdict

    # --- private -----------------------------------------------------------------------------------

    async def _decide(self, plan: LimitPlan, exchange: Exchange) -> Verdict:
        """What the limits say, where finding out whose request it is, or asking a store, takes waiting."""
        if plan.by_address:
            return await self._limiter.take(self._claims_by_address(plan, exchange))
        claims = await self._claims(plan, exchange)
        return self._limiter.take_now(claims) or await self._limiter.take(claims)

    def _claims_now(self, plan: LimitPlan, exchange: Exchange) -> Sequence[Claim] | None:
        """What the request asks of its limits, None if finding out whose it is takes waiting."""
        if plan.by_address:
            return self._claims_by_address(plan, exchange)
        if plan.waits:
            return None
        claims = []
        for planned in plan.limits:
            identity = None if planned.by is None else planned.by(exchange)
            if identity is not None and not isinstance(identity, str):
                return None
            claims.append(self._claim(planned, exchange, identity))
        return claims

    async def _claims(self, plan: LimitPlan, exchange: Exchange) -> Sequence[Claim]:
        """The same, waited for."""
        claims = []
        for planned in plan.limits:
            identity = None if planned.by is None else planned.by(exchange)
            if identity is not None and not isinstance(identity, str):
                identity = await identity
            claims.append(self._claim(planned, exchange, identity))
        return claims

    def _claims_by_address(self, plan: LimitPlan, exchange: Exchange) -> Sequence[Claim]:
        address = self._addresses.of(exchange.scope, exchange.headers)
        known = self._known.get((plan, address))
        if known is None:
            if len(self._known) >= REMEMBERED:
                self._known.clear()
            known = self._known[plan, address] = tuple([planned.claim_of(address) for planned in plan.limits])
        client = exchange.scope.get("client")
        if client and not self._addresses.trusts(client[0]):
            if len(self._direct) >= REMEMBERED:
                self._direct.clear()
            self._direct[plan, client[0]] = self._limiter.ready(known)
        return known

    def _claim(self, planned: PlannedLimit, exchange: Exchange, identity: str | None) -> Claim:
        if identity:
            return Claim(planned.limit, caller_key(identity), planned.cost)
        return planned.claim_of(self._addresses.of(exchange.scope, exchange.headers))

    def _report(self, plan: LimitPlan, verdict: Verdict) -> None:
        if self._instruments is None:
            return
        allowed, decisions, decided_by = verdict
        if allowed:  # then all of them granted, so that whom to tell is known by the plan
            for count in self._granted.get((plan, decided_by)) or self._who_grant(plan, decided_by):
                count()
            return
        for planned, decision in zip(plan.limits, decisions, strict=True):
            if decision is not None and decision.allowed:
                continue  # it had room, and nothing was taken of it
            refused = self._refused.get((planned, decided_by))
            if refused is None:
                refused = self._instruments.decisions(planned.limit.name, False, decided_by)
                self._refused[planned, decided_by] = refused
            refused()

    def _who_grant(self, plan: LimitPlan, decided_by: str) -> list[Callable[[], None]]:
        """Told that the limits of ``plan`` have granted a request."""
        assert self._instruments is not None
        told = [self._instruments.decisions(planned.limit.name, True, decided_by) for planned in plan.limits]
        self._granted[plan, decided_by] = told
        return told

    async def _refuse(self, admission: Admission, scope: Scope, send: Send) -> None:
        plan, verdict = admission
        names = plan.refused(verdict)
        known = verdict.decided_by != "closed"
        seconds = plan.retry_after(verdict)
        problem = Problem(
            status=429 if known else 503,
            code="quota_exceeded" if known else "limits_unavailable",
            detail=f"Too many requests: the limit {', '.join(names)} is used up. Try again in {seconds} s."
            if known
            else "Whether the limits allow this request cannot be told just now. Try again.",
            request_id=exchange_of(scope).request_id,
            retryable=True,
            retry_after=seconds,
            data={"violated-policies": names},
            headers=admission.fields(),
            type=QUOTA_EXCEEDED if known else REDUCED_CAPACITY,
            title="Quota Exceeded" if known else "Temporary Reduced Capacity",
        )
        if scope["type"] == "http":
            await self._problems.answer(problem, scope, send)
        elif "websocket.http.response" in (scope.get("extensions") or {}):
            headers, body = render(problem, self._problems.shape, exchange_of(scope))
            await send({"type": "websocket.http.response.start", "status": problem.status, "headers": headers})
            await send({"type": "websocket.http.response.body", "body": body})
        else:
            await send({"type": "websocket.close", "code": TRY_AGAIN_LATER, "reason": "too many requests"})
