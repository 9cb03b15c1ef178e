"""What is read from pages and feeds, and what is not, however they are made."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.errors import UpstreamError
from tailrace_services.html_text import MOST_ATTRIBUTES, parse, without_traps
from tailrace_services.research_hub.scraping.feeds import DEEPEST, MOST_ENTRIES, read_feed
from tailrace_services.research_hub.scraping.pages import read_page, text_of
from tailrace_services.research_hub.scraping.posts import LONGEST_BODY, LONGEST_TITLE

URL = "https://example.com/a/post"

PAGE = """<!doctype html><html><head><meta charset=utf-8><title>Title of &lt;page&gt;</title>
<meta name="author" content="Ada L."><meta property="article:published_time" content="2026-03-01T10:00:00+02:00">
<style>p { color: red }</style><script>var x = "<p>not text</p>"</script></head>
<body><nav>Home <a href="/">Menu</a></nav><h1>Heading</h1><p>First <b>bold</b>word.<p>Second&nbsp;&amp; last
<script>evil()</script> end.</p><div>a</div><div>b</div><noscript>no</noscript><template><p>t</p></template>
<!-- comment --><footer>Imprint</footer></body></html>"""


def test_a_page_is_title_author_date_and_text() -> None:
    """What readers see and no more: no scripts, styles, menus or comments, and words stay apart."""
    post = read_page(PAGE.encode(), {"content-type": "text/html"}, URL)
    assert (post.url, post.platform, post.author) == (URL, "example.com", "Ada L.")
    assert post.title == "Title of <page>"
    assert post.published_at == datetime(2026, 3, 1, 8, tzinfo=UTC)
    assert post.body == "Heading First boldword. Second & last end. a b"


@pytest.mark.parametrize(
    ("body", "title"),
    [
        ("", URL),
        ("plain text", URL),
        ("<title></title><h1>Only <i>heading</i></h1>", "Only heading"),
        ('<title>t</title><meta property="og:title" content="Better">', "Better"),
        (f"<title>{'x' * 1000}</title>", "x" * LONGEST_TITLE),
        ("<title>a\x00b\n\tc</title>", "a\ufffdb c"),
        ("<h1>unclosed <b>x", "unclosed x"),
    ],
)
def test_titles(body: str, title: str) -> None:
    """There always is one, on one line and of bounded length."""
    assert read_page(body.encode(), {}, URL).title == title


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        ("<title>ä€</title>".encode(), "text/html"),
        ("<title>ä€</title>".encode("utf-8-sig"), "text/html; charset=latin1"),
        ("<title>ä€</title>".encode("cp1252"), "text/html; charset=ISO-8859-1"),
        ("<title>ä€</title>".encode("cp1252"), "text/html"),
        ("<title>ä€</title>".encode("utf-16"), "text/html"),
        ('<meta charset="windows-1252"><title>ä€</title>'.encode("cp1252"), "text/html"),
        ("<title>ä€</title>".encode(), "text/html; charset=no-such-thing"),
        ("<title>ä€</title>".encode(), "text/html; charset=base64"),
        ("<title>ä€</title>".encode(), "text/html; charset=rot13"),
        ("<title>ä€</title>".encode(), "text/html; charset=idna"),
        ("<title>ä€</title>".encode(), "text/html; charset=Undefined"),
        ("<title>ä€</title>".encode(), "text/html; charset=punycode"),
        ("<title>ä€</title>".encode(), "text/html; charset=unicode_escape"),
    ],
)
def test_encodings(body: bytes, content_type: str) -> None:
    """By the answer's header, a mark, the page's own word, or as it must be."""
    assert read_page(body, {"content-type": content_type}, URL).title == "ä€"


def test_pages_that_are_traps() -> None:
    """Nested without end, an attribute without end, a text without end: read or cut, in bounded time and depth."""
    for body in ("<div>" * 200_000 + "deep", f'<p a="{"x" * 1_000_000}">y', "<p>" + "word " * 300_000, "<" * 500_000):
        assert len(read_page(body.encode(), {}, URL).body) <= LONGEST_BODY


def test_an_element_of_very_many_attributes_ends_a_page() -> None:
    """The parser would compare each with all others, for minutes; what stands before is read."""
    many = "<p>before</p><p " + " ".join(f"a{number}=1" for number in range(200_000)) + ">behind</p>"
    assert read_page(many.encode(), {}, URL).body == "before"
    some = "<p " + " ".join(f"a{number}='1'" for number in range(MOST_ATTRIBUTES)) + ">text</p>"
    assert read_page(some.encode(), {}, URL).body == "text"


@given(st.text(st.sampled_from("<>/ab= \n\f\"'`!-\x00\x0b\u2003"), max_size=60), st.integers(0, 6))
def test_no_attribute_goes_uncounted(inside: str, most: int) -> None:
    """Whatever the parser takes for attributes of one element has been counted before it is asked to."""
    source = f"<p>x</p><p a {inside}><b {inside}>"
    assert all(len(element.attrib) <= most for element in parse(without_traps(source, most)).iter())


@given(st.binary(max_size=300), st.text(max_size=40))
def test_any_bytes_are_a_page(body: bytes, content_type: str) -> None:
    """Whatever is called HTML is read without an error, into what a database takes."""
    post = read_page(body, {"content-type": content_type}, URL)
    assert post.title
    assert "\x00" not in post.title + post.body
    (post.title + post.body + post.author).encode()


@given(st.text(st.sampled_from("<>/abp&;#x \n\"'=!-é\x00"), max_size=100))
def test_any_text_is_html(fragment: str) -> None:
    """The same of what feeds have inside."""
    assert "\x00" not in text_of(fragment)


RSS = """<?xml version="1.0"?><rss version="2.0" xmlns:dc="http://purl.org/dc/elements/1.1/"
 xmlns:content="http://purl.org/rss/1.0/modules/content/"><channel><title>The feed</title><link>https://example.com</link>
<item><title>One &amp; only</title><link>/one?x=1#top</link><pubDate>Sun, 01 Mar 2026 10:00:00 +0200</pubDate>
<dc:creator>Ada</dc:creator><description>&lt;p&gt;Short&lt;/p&gt;</description>
<content:encoded><![CDATA[<p>Long <b>text</b></p><script>x</script>]]></content:encoded></item>
<item><title>Two</title><guid>https://example.org/two</guid><pubDate>no date</pubDate></item>
<item><title>Same as one</title><link>https://example.com/one?x=1</link></item>
<item><title>Not the web</title><link>javascript:alert(1)</link></item>
<item><title>No link</title><guid isPermaLink="false">abc</guid></item>
</channel></rss>"""

ATOM = """<feed xmlns="http://www.w3.org/2005/Atom"><title>Atom feed</title>
<entry><title type="html">A &lt;b&gt;bold&lt;/b&gt; title</title><link rel="self" href="https://example.com/self"/>
<link href="a1"/><updated>2026-03-02T00:00:00Z</updated><author><name>Bob</name><email>b@x</email></author>
<summary>Sum</summary></entry><entry><title>T2</title><link rel="alternate" href="https://example.com/a2"/>
<published>2026-03-01T12:00:00+01:00</published><updated>2026-03-05T00:00:00Z</updated></entry></feed>"""


def test_rss() -> None:
    """Entries with a page of their own, each URL once, with their author or the feed's title."""
    one, two = read_feed(RSS.encode(), "https://example.com/feed")
    assert (one.url, one.title, one.author) == ("https://example.com/one?x=1", "One & only", "Ada")
    assert (one.body, one.published_at) == ("Long text", datetime(2026, 3, 1, 8, tzinfo=UTC))
    assert (two.url, two.platform, two.author) == ("https://example.org/two", "example.org", "The feed")
    assert (two.body, two.published_at) == ("", None)


def test_atom() -> None:
    """The same of Atom: the alternate link, when it was published rather than updated, text of HTML."""
    one, two = read_feed(ATOM.encode("utf-16"), "https://example.com/x/feed")
    assert (one.url, one.title, one.author, one.body) == ("https://example.com/x/a1", "A bold title", "Bob", "Sum")
    assert one.published_at == datetime(2026, 3, 2, tzinfo=UTC)
    assert (two.author, two.published_at) == ("Atom feed", datetime(2026, 3, 1, 11, tzinfo=UTC))


LAUGHS = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 10))


@pytest.mark.parametrize(
    "declared",
    [
        f'<!DOCTYPE rss [<!ENTITY a0 "ha">{LAUGHS}]>',
        '<!DOCTYPE rss [<!ENTITY x SYSTEM "file:///etc/passwd">]>',
        '<!DOCTYPE rss SYSTEM "http://127.0.0.1/dtd">',
        '<!DOCTYPE rss [<!ENTITY % p SYSTEM "http://127.0.0.1/p"> %p;]>',
        "<!DOCTYPE rss>",
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_document_types_are_refused(declared: str, encoding: str) -> None:
    """Bombs, files and addresses in entities: refused where the document type begins."""
    body = f"{declared}<rss><channel><item><title>&a9;&x;</title><link>https://e.org/</link></item></channel></rss>"
    with pytest.raises(UpstreamError, match="document type"):
        read_feed(body.encode(encoding), URL)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no xml",
        b"<rss><channel>",
        b"<rss></channel>",
        b"\xff\xfe\x00",
        b"<rss>&x;</rss>",
        b'<?xml version="1.0" encoding="no-such"?><rss/>',
        b"<rss>\x00</rss>",
    ],
)
def test_what_is_malformed(body: bytes) -> None:
    """It is said, not guessed at."""
    with pytest.raises(UpstreamError, match="well-formed"):
        read_feed(body, URL)


def test_xml_that_is_no_feed() -> None:
    """Neither RSS nor Atom, nor an Atom of nobody's namespace."""
    for body in (b"<html/>", b"<feed/>", b'<feed xmlns="http://example.com/"/>', b"<sitemap><item/></sitemap>"):
        with pytest.raises(UpstreamError, match="neither RSS nor Atom"):
            read_feed(body, URL)


def test_feeds_are_bounded() -> None:
    """Entries over the number are left out, elements nested too deeply are refused, long texts are cut."""
    item = "<item><title>x</title><link>https://e.org/{0}</link></item>"
    many = "<rss><channel>" + "".join(item.format(n) for n in range(10_000))
    assert len(read_feed(many.encode(), URL)) == MOST_ENTRIES
    with pytest.raises(UpstreamError, match="deep"):
        read_feed(("<rss>" + "<a>" * DEEPEST).encode(), URL)
    long = f"<rss><item><link>https://e.org/</link><description>{'y ' * 200_000}</description></item></rss>"
    (post,) = read_feed(long.encode(), URL)
    assert len(post.body) <= LONGEST_BODY


@given(st.text(st.sampled_from("<>/&;![]\"'= abcrsitemlnk:?-\x00é"), max_size=80) | st.text(max_size=40))
def test_any_text_is_a_feed_or_refused(inside: str) -> None:
    """Whatever stands in a feed, there are posts or a refusal, and nothing else."""
    for body in (f"<rss><channel><item>{inside}</item></channel></rss>", inside):
        try:
            posts = read_feed(body.encode("utf-8", "surrogatepass"), URL)
        except UpstreamError:
            continue
        assert all(post.url.startswith(("http://", "https://")) for post in posts)
