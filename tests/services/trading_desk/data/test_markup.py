"""Descriptions in a tracker's notation are read as people read them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace_services.trading_desk.importer.markup import plain

PIECES = (
    *("{code}", "{code:title=a.js|lang=js}", "{noformat}", "{html}", "<p>", "</p>", "<br>", "{quote}", "{color:red}"),
    *(
        "{color}",
        "h1. ",
        "\n",
        "\r\n",
        "[",
        "|",
        "]",
        "https://a.example/",
        "{{",
        "}}",
        "x",
        " ",
        "\0",
        "\ud800",
        "&amp;",
        "&#13;",
        "&#1;",
    ),
)


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("h3.Steps\nh6. Next", "Steps\nNext"),
        ("no h1. heading", "no h1. heading"),
        ("{quote}said{quote} {color:#fff}so{color}", "said so"),
        ("{panel:title=Note|borderStyle=dashed}in it{panel}", "in it"),
        ("View({color: 'red'}, {code: 'a'}, {html:'<b>'})", "View({color: 'red'}, {code: 'a'}, {html:'<b>'})"),
        ("{color:'#fff'} {column: 1, size: 2} {panel:\"x\"}", "{color:'#fff'} {column: 1, size: 2} {panel:\"x\"}"),
        ("{Code:title=my app.js}a{CODE}b", "ab"),
        ("{code}h1. {color:red}[a|https://b.example]{code}", "h1. {color:red}[a|https://b.example]"),
        ("{noformat}{{x}}{noformat} {{y}}", "{{x}} y"),
        ("{code:java}never ends {color:red}", "never ends {color:red}"),
        ("[https://a.example/b]", "https://a.example/b"),
        ("[the docs|https://a.example/b|tip]", "the docs (https://a.example/b)"),
        ("a[0] and [x|y]", "a[0] and [x|y]"),
        ("{html}<p>one<br>two</p><pre>a\n  b</pre>{html}", "one\ntwo\n\na\n  b"),
        ("{html}<script>alert(1)</script>{html}", ""),
        ("{html}<p>never ends", "never ends"),
        ("{html}<p>a&#13;b&#1;</p>{html}", "a\nb"),
        ("<b>not HTML</b>", "<b>not HTML</b>"),
        ("* a\n# b\n||c||\n*d*", "* a\n# b\n||c||\n*d*"),
        ("a  \r\n\r\n\r\n\r\nb\x00\x1b", "a\n\nb"),
        ("", ""),
    ],
)
def test_what_is_shown(source: str, shown: str) -> None:
    """Marks go where they only say how something looks; code and what is readable stay."""
    assert plain(source) == shown


@given(st.lists(st.sampled_from(PIECES)).map("".join))
def test_any_text_can_be_kept(source: str) -> None:
    """Whatever is pasted, what is left is text that PostgreSQL keeps, without gaps."""
    shown = plain(source)
    assert shown == shown.strip()
    assert "\n\n\n" not in shown
    assert not {"\0", "\r"} & set(shown)
    shown.encode()
