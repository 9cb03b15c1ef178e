"""Documents are read as chunks that follow their structure."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.semantic.documents import Block, Chunk, Source, UnreadableError, chunks_of, read
from tailrace.semantic.documents.chunking import LONGEST, LONGEST_WHOLE, OVERLAP
from tailrace.semantic.documents.plain_text import plain_blocks

PAGE = b"""<!DOCTYPE html><html><head><title>The book</title><style>p{}</style></head><body>
<nav>Home <a href=x>Next</a></nav><div class="navheader">Prev Up Next</div>
<h1>Indexes</h1><p>They help &amp; they
cost.</p><script>alert(1)</script>
<h2>Kinds</h2><dl><dt><code>btree</code></dt><dd><p>For order.</p></dd><dt>gin</dt><dd>For many <b>values</b>.</dd></dl>
<pre>CREATE INDEX a
    ON b (c);</pre>
<table><tr><th>kind</th><th>good for</th></tr><tr><td>brin</td><td>large
 tables</td></tr></table>
<h2>Costs</h2><ul><li>Writes</li><li>Space<br>too</li></ul>
<form>Search</form></body></html>"""

MARKDOWN = """---
title: front matter
---
# Streams <!-- hidden -->

They go
on. See [the guide](guide.md).

## Example

- one
- two

```python
# no heading
x = 1

y = 2
```

| a | b |
|---|---|
| 1 | 2 |

Setext
------
Last.
"""

PLAIN = """Statements
**********

A statement ends
at the line's end.

Grammar
=======

   stmt ::= expr
   expr ::= name

      | call

   The function f() is called here.

* one
* two goes
  on
"""


def chunks(text: str | bytes, form: str) -> list[Chunk]:
    content = text if isinstance(text, bytes) else text.encode()
    return list(read(Source("x", form, lambda: content), content).chunks)  # type: ignore[arg-type]


def test_a_page_is_read_by_its_headings() -> None:
    """Sections are chunks, terms stand before their definitions, code and tables are whole, navigation is left out."""
    assert chunks(PAGE, "html") == [
        Chunk("Indexes", "They help & they cost."),
        Chunk(
            "Indexes › Kinds",
            "btree: For order.\n\ngin: For many values.\n\nCREATE INDEX a\n    ON b (c);\n\n"
            "kind | good for\nbrin | large tables",
        ),
        Chunk("Indexes › Costs", "Writes\n\nSpace too"),
    ]


def test_markdown_is_read_by_its_headings() -> None:
    """What looks like a heading in code is none; links leave their words; tables and fences are whole."""
    assert chunks(MARKDOWN, "markdown") == [
        Chunk("Streams", "They go on. See the guide."),
        Chunk("Streams › Example", "- one\n- two\n\n# no heading\nx = 1\n\ny = 2\n\n| a | b |\n|---|---|\n| 1 | 2 |"),
        Chunk("Streams › Setext", "Last."),
    ]


def test_plain_text_is_read_by_its_underlined_lines() -> None:
    """Wrapped lines are joined, code keeps its lines, items stay apart."""
    assert chunks(PLAIN, "text") == [
        Chunk("Statements", "A statement ends at the line's end."),
        Chunk(
            "Statements › Grammar",
            "   stmt ::= expr\n   expr ::= name\n\n      | call\n\nThe function f() is called here.\n\n"
            "* one\n* two goes on",
        ),
    ]


def test_plain_text_loses_its_marks_of_emphasis_and_nothing_else() -> None:
    """A note that is indented and begins in bold is no code; stars that stand around nothing stay."""
    text = (
        "A list.\n\n   **Detail:** While a list is *being sorted*, the\n"
        "   list is empty; f(*args, **kwargs) is 2 * 3 * 4.\n\n"
        "   **x** = 2;\n   f(*x*)\n\n>>> sorted(c)\n['a', 'b']\n>>> 1\n1\n"
    )
    assert [(block.kind, block.text) for block in plain_blocks(text)] == [
        ("text", "A list."),
        ("text", "Detail: While a list is being sorted, the list is empty; f(*args, **kwargs) is 2 * 3 * 4."),
        ("code", "   **x** = 2;\n   f(*x*)\n\n>>> sorted(c)\n['a', 'b']\n>>> 1\n1"),
    ]


@pytest.mark.parametrize(
    ("content", "form", "text"),
    [
        ("<p>Grüße</p>".encode(), "html", "Grüße"),
        (b'<h1>Contents</h1><div class="toc">One</div>', "html", "Contents"),
        ('<meta charset="iso-8859-1"><p>Grüße</p>'.encode("latin-1"), "html", "Grüße"),
        ("\ufeffGrüße aus Köln".encode(), "text", "Grüße aus Köln"),
        ("Grüße aus Köln".encode("utf-16"), "text", "Grüße aus Köln"),
        (b"one\r\ntwo\rthree", "markdown", "one two three"),
        (b"<html><body><p>never closed", "html", "never closed"),
    ],
)
def test_codings(content: bytes, form: str, text: str) -> None:
    """A byte order mark, a declared charset and any line ends are understood."""
    assert [chunk.body for chunk in chunks(content, form)] == [text]


@pytest.mark.parametrize(
    ("content", "form", "reason"),
    [
        (b"", "text", "there is no text in it"),
        (b"<html></html>", "html", "there is no text in it"),
        (b"", "html", "there is no text in it"),
        (b"# Only a heading", "markdown", "there is no text in it"),
        (b"\x89PNG\0\0", "html", "it has NUL bytes, so it is no text"),
        (b"caf\xe9", "text", "it is not UTF-8: byte 3"),
    ],
)
def test_what_cannot_be_read_is_refused(content: bytes, form: str, reason: str) -> None:
    """With a reason that says what is wrong."""
    with pytest.raises(UnreadableError, match=reason):
        chunks(content, form)


def test_a_section_that_goes_on_says_its_last_sentence_again() -> None:
    """So that what refers to it is understood, and found."""
    sentences = [f"This is sentence {number} of a section that is rather long." for number in range(40)]
    made = chunks_of([Block("text", " ".join(sentences), ("Long",))])
    assert len(made) > 1
    for one, following in pairwise(made):
        last = one.body.rpartition("This is")[2]
        assert following.body.startswith(f"This is{last}")
    assert {sentence for chunk in made for sentence in sentences if sentence in chunk.body} == set(sentences)


def test_a_long_table_says_its_columns_in_each_piece() -> None:
    """Rows mean nothing without them."""
    rows = "\n".join(f"row {number} | value" for number in range(400))
    made = chunks_of([Block("table", f"name | what\n{rows}")])
    assert len(made) > 1
    assert all(chunk.body.startswith("name | what\n") for chunk in made)


WORDS = st.text(st.sampled_from("ab .!?\n|ü‹"), max_size=3 * LONGEST)
BLOCKS = st.builds(
    Block, st.sampled_from(["text", "code", "table"]), WORDS, st.lists(st.sampled_from("AB"), max_size=2).map(tuple)
)


@given(st.lists(BLOCKS, max_size=8))
def test_nothing_is_lost_and_nothing_is_too_long(blocks: list[Block]) -> None:
    """Every word of every block is in a chunk with its headings, and no chunk is longer than it may be."""
    made = chunks_of(blocks)
    assert len(made) == len(set(made))
    for chunk in made:
        assert chunk.body.strip()
        assert len(chunk.body) <= LONGEST_WHOLE + OVERLAP + 4
    for block in blocks:
        heading = " › ".join(block.headings)
        said = "".join("".join(chunk.body.split()) for chunk in made if chunk.heading == heading)
        for sentence in block.text.replace("\n", " ").split(" "):
            if 0 < len(sentence) < 20:
                assert sentence in said
