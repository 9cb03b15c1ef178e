"""Trading Desk as a subject of the proof: what is asked of it, by whom, and who writes meanwhile."""

from __future__ import annotations

from tailrace.verify.client import Request
from tailrace_services.prove.subject import Endpoint, Subject
from tailrace_services.trading_desk.data import DATA
from tailrace_services.trading_desk.importer import import_items
from tailrace_services.trading_desk.proof.people import DeskTrader, load_traders
from tailrace_services.trading_desk.proof.posting import posting
from tailrace_services.trading_desk.proof.questions import questions
from tailrace_services.trading_desk.proof.writes import DeskWriter, sql_write

__all__ = ["SUBJECT"]


def _get(
    name: str,
    *targets: str,
    asked: float,
    share: float,
    warm: float,
    cold: float | None = None,
    rate: float | None = None,
) -> Endpoint:
    """A read; traders ask for ``targets`` in turn, which may name what is theirs."""

    def request(trader: DeskTrader, number: int) -> Request:
        target = targets[number % len(targets)].format(trader=trader)
        return Request(name, target, headers=trader.headers)

    return Endpoint(name, request, asked, share, cold, warm, rate=rate)


SUBJECT = Subject(
    data=DATA,
    endpoints=(
        _get(
            "items",
            *("/api/items", "/api/items?limit=50", "/api/items?category=risk", "/api/items?status=open"),
            *("/api/items?status=open&status=in_progress&priority=high&priority=critical", "/api/items?sort=-priority"),
            *("/api/items?category=settlement&status=open", "/api/items?sort=-updated_at"),
            asked=80,
            share=0.45,
            cold=5,
            warm=1,
            rate=3_000,
        ),
        _get(
            "search",
            *("/api/items?q=margin+limit", "/api/items?tags_any=gold&tags_any=swap", "/api/items?tags_all=fx&q=hedge"),
            "/api/items?metadata=%7B%22asset%22%3A%22COCOA%22%7D&total=capped",
            asked=80,
            share=0.20,
            cold=20,
            warm=1,
        ),
        _get("item", "/api/items/{trader.item_id}", asked=80, share=0.10, cold=5, warm=1),
        _get(
            "signals",
            *("/api/signals", "/api/signals?asset=XAUUSD", "/api/signals?asset=COCOA&signal_type=close"),
            *("/api/signals?channel=oanda&limit=100", "/api/signals?asset=EURUSD&channel=oanda&sort=time"),
            asked=80,
            share=0.15,
            cold=10,
            warm=1,
        ),
        _get(
            "summary",
            *("/api/signals/summary?asset=XAUUSD", "/api/signals/summary?asset=COCOA&signal_type=close"),
            "/api/signals/summary?asset=EURUSD&channel=oanda&limit=7",
            asked=80,
            share=0.10,
            warm=1,
        ),
    ),
    load_people=load_traders,
    sql_write=sql_write,
    reference="tailrace_services.trading_desk.proof.reference:create_reference_app",
    ready="/docs",
    new_writer=DeskWriter,
    shared=True,
    hit_ratios=(0.70, 0.90),
    import_file=lambda url, file, progress: import_items(url, file, progress=progress),
    phases={"posting": posting, "questions": questions},
    variables={
        "TAILRACE_RATE_LIMIT__ENABLED": "false",
        "TAILRACE_SERVICES_DEFAULT_DOCUMENTS": "false",
        "TAILRACE_SERVICES_ANSWER_LEAST_SIMILARITY": "0",  # all that is asked is answered, and timed
        "TAILRACE_HTTP__CURSOR_SECRETS": '["the same for all that are compared"]',
    },
    notes=("rate limits are off, since one load driver asks for all",),
)
