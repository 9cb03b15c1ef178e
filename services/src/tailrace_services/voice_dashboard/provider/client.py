"""The service's view of the voice provider: configurations, or the reason why there are none. Touches: the provider
through ``UpstreamClient``, the cache, an archive of last known configurations.

A user never waits longer than ``patience``, and hardly at all while the circuit is not closed. What has not come by
then goes on in the background, in bounded number, fills the cache, and is there for the next request. All requests
that want the same agent share one fetch.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, Self
from urllib.parse import quote

from tailrace.cache import Answer, Cache, CachePolicy, Computed, read_as
from tailrace.clock import Clock, SystemClock
from tailrace.errors import (
    BulkheadFullError,
    CircuitOpenError,
    TailraceError,
    UpstreamRejectedError,
    UpstreamTimeoutError,
    UpstreamUnavailableError,
)
from tailrace.events import CircuitChanged, Event, FallbackUsed, Observer
from tailrace.resilience.timeout import with_timeout
from tailrace.upstream import Transport, UpstreamClient, passed_on, propagated_headers
from tailrace_services.voice_dashboard.provider.last_known import Archive, Configuration, LastKnown, Parsed, parse
from tailrace_services.voice_dashboard.provider.settings import VoiceProviderSettings

__all__ = ["NAME", "ProviderAnswer", "Reason", "VoiceProvider"]

NAME = "voice_provider"
"""The dependency's name in events and metrics."""
ARCHIVE_PAUSE = 0.5
"""Seconds before new configurations are archived: the request that brought them has gone, and one write takes all."""

Reason = Literal["timeout", "failed", "rejected", "suspended"]
"""Why the provider's own answer is missing: not in time; every attempt failed; refused; not asked for the moment."""


@dataclass(frozen=True, slots=True)
class ProviderAnswer:
    """What is known of one agent.

    Attributes:
        configuration: current if ``reason`` is None, else the last known one, or None.
        reason: why it is not current.
    """

    configuration: Configuration | None
    reason: Reason | None = None

    @property
    def degraded(self) -> bool:
        """True if the provider did not give this."""
        return self.reason is not None

    @property
    def payload(self) -> Mapping[str, Any] | None:
        """The configuration as the provider words it, None if it is not known or the agent is unknown there."""
        return None if self.configuration is None else self.configuration.payload


class VoiceProvider:
    """Configurations of agents by their id at the provider.

    Args:
        cache: shared by the service's processes; None: only what this process remembers is there in an outage.
        archive: asked in an outage for what this process has not seen.
        transport: in place of HTTP over sockets; closed with this.
    """

    def __init__(
        self,
        settings: VoiceProviderSettings,
        *,
        cache: Cache | None = None,
        archive: Archive | None = None,
        clock: Clock | None = None,
        observer: Observer | None = None,
        transport: Transport | None = None,
    ) -> None:
        self._settings = settings
        self._cache = cache
        self._archive = archive
        self._clock = clock or SystemClock()
        self._observer = observer
        self._client = UpstreamClient(
            NAME,
            settings.base_url,
            settings=settings.upstream,
            headers={"xi-api-key": settings.api_key.get_secret_value(), "accept": "application/json"},
            clock=self._clock,
            observer=self._observe,
            transport=transport,
        )
        self._opened: asyncio.Future[None] | None = None
        self._policy = CachePolicy(
            NAME, ttl=settings.ttl, stale_while_revalidate=settings.stale_while_revalidate, jitter=0.1
        )
        self._known = LastKnown(settings.known)
        self._fetches: dict[str, asyncio.Task[Configuration]] = {}
        self._archiving: dict[str, Configuration] = {}
        self._archivist: asyncio.Task[None] | None = None

    @property
    def circuit(self) -> str:
        """The breaker's state: closed, open or half_open."""
        return self._client.circuit

    @property
    def fetching(self) -> int:
        """Configurations being fetched, watched by a request or not."""
        return len(self._fetches)

    async def configuration(self, external_id: str, *, timeout: float | None = None) -> ProviderAnswer:
        """One agent's configuration; see ``configurations``."""
        return (await self.configurations([external_id], timeout=timeout))[external_id]

    async def configurations(
        self, external_ids: Iterable[str], *, timeout: float | None = None
    ) -> dict[str, ProviderAnswer]:
        """What is known of each agent, in the order asked, within ``timeout`` seconds (``patience`` by default).

        Never raises because of the provider: what it did not give comes with the reason and the last known
        configuration. Cost: none of the loop's turns when this process holds all of them.
        """
        answers: dict[str, ProviderAnswer | None] = {name: self._at_hand(name) for name in external_ids}
        missing = [name for name, answer in answers.items() if answer is None]
        if missing and self._client.refuses:
            answers |= await self._without_asking(missing)
            await self._recall(answers)
        elif missing:
            fetches = {name: fetch for name in missing if (fetch := self._fetch(name)) is not None}
            await self._wait(fetches.values(), self._patience(timeout))
            for name in missing:
                answers[name] = self._outcome(name, fetches.get(name))
            await self._recall(answers)
        return {name: answer for name, answer in answers.items() if answer is not None}

    async def aclose(self) -> None:
        """End the fetches under way, archive what they brought, close the connections. Idempotent."""
        tasks: list[asyncio.Task[Any]] = [*self._fetches.values()]
        if self._archivist is not None:
            tasks.append(self._archivist)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._archive is not None:
            await self._archive_now(self._archive)
        await self._client.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    # --- what is at hand -------------------------------------------------------------------------

    def _at_hand(self, external_id: str) -> ProviderAnswer | None:
        """A current configuration that this process holds, without waiting."""
        if self._cache is not None:
            found = self._cache.peek(_key(external_id), policy=self._policy)
            return None if found is None else self._read(external_id, found)
        known = self._known.get(external_id)
        if known is None:
            return None
        ttl = self._settings.unknown_ttl if known.payload is None else self._settings.ttl
        return ProviderAnswer(known) if self._clock.now() - known.fetched_at < ttl else None

    async def _without_asking(self, external_ids: Sequence[str]) -> dict[str, ProviderAnswer]:
        """What all processes together hold, while there is no use in asking the provider; one round trip for all."""
        held: dict[str, Answer] = {}
        if self._cache is not None:
            held = await self._cache.look([_key(name) for name in external_ids], policy=self._policy)
        found = {name: self._read(name, held[_key(name)]) for name in external_ids if _key(name) in held}
        return {name: found.get(name) or self._degraded(name, "suspended") for name in external_ids}

    def _read(self, external_id: str, answer: Answer) -> ProviderAnswer | None:
        """What is held of an agent; None if it is no configuration, and has to be fetched anew."""
        try:
            return ProviderAnswer(self._take(external_id, answer))
        except ValueError:
            return None

    def _take(self, external_id: str, answer: Answer, parsed: Parsed | None = None) -> Configuration:
        configuration, new = self._known.take(external_id, answer.value, answer.created_at, parsed)
        if new and configuration.payload is not None and self._archive is not None:
            self._archiving[external_id] = configuration
            if self._archivist is None or self._archivist.done():
                self._archivist = asyncio.create_task(self._write_archive(self._archive), context=_own_context())
        return configuration

    # --- fetching --------------------------------------------------------------------------------

    def _fetch(self, external_id: str) -> asyncio.Task[Configuration] | None:
        """The fetch under way for this agent, begun if there is none; None when too many are."""
        fetch = self._fetches.get(external_id)
        if fetch is None and len(self._fetches) < self._settings.background:
            fetch = asyncio.create_task(self._fetch_through_cache(external_id), context=_own_context())
            self._fetches[external_id] = fetch
            fetch.add_done_callback(lambda task: self._fetched(external_id, task))
        return fetch

    def _fetched(self, external_id: str, task: asyncio.Task[Configuration]) -> None:
        del self._fetches[external_id]
        if not task.cancelled():
            task.exception()  # looked at, so that a failure nobody waited for is not reported as forgotten

    async def _fetch_through_cache(self, external_id: str) -> Configuration:
        parsed: Parsed | None = None

        async def ask() -> Computed:
            nonlocal parsed
            parsed, ttl = await self._ask(external_id)
            return Computed(parsed.raw, ttl)

        if self._cache is None:
            asked_at = self._clock.now()
            computed = await ask()
            return self._take(external_id, Answer(computed.value, "bypass", asked_at, 0.0, 0.0), parsed)
        take = lambda answer: self._take(external_id, answer, parsed)  # noqa: E731
        return await read_as(self._cache, _key(external_id), ask, take, policy=self._policy)

    async def _ask(self, external_id: str) -> tuple[Parsed, float]:
        """The provider's answer, checked, and the seconds it is good for; ``null`` if it does not know the agent.

        Raises:
            UpstreamError: as ``UpstreamClient.request``; an answer that is no configuration is a failure too.
        """
        try:
            response = await self._client.request("GET", f"/v1/convai/agents/{quote(external_id, safe='')}")
        except UpstreamRejectedError as error:
            if error.answered == 404:
                return Parsed(b"null", None), self._settings.unknown_ttl
            raise
        try:
            payload = parse(response.body)
            if payload is None:
                raise ValueError("null is no configuration")
        except ValueError as error:
            raise UpstreamUnavailableError(f"{NAME}: answered with something that is no configuration") from error
        return Parsed(response.body, payload), self._settings.ttl

    def _patience(self, timeout: float | None) -> float:
        patience = self._settings.patience if timeout is None else timeout
        return patience if self._client.circuit == "closed" else min(patience, self._settings.patience_in_outage)

    async def _wait(self, fetches: Iterable[asyncio.Task[Configuration]], seconds: float) -> None:
        """Until all have ended, the circuit has opened, or the time is up; the fetches themselves go on."""
        pending = {fetch for fetch in fetches if not fetch.done()}
        if not pending:
            return
        if self._opened is None:
            self._opened = asyncio.get_running_loop().create_future()
        opened = self._opened
        everything: asyncio.Future[Any] = asyncio.create_task(asyncio.wait(pending))
        try:
            await with_timeout(
                lambda: asyncio.wait([everything, opened], return_when=asyncio.FIRST_COMPLETED),
                seconds,
                clock=self._clock,
                what=NAME,
            )
            if not everything.done():  # what fails at once by the open circuit is let finish, nothing else waited for
                grace = min(seconds, self._settings.patience_in_outage)
                await with_timeout(lambda: asyncio.wait([everything]), grace, clock=self._clock, what=NAME)
        except UpstreamTimeoutError:
            return
        finally:
            everything.cancel()

    def _observe(self, event: Event) -> None:
        if isinstance(event, CircuitChanged) and event.state == "open" and self._opened is not None:
            if not self._opened.done():
                self._opened.set_result(None)
            self._opened = None
        if self._observer is not None:
            self._observer(event)

    # --- what comes of it ------------------------------------------------------------------------

    def _outcome(self, external_id: str, fetch: asyncio.Task[Configuration] | None) -> ProviderAnswer:
        if fetch is None:
            return self._degraded(external_id, "suspended")
        if not fetch.done():
            return self._degraded(external_id, "timeout" if self._client.circuit == "closed" else "suspended")
        if fetch.cancelled():
            return self._degraded(external_id, "failed")
        error = fetch.exception()
        if error is None:
            return ProviderAnswer(fetch.result())
        if not isinstance(error, TailraceError):
            raise error
        return self._degraded(external_id, _reason(error))

    def _degraded(self, external_id: str, reason: Reason) -> ProviderAnswer:
        if self._observer is not None:
            self._observer(FallbackUsed(NAME, reason))
        return ProviderAnswer(self._known.get(external_id), reason)

    async def _recall(self, answers: dict[str, ProviderAnswer | None]) -> None:
        """Fill in from the archive what is missing without a last known configuration."""
        if self._archive is None:
            return
        wanted = [name for name, answer in answers.items() if answer is not None and _empty(answer)]
        if not wanted:
            return
        try:
            recalled = await self._archive.recall(wanted)
        except TailraceError:
            return  # the fallback's own trouble adds nothing that the answer does not say already
        for name in wanted:
            answer = answers[name]
            if answer is not None and name in recalled:
                answers[name] = ProviderAnswer(recalled[name], answer.reason)

    async def _write_archive(self, archive: Archive) -> None:
        while self._archiving:
            await self._clock.sleep(ARCHIVE_PAUSE)
            if not await self._archive_now(archive):
                return  # the next new configuration begins another attempt

    async def _archive_now(self, archive: Archive) -> bool:
        """Write what has come; False if that failed, which loses nothing but a fallback."""
        batch, self._archiving = self._archiving, {}
        if not batch:
            return True
        try:
            await archive.remember(batch)
        except TailraceError:
            return False
        return True


def _key(external_id: str) -> str:
    return f"{NAME}:{external_id}"


def _empty(answer: ProviderAnswer) -> bool:
    return answer.degraded and answer.configuration is None


def _own_context() -> contextvars.Context:
    """For work that outlives the request that began it: no deadline and no transaction of that request's.

    What identifies the request goes along, so that the first who asked can be found in the provider's logs.
    """
    context = contextvars.Context()
    context.run(propagated_headers.set, passed_on())
    return context


def _reason(error: TailraceError) -> Reason:
    kinds: Sequence[tuple[type[TailraceError], Reason]] = (
        (UpstreamTimeoutError, "timeout"),
        (CircuitOpenError, "suspended"),
        (BulkheadFullError, "suspended"),
        (UpstreamRejectedError, "rejected"),
    )
    return next((reason for kind, reason in kinds if isinstance(error, kind)), "failed")
