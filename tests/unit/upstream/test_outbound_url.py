"""How a stranger's URL is read: in one way, or not at all."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from tailrace.errors import UrlRefusedError
from tailrace.upstream.outbound_url import LONGEST_URL, join_url, parse_url


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("http://example.com", "http://example.com/"),
        ("HTTPS://EXAMPLE.COM:443/A?b=C#d", "https://example.com/A?b=C"),
        ("http://example.com:/", "http://example.com/"),
        ("http://example.com:8080?x", "http://example.com:8080/?x"),
        ("http://example.com./a", "http://example.com/a"),
        ("http://example.com/ä?ö=ü", "http://example.com/%C3%A4?%C3%B6=%C3%BC"),
        ("http://example.com/%7Ea%zz", "http://example.com/%7Ea%zz"),
        ("http://straße.example/", "http://xn--strae-oqa.example/"),
        ("http://例え。テスト/", "http://xn--r8jz45g.xn--zckzah/"),
        ("http://[2606:4700:0::1111]/", "http://[2606:4700::1111]/"),
        ("http://[::ffff:127.0.0.1]:80/", f"http://[{ip_address('::ffff:7f00:1')}]/"),
        ("http://1.2.3.4/", "http://1.2.3.4/"),
        ("http://1.2.3.4.example/", "http://1.2.3.4.example/"),
        ("http://a_b.example/", "http://a_b.example/"),
        ("http://example.com//other.example/", "http://example.com//other.example/"),
    ],
)
def test_one_spelling(text: str, read: str) -> None:
    """Spellings of the same URL become one, and that one is read as itself."""
    url = parse_url(text)
    assert str(url) == read
    assert parse_url(read) == url


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "scheme"),
        ("example.com", "scheme"),
        ("//example.com/", "scheme"),
        ("ftp://example.com/", "scheme"),
        ("file:///etc/passwd", "scheme"),
        ("gopher://127.0.0.1:6379/_FLUSHALL", "scheme"),
        ("data:text/html,x", "scheme"),
        ("javascript:alert(1)", "scheme"),
        ("http:example.com", "scheme"),
        ("http:/example.com", "scheme"),
        ("https:///example.com", "host"),
        ("http://", "host"),
        ("http:///", "host"),
        ("http://:80/", "host"),
        ("http://user@example.com/", "credentials"),
        ("http://user:password@example.com/", "credentials"),
        ("http://@example.com/", "credentials"),
        ("http://example.com@169.254.169.254/", "credentials"),
        ("http://example.com#@127.0.0.1/\\", "characters"),
        ("http://example.com\\@127.0.0.1/", "characters"),
        ("http://127.0.0.1\t/", "characters"),
        (" http://example.com/", "characters"),
        ("http://example.com/\r\nHost: other", "characters"),
        ("http://example.com/\u2028", "characters"),
        ("http://example.com/\ud800", "characters"),
        ("http://exa\x00mple.com/", "characters"),
        ("http://example.com:0/", "port"),
        ("http://example.com:65536/", "port"),
        ("http://example.com:99999/", "port"),
        ("http://example.com:080000/", "host"),
        ("http://example.com:-80/", "host"),
        ("http://example.com:８０/", "host"),
        ("http://example.com:80:80/", "host"),
        ("http://2130706433/", "host"),
        ("http://0x7f000001/", "host"),
        ("http://0x7f.1/", "host"),
        ("http://127.1/", "host"),
        ("http://127.0.1/", "host"),
        ("http://0177.0.0.1/", "host"),
        ("http://127.0.0.01/", "host"),
        ("http://127.0.0.0x1/", "host"),
        ("http://0/", "host"),
        ("http://0x/", "host"),
        ("http://256.1.1.1/", "host"),
        ("http://1.2.3.4.5/", "host"),
        ("http://１２７.1/", "host"),
        ("http://⑫７.1/", "host"),
        ("http://127%2e0%2e0%2e1/", "host"),
        ("http://%31%32%37.0.0.1/", "host"),
        ("http://[::1/", "host"),
        ("http://::1/", "host"),
        ("http://[::1]x/", "host"),
        ("http://[fe80::1%25eth0]/", "host"),
        ("http://[v1.a]/", "host"),
        ("http://[127.0.0.1]/", "host"),
        ("http://a..b/", "host"),
        ("http://.a/", "host"),
        ("http://-a.example/", "host"),
        ("http://a,b/", "host"),
        (f"http://{'a' * 64}.example/", "host"),
        (f"http://{'a.' * 127}example/", "host"),
        (f"http://example.com/{'a' * LONGEST_URL}", "length"),
    ],
)
def test_what_is_refused(text: str, reason: str) -> None:
    """Each trick is refused for what it is, and the refusal repeats nothing of the URL."""
    with pytest.raises(UrlRefusedError) as raised:
        parse_url(text)
    assert raised.value.reason == reason
    assert not any(part in str(raised.value) for part in ("example", "127", "passw"))


@pytest.mark.parametrize(
    "text", ["http://１２７.０.０.１/", "http://①②⑦.⓪.0.1/", "http://127。0。0。1/", "http://127.0.0.1./"]
)
def test_digits_of_every_script_are_an_address(text: str) -> None:
    """What stands for an address in another script is that address, and is judged as one."""
    assert str(parse_url(text).address) == "127.0.0.1"


@pytest.mark.parametrize(
    ("location", "leads_to"),
    [
        ("/b", "http://example.com/b"),
        ("b?c", "http://example.com/x/b?c"),
        ("../b", "http://example.com/b"),
        ("?q", "http://example.com/x/a?q"),
        ("//other.example/b", "http://other.example/b"),
        ("https://other.example", "https://other.example/"),
        ("/\xc3\xa4", "http://example.com/%C3%A4"),
    ],
)
def test_where_redirects_lead(location: str, leads_to: str) -> None:
    """Relative references are resolved; what servers send as UTF-8 is understood."""
    assert str(join_url(parse_url("http://example.com/x/a"), location)) == leads_to


@pytest.mark.parametrize(
    "location",
    ["\thttp://127.0.0.1/", "http://a/, http://b/", "//[::1", "/\xff", "file:///x", "//user@host/", "/" + "a" * 5000],
)
def test_redirects_that_are_refused(location: str) -> None:
    """A redirect is read as strictly as what a stranger types."""
    with pytest.raises(UrlRefusedError):
        join_url(parse_url("http://example.com/"), location)
