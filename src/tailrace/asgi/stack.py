"""The order of the layers, as data. Pure.

Each layer is plain ASGI middleware and works alone; together they stand in this order, outside in, and nowhere else is
it written down.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tailrace.asgi.types import ASGIApp

__all__ = ["ORDER", "stack"]

ORDER: tuple[tuple[str, str], ...] = (
    ("request_context", "gives the id that every later word about the request carries, and sees every response"),
    ("problem_details", "answers whatever the layers below could not"),
    ("monitoring", "health and metrics, past everything that could be slow or full"),
    ("load_shedding", "refuses early what cannot be served in time, before anything is done for it"),
    ("versioning", "finds the version's own path before anything is counted, kept or answered under it"),
    ("rate_limit", "refuses who asks too often, before a store, the database or the body is read for it"),
    ("read_your_writes", "decides what may be read from a cache, so it comes before every cache"),
    ("response_cache", "answers a hit before the framework is entered"),
    ("http_cache", "keeps what the routes without a policy say themselves, as it will be sent, so encoded"),
    ("compression", "encodes what is not kept; what is, the response cache encodes once, so it stands outside"),
    ("request_limits", "bounds what was sent, before anything makes more of it"),
    ("request_decoding", "decompresses a request's body, or refuses a coded one, only when nothing else has answered"),
)
"""Name and reason of each layer, the outermost first."""


def stack(app: ASGIApp, layers: Mapping[str, Callable[[ASGIApp], ASGIApp]]) -> ASGIApp:
    """``app`` inside ``layers``, in the documented order however the mapping is ordered.

    Raises:
        ValueError: a layer has no place in the order.
    """
    names = [name for name, _ in ORDER]
    unknown = sorted(set(layers) - set(names))
    if unknown:
        raise ValueError(f"no place in the order of layers for {', '.join(unknown)}")
    for name in reversed(names):
        if name in layers:
            app = layers[name](app)
    return app
