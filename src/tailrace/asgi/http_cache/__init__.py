"""A shared HTTP cache in front of any ASGI application, also one that passes requests on to another server.

What is kept, for how long and for whom is said by the responses themselves, as RFC 9111 has it. For routes whose policy
is the server's own there is ``ResponseCacheMiddleware``; both stand on the same store.
"""

from __future__ import annotations

from tailrace.asgi.http_cache.middleware import HttpCacheMiddleware

__all__ = ["HttpCacheMiddleware"]
