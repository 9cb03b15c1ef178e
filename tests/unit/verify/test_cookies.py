"""A client sends back what the server set, and nothing else."""

from __future__ import annotations

from tailrace.verify.cookies import Cookies
from tailrace.verify.http1 import Response


def response(*lines: str) -> Response:
    head = "\r\n".join(["HTTP/1.1 200 OK", *(f"Set-Cookie: {line}" for line in lines)])
    return Response(200, head.encode(), b"")


def test_the_newest_value_of_each_name_is_sent() -> None:
    """A value set again replaces the old one; attributes are not sent back."""
    cookies = Cookies()
    assert cookies.headers() == {}
    cookies.take(response("token=a=1; Path=/; HttpOnly", "other=x"))
    cookies.take(response("token=b; Max-Age=10"))
    assert cookies.headers() == {"Cookie": "token=b; other=x"}


def test_an_expired_cookie_is_forgotten() -> None:
    """Max-Age=0 deletes."""
    cookies = Cookies()
    cookies.take(response("token=a"))
    cookies.take(response("token=; Max-Age=0"))
    assert cookies.headers() == {}
