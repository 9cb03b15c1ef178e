from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace import events
from tailrace.observe import Metrics, exposition
from tailrace.observe.records import SEGMENT, key_of, read_records, record_length, write_record
from tailrace.observe.sharing import SharedFigures

KEYS = st.lists(st.tuples(st.text(max_size=20), st.lists(st.text(max_size=20), max_size=3), st.integers(1, 16)))


@given(KEYS)
def test_records_read_back(keys: list[tuple[str, list[str], int]]) -> None:
    """Names, labels of any characters and numbers are read as they were written."""
    segment = memoryview(bytearray(SEGMENT))
    at, expected = 0, []
    for number, (name, labels, size) in enumerate(keys):
        key = key_of(name, labels)
        series = write_record(segment, at, key, size)
        for index in range(size):
            series[index] = number + index / 7
        expected.append((name, tuple(labels), tuple(series)))
        at += record_length(key, size)
    assert list(read_records(bytes(segment))) == expected


def test_record_is_seen_whole_or_not_at_all() -> None:
    """Whoever reads while a record is written, its length last, reads those before it."""
    segment = memoryview(bytearray(SEGMENT))
    first, second = key_of("first", []), key_of("second", ["x"])
    write_record(segment, 0, first, 2)
    at = record_length(first, 2)
    write_record(segment, at, second, 3)
    segment[at : at + 4] = bytes(4)
    assert [name for name, _, _ in read_records(bytes(segment))] == ["first"]


def counting(folder: Path, amount: int) -> Metrics:
    metrics = Metrics()
    metrics.share(SharedFigures(folder, "a"))
    for _ in range(amount):
        metrics(events.BulkheadRefused("d"))
    return metrics


def counted(metrics: Metrics) -> str:
    assert metrics.shared is not None
    text = exposition([metrics.part(), *metrics.shared.others()])
    return next(line for line in text.splitlines() if line.startswith("tailrace_upstream_bulkhead_refusals_total"))


def test_figures_from_before_they_were_shared_are_kept(tmp_path: Path) -> None:
    """What was counted before the folder was known counts on."""
    metrics = Metrics()
    metrics(events.BulkheadRefused("d"))
    metrics.share(SharedFigures(tmp_path, "a"))
    metrics(events.BulkheadRefused("d"))
    assert counted(counting(tmp_path, 1)).endswith(" 3")


def test_applications_do_not_mix(tmp_path: Path) -> None:
    """Several applications in one folder each have their own figures."""
    other = Metrics()
    other.share(SharedFigures(tmp_path, "b"))
    other(events.BulkheadRefused("d"))
    assert counted(counting(tmp_path, 1)).endswith(" 1")


def test_more_series_than_a_segment_holds(tmp_path: Path) -> None:
    """Series go on in further segments, and each is read by the others."""
    metrics = Metrics()
    metrics.share(SharedFigures(tmp_path, "a"))
    names = [f"{number}-{'x' * 1000}" for number in range(600)]
    for name in names:
        metrics(events.BulkheadRefused(name))
    shared = SharedFigures(tmp_path, "a")
    (part, _) = shared.others()
    assert part.figures["tailrace.upstream.bulkhead.refusals"] == {(name,): (1.0,) for name in names}


def test_label_longer_than_a_segment_counts_as_other(tmp_path: Path) -> None:
    """No label is too long to be counted."""
    metrics = Metrics()
    metrics.share(SharedFigures(tmp_path, "a"))
    for first in "ab":
        metrics(events.BulkheadRefused(first + "x" * SEGMENT))
    (part, _) = SharedFigures(tmp_path, "a").others()
    assert part.figures["tailrace.upstream.bulkhead.refusals"] == {("other",): (2.0,)}


def test_without_room_a_process_counts_for_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A folder that is full costs the others a sight of these figures, not the process its life."""

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with caplog.at_level(logging.WARNING):
        metrics = counting(tmp_path, 2)
    assert counted(metrics).endswith(" 2")
    assert "No space left on device" in caplog.text


def test_folder_that_is_removed_meanwhile(tmp_path: Path) -> None:
    """Who cleans up below a running service takes the others' figures from a scrape, and nothing else."""
    folder = tmp_path / "shared"
    metrics = counting(folder, 2)
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    metrics(events.BulkheadRefused("d"))
    assert counted(metrics).endswith(" 3")
