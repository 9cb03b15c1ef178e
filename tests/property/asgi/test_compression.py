from __future__ import annotations

from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st
from tests.unit.asgi.driver import Reply, http_scope

from tailrace.asgi import CompressionMiddleware
from tailrace.settings import CompressionSettings

WRAPPED = CompressionSettings(minimum_size=50, thread_size=3000)

pieces = st.lists(
    st.binary(max_size=200) | st.text(alphabet="ab{}", max_size=300).map(str.encode) | st.integers(1, 9000).map(bytes),
    max_size=8,
)
accepts = st.sampled_from([b"gzip", b"br", b"zstd", b"zstd;q=0, *", b"identity;q=0, br", b"identity", b""])


@example([bytes(50), b""], b"gzip", True, True, "GET")
@given(pieces, accepts, st.booleans(), st.booleans(), st.sampled_from(["GET", "HEAD"]))
async def test_any_body_in_any_parts_arrives(
    parts: list[bytes], accept: bytes, declared: bool, closed_late: bool, method: str
) -> None:
    """However an application cuts its body, with or without a length, the client reads the same bytes, a length that is
    told is right, and exactly one message is the last."""
    whole = b"".join(parts)
    length = [(b"content-length", b"%d" % len(whole))] if declared else []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"content-type", b"text/plain"), (b"etag", b'"v"'), *length]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        if method == "HEAD":
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            return
        for number, piece in enumerate(parts):
            last = number == len(parts) - 1 and not closed_late
            await send({"type": "http.response.body", "body": piece, "more_body": not last})
        if closed_late or not parts:
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    reply = Reply()

    async def send(message: Any) -> None:
        reply.messages.append(dict(message))

    scope = {**http_scope(), "method": method, "headers": [(b"accept-encoding", accept)]}
    await CompressionMiddleware(app, settings=WRAPPED)(scope, send, send)  # type: ignore[arg-type]
    bodies = [message for message in reply.messages if message["type"] == "http.response.body"]
    assert reply.messages[0]["type"] == "http.response.start"
    assert [message.get("more_body", False) for message in bodies] == [True] * (len(bodies) - 1) + [False]
    encoding = reply.headers.get(b"content-encoding")
    assert reply.headers[b"etag"] == (b'"v"' if encoding is None else b'"v-' + encoding + b'"')
    if method == "HEAD":
        assert reply.body == b""
    else:
        assert reply.content == whole
        assert reply.headers.get(b"content-length") in (None, b"%d" % len(reply.body))
    assert encoding is None or encoding in accept or b"*" in accept
