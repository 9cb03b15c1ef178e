"""The last configuration known of each agent, for when the provider does not answer. Pure but for its own memory."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

__all__ = ["Archive", "Configuration", "LastKnown", "Parsed", "parse"]


@dataclass(frozen=True, slots=True)
class Configuration:
    """What the provider holds of an agent.

    Attributes:
        payload: the provider's answer, parsed; None: it does not know the agent.
        fetched_at: wall time at which it was asked for, seconds since 1970.
    """

    payload: Mapping[str, Any] | None
    fetched_at: float


@dataclass(frozen=True, slots=True)
class Parsed:
    """An answer of the provider as bytes and as what they say."""

    raw: bytes
    payload: Mapping[str, Any] | None


class Archive(Protocol):
    """Where last known configurations outlive the process, the service's database for one."""

    async def recall(self, external_ids: Sequence[str]) -> Mapping[str, Configuration]:
        """Those that are known."""
        ...

    async def remember(self, configurations: Mapping[str, Configuration]) -> None:
        """Keep them in place of older ones."""
        ...


class LastKnown:
    """The newest configuration of each agent that this process has seen; the least recently used go first.

    Args:
        limit: most agents kept.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._kept: OrderedDict[str, tuple[bytes, Configuration]] = OrderedDict()

    def take(
        self, external_id: str, raw: bytes, fetched_at: float, parsed: Parsed | None = None
    ) -> tuple[Configuration, bool]:
        """The configuration in ``raw``, kept from now on; parsed only if it differs from the one kept.

        Args:
            parsed: an answer that has been parsed; used if it is this one.

        Returns:
            The configuration, and whether its content is new here.
        """
        kept = self._kept.get(external_id)
        if kept is not None and kept[0] == raw:
            self._kept.move_to_end(external_id)
            if kept[1].fetched_at < fetched_at:
                kept = (kept[0], Configuration(kept[1].payload, fetched_at))
                self._kept[external_id] = kept
            return kept[1], False
        payload = parsed.payload if parsed is not None and parsed.raw is raw else parse(raw)
        configuration = Configuration(payload, fetched_at)
        self._kept[external_id] = (raw, configuration)
        self._kept.move_to_end(external_id)
        if len(self._kept) > self._limit:
            self._kept.popitem(last=False)
        return configuration, True

    def get(self, external_id: str) -> Configuration | None:
        """The last known configuration, however old."""
        kept = self._kept.get(external_id)
        return None if kept is None else kept[1]


def parse(raw: bytes) -> Mapping[str, Any] | None:
    """The provider's answer; ``null`` stands for an agent it does not know.

    Raises:
        ValueError: not JSON, or neither an object nor null.
    """
    try:
        payload = json.loads(raw)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if payload is not None and not isinstance(payload, dict):
        raise ValueError("a configuration is a JSON object")
    return payload
