from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tailrace.core.content_negotiation import MAX_LENGTH, choose_encoding, parse_accept_encoding

OURS = ("zstd", "br", "gzip")

names = st.sampled_from(["gzip", "x-gzip", "GZip", "br", "zstd", "identity", "*", "deflate", "Identity"])
weights = st.integers(0, 1000)
members = st.lists(st.tuples(names, st.none() | weights), max_size=8)


def written(weight: int | None) -> str:
    """A weight as RFC 9110 section 12.4.2 writes it."""
    return "" if weight is None else f";q={weight / 1000:.3f}"


def model(given_members: list[tuple[str, int | None]]) -> tuple[str, bool]:
    """RFC 9110 section 12.5.3 word by word: each representation's weight, then the best of them."""
    asked: dict[str, int] = {}
    for name, weight in given_members:
        name = name.lower().removeprefix("x-")
        asked[name] = min(asked.get(name, 1000), 1000 if weight is None else weight)
    if not asked:
        return "identity", True
    quality = {}
    for name in (*OURS, "identity"):
        if name in asked:
            quality[name] = asked[name]
        elif "*" in asked:
            quality[name] = asked["*"]
        elif name == "identity":
            quality[name] = 0.5  # acceptable, behind whatever is asked for
    allowed = quality.get("identity", 0) > 0
    candidates = [name for name in (*OURS, "identity") if quality.get(name, 0) > 0]
    best = max(candidates, key=lambda name: quality[name], default="identity")
    return best, allowed


@given(members)
def test_negotiation_is_what_the_rfc_says(given_members: list[tuple[str, int | None]]) -> None:
    """For every list of codings and weights the choice is that of a model which takes the rules one by one."""
    value = ", ".join(name + written(weight) for name, weight in given_members).encode()
    choice = choose_encoding(value, OURS)
    assert (choice.encoding, choice.identity_allowed) == model(given_members)


@given(st.binary(max_size=MAX_LENGTH))
def test_any_bytes_are_understood_somehow(value: bytes) -> None:
    """No bytes make negotiation fail, and a coding is only chosen if its name, or the wildcard, was sent."""
    choice = choose_encoding(value, OURS)
    named = value.lower()
    assert choice.encoding == "identity" or choice.encoding.encode() in named or b"*" in named
    assert all(0 <= weight <= 1000 for weight in parse_accept_encoding(value).values())
