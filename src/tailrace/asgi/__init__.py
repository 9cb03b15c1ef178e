"""The front door: HTTP layers as plain ASGI middleware, usable one by one with any framework."""

from tailrace.asgi.api_versions import Alias, Deprecated, Version, Versions
from tailrace.asgi.caller import by_header, first_of
from tailrace.asgi.client_address import ClientAddresses
from tailrace.asgi.compression import CompressionMiddleware
from tailrace.asgi.exchange import Exchange, current_exchange
from tailrace.asgi.http_cache import HttpCacheMiddleware
from tailrace.asgi.phases import measure_phases
from tailrace.asgi.problem_details import ErrorShape, Problem, ProblemDetailsMiddleware, problem_of, rfc9457
from tailrace.asgi.rate_limit import RateLimitMiddleware, limits_by_path
from tailrace.asgi.read_your_writes import ReadYourWritesMiddleware
from tailrace.asgi.request_context import RequestContextMiddleware
from tailrace.asgi.request_decoding import RequestDecodingMiddleware
from tailrace.asgi.request_limits import RequestLimitsMiddleware
from tailrace.asgi.response_cache import ResponseCacheMiddleware, by_path
from tailrace.asgi.route_limit import LimitDefaults, RouteLimit
from tailrace.asgi.route_policy import Finish, Resolved, RoutePolicy
from tailrace.asgi.sentry import report_to_sentry
from tailrace.asgi.stack import ORDER, stack
from tailrace.asgi.versioning import VersioningMiddleware
from tailrace.asgi.x_cache import XCacheMiddleware

__all__ = [
    "ORDER",
    "Alias",
    "ClientAddresses",
    "CompressionMiddleware",
    "Deprecated",
    "ErrorShape",
    "Exchange",
    "Finish",
    "HttpCacheMiddleware",
    "LimitDefaults",
    "Problem",
    "ProblemDetailsMiddleware",
    "RateLimitMiddleware",
    "ReadYourWritesMiddleware",
    "RequestContextMiddleware",
    "RequestDecodingMiddleware",
    "RequestLimitsMiddleware",
    "Resolved",
    "ResponseCacheMiddleware",
    "RouteLimit",
    "RoutePolicy",
    "Version",
    "VersioningMiddleware",
    "Versions",
    "XCacheMiddleware",
    "by_header",
    "by_path",
    "current_exchange",
    "first_of",
    "limits_by_path",
    "measure_phases",
    "problem_of",
    "report_to_sentry",
    "rfc9457",
    "stack",
]
