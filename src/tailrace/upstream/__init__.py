"""Calls to other services: ``client`` composes the policies of ``tailrace.resilience`` around ``transport``, the one
adapter to the HTTP engine; ``classify`` decides what an answer means, ``propagation`` what is passed on.
"""

from __future__ import annotations

from tailrace.upstream.client import UpstreamClient
from tailrace.upstream.message import OutgoingRequest, UpstreamResponse
from tailrace.upstream.propagation import propagated_headers
from tailrace.upstream.transport import HttpTransport, Transport

__all__ = [
    "HttpTransport",
    "OutgoingRequest",
    "Transport",
    "UpstreamClient",
    "UpstreamResponse",
    "propagated_headers",
]
