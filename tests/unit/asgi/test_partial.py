from __future__ import annotations

from typing import Any

import pytest
from fastapi import FastAPI, Response
from tests.unit.asgi.driver import Reply, ask, decoded

from tailrace import Tailrace, cached
from tailrace.settings import Settings

BODY = "".join(f"line {n} of a body that compresses well\n" for n in range(200))
MODIFIED = "Wed, 21 Oct 2015 07:28:00 GMT"


@pytest.fixture
async def app() -> Any:
    app = FastAPI()

    @app.get("/text")
    @cached(ttl=60, shared=True)
    async def text() -> Response:
        headers = {"last-modified": MODIFIED, "date": "Wed, 21 Oct 2015 08:00:00 GMT"}
        return Response(BODY, media_type="text/plain", headers=headers)

    @app.get("/missing")
    @cached(ttl=60, shared=True, statuses=(404,))
    async def missing() -> Response:
        return Response("nothing here", status_code=404)

    Tailrace(app, Settings(database_url=None, valkey_url=None))
    await ask(app, "/text")
    return app


async def part(app: Any, value: str, *, method: str = "GET", **fields: str) -> Reply:
    headers = [(b"range", value.encode())]
    headers += [(name.replace("_", "-").encode(), text.encode()) for name, text in fields.items()]
    return await ask(app, "/text", headers=headers, method=method)


async def test_a_part_of_what_is_stored(app: Any) -> None:
    """RFC 9110 15.3.7: 206 with the bytes, where they are and how many; the rest as in the whole."""
    whole = await ask(app, "/text")
    reply = await part(app, "bytes=5-14")
    assert (reply.status, reply.body) == (206, BODY.encode()[5:15])
    assert reply.headers[b"content-range"] == b"bytes 5-14/%d" % len(BODY)
    assert reply.headers[b"content-length"] == b"10"
    assert reply.headers[b"etag"] == whole.headers[b"etag"]
    assert reply.headers[b"cache-status"].startswith(b"tailrace; hit")
    assert [name for name, _ in reply.messages[0]["headers"]].count(b"content-length") == 1


async def test_a_first_request_for_a_part_gets_it(app: Any) -> None:
    """The whole is computed and kept; the client is sent its part."""
    reply = await ask(app, "/text", query_string=b"other", headers=[(b"range", b"bytes=-5")])
    assert (reply.status, reply.body) == (206, BODY.encode()[-5:])


async def test_several_parts(app: Any) -> None:
    """As multipart/byteranges."""
    reply = await part(app, "bytes=0-3,-4")
    assert reply.status == 206
    assert reply.headers[b"content-type"].startswith(b"multipart/byteranges; boundary=")
    assert reply.headers[b"content-length"] == b"%d" % len(reply.body)
    assert b"content-range" not in reply.headers
    assert (
        b"Content-Type: text/plain; charset=utf-8\r\nContent-Range: bytes 0-3/%d\r\n\r\nline" % len(BODY) in reply.body
    )


async def test_behind_the_end(app: Any) -> None:
    """416 with the length there is."""
    reply = await part(app, "bytes=100000-")
    assert (reply.status, reply.body) == (416, b"")
    assert reply.headers[b"content-range"] == b"bytes */%d" % len(BODY)
    assert reply.headers[b"content-length"] == b"0"


async def test_what_counts_only_for_get(app: Any) -> None:
    """RFC 9110 14.2: HEAD ignores Range; a condition that holds goes before it."""
    assert (await part(app, "bytes=0-3", method="HEAD")).status == 200
    etag = (await ask(app, "/text")).headers[b"etag"].decode()
    assert (await part(app, "bytes=0-3", if_none_match=etag)).status == 304


async def test_if_range(app: Any) -> None:
    """The part if the client's other parts are of the same bytes, else the whole."""
    etag = (await ask(app, "/text")).headers[b"etag"].decode()
    for value, status in ((etag, 206), ('"other"', 200), (f"W/{etag}", 200), (MODIFIED, 206)):
        assert (await part(app, "bytes=0-3", if_range=value)).status == status


async def test_a_part_of_the_coding_that_is_sent(app: Any) -> None:
    """Parts put together are the compressed body, and its tag tells them from those of the plain one."""
    whole = await ask(app, "/text", headers=[(b"accept-encoding", b"gzip")])
    parts = [await part(app, value, accept_encoding="gzip") for value in ("bytes=0-99", "bytes=100-")]
    assert b"".join(reply.body for reply in parts) == whole.body
    assert decoded(whole.body, "gzip") == BODY.encode()
    assert {reply.headers[b"etag"] for reply in parts} == {whole.headers[b"etag"]}
    plain = (await ask(app, "/text")).headers[b"etag"].decode()
    assert (await part(app, "bytes=0-9", accept_encoding="gzip", if_range=plain)).status == 200


async def test_a_failure_has_neither_parts_nor_conditions(app: Any) -> None:
    """RFC 9110 13.2.1: conditions are of what would be a 2xx; a stored 404 is no copy that the client has."""
    reply = await ask(app, "/missing")
    assert reply.status == 404
    for field in ((b"if-none-match", b"*"), (b"if-none-match", reply.headers[b"etag"]), (b"range", b"bytes=0-1")):
        assert (await ask(app, "/missing", headers=[field])).status == 404
