"""Calls to other services: ``client`` composes the policies of ``tailrace.resilience`` around ``transport``, the one
adapter to the HTTP engine; ``streaming`` hands an answer on while it arrives, ``event_stream`` makes events of it;
``classify`` decides what an answer means, ``propagation`` what is passed on. ``fetcher`` fetches URLs that strangers
name, past the ``guard`` that keeps them out of private networks.
"""

from __future__ import annotations

from tailrace.upstream.client import UpstreamClient
from tailrace.upstream.event_stream import ReceivedEvent, received_events
from tailrace.upstream.fetcher import FetchedDocument, OutboundFetcher
from tailrace.upstream.guard import OutboundGuard
from tailrace.upstream.message import OutgoingRequest, UpstreamResponse
from tailrace.upstream.propagation import passed_on, propagated_headers
from tailrace.upstream.streaming import ResponseStream
from tailrace.upstream.transport import HttpTransport, Transport

__all__ = [
    "FetchedDocument",
    "HttpTransport",
    "OutboundFetcher",
    "OutboundGuard",
    "OutgoingRequest",
    "ReceivedEvent",
    "ResponseStream",
    "Transport",
    "UpstreamClient",
    "UpstreamResponse",
    "passed_on",
    "propagated_headers",
    "received_events",
]
