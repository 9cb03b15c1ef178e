"""What is said of the machine: the share of time that its host gave to others."""

from __future__ import annotations

from pathlib import Path

import pytest

from tailrace_services.prove.machine import ProcessorTime, processor_time


@pytest.mark.parametrize(
    ("first_line", "expected"),
    [
        ("cpu  10 1 5 900 50 2 3 7 0 0", ProcessorTime(wanted=28, stolen=7)),
        ("cpu  10 1 5 900", ProcessorTime(wanted=16, stolen=0)),
    ],
)
def test_ticks_are_counted_by_what_they_were_for(tmp_path: Path, first_line: str, expected: ProcessorTime) -> None:
    """Waiting is not wanted time; an old kernel, which does not tell of theft, counts as having had none."""
    stat = tmp_path / "stat"
    stat.write_text(f"{first_line}\ncpu0 1 1 1 1 1 1 1 1 0 0\n")
    assert processor_time(stat) == expected


def test_a_platform_that_does_not_tell_is_none(tmp_path: Path) -> None:
    """Without the file, or with another one in its place, there is nothing to say."""
    assert processor_time(tmp_path / "absent") is None
    (tmp_path / "other").write_text("something else\n")
    assert processor_time(tmp_path / "other") is None


def test_this_machine_tells() -> None:
    """Time goes on, and no more is stolen than was wanted."""
    now = processor_time()
    assert now is not None
    assert 0 <= now.stolen <= now.wanted
    assert now.stolen_since(now) == 0.0
