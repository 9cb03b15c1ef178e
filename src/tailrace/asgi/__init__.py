"""The front door: HTTP layers as plain ASGI middleware, usable one by one with any framework."""

from tailrace.asgi.compression import CompressionMiddleware
from tailrace.asgi.exchange import Exchange, current_exchange
from tailrace.asgi.phases import measure_phases
from tailrace.asgi.problem_details import ErrorShape, Problem, ProblemDetailsMiddleware, problem_of, rfc9457
from tailrace.asgi.read_your_writes import ReadYourWritesMiddleware
from tailrace.asgi.request_context import RequestContextMiddleware
from tailrace.asgi.request_decoding import RequestDecodingMiddleware
from tailrace.asgi.response_cache import ResponseCacheMiddleware, by_path
from tailrace.asgi.route_policy import Finish, Resolved, RoutePolicy
from tailrace.asgi.stack import ORDER, stack

__all__ = [
    "ORDER",
    "CompressionMiddleware",
    "ErrorShape",
    "Exchange",
    "Finish",
    "Problem",
    "ProblemDetailsMiddleware",
    "ReadYourWritesMiddleware",
    "RequestContextMiddleware",
    "RequestDecodingMiddleware",
    "Resolved",
    "ResponseCacheMiddleware",
    "RoutePolicy",
    "by_path",
    "current_exchange",
    "measure_phases",
    "problem_of",
    "rfc9457",
    "stack",
]
