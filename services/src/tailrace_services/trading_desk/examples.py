"""Commands to try. Pure."""

from __future__ import annotations

from tailrace_services.trading_desk.keys import api_key

__all__ = ["examples"]


def examples(address: str, seed: int) -> list[str]:
    """See what is open, look for words and tags, write an item and see who did, see signals and their days, ask.

    The key follows from ``seed``.
    """
    ask = f"curl -H 'X-API-Key: {api_key(seed, 1)}'"
    item = '{"title": "Roll the WTI position", "category": "execution", "tags": ["roll"]}'
    return [
        f"{ask} '{address}/api/items?status=open&priority=critical&limit=5'",
        f"{ask} '{address}/api/items?q=margin+limit&tags_any=gold&total=exact&limit=5'",
        f"{ask} -H 'Content-Type: application/json' -d '{item}' '{address}/api/items'",
        f"{ask} '{address}/api/audit-log?limit=5'",
        f"{ask} '{address}/api/signals?asset=XAUUSD&signal_type=buy&limit=5'",
        f"{ask} '{address}/api/signals/summary?asset=XAUUSD&limit=7'",
        f"in a browser: {address}/query?q=How+do+I+sort+a+list%3F",
    ]
