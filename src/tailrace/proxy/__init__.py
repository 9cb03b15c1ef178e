"""The shared HTTP cache as a plain reverse proxy in front of any server.

``gateway`` passes requests on to the origin and its responses back, ``fields`` says which header fields go with them,
``service`` puts the cache in front of it, and ``serving`` serves that on a port.
"""

from __future__ import annotations

from tailrace.proxy.gateway import Gateway
from tailrace.proxy.service import CacheProxy

__all__ = ["CacheProxy", "Gateway"]
