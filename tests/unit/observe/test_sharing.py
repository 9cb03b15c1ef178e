from __future__ import annotations

import json
import logging
import os
import struct
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tailrace import events
from tailrace.observe import Metrics, exposition
from tailrace.observe.ended import read_ended
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


SIZES = st.integers(0, 2**32 - 1) | st.integers(0, 80)
WRITTEN = st.lists(
    st.tuples(SIZES, SIZES, st.binary(max_size=40) | st.sampled_from([b'["a"]', b"[]", b'[1,"a"]', b"[" * 3000])),
    max_size=4,
)


@given(WRITTEN, st.binary(max_size=20))
def test_files_of_any_bytes_are_read(written: list[tuple[int, int, bytes]], rest: bytes) -> None:
    """A file that another release wrote, or that is damaged, gives what can be read of it and is not read for ever."""
    data = b"".join(struct.pack("=II", *lengths) + key + bytes(-len(key) % 8 + 8) for *lengths, key in written) + rest
    found = list(read_records(data))
    assert len(found) <= len(data) // 8
    for name, labels, values in found:
        assert all(isinstance(each, str) for each in (name, *labels))
        assert all(isinstance(value, float) for value in values)


@given(KEYS, st.data())
def test_a_damaged_record_costs_its_segment_at_most(
    keys: list[tuple[str, list[str], int]], data: st.DataObject
) -> None:
    """Whatever becomes of a byte, the records before it are read as they were written."""
    segment, ends = bytearray(SEGMENT), []
    for name, labels, size in keys:
        key, at = key_of(name, labels), ends[-1] if ends else 0
        write_record(memoryview(segment), at, key, size)
        ends.append(at + record_length(key, size))
    place = data.draw(st.integers(0, (ends or [8])[-1] - 1))
    before = sum(end <= place for end in ends)
    whole = list(read_records(bytes(segment)))
    segment[place] ^= data.draw(st.integers(1, 255))
    assert list(read_records(bytes(segment)))[:before] == whole[:before]


JSON = st.recursive(
    st.none() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["names", "figures", "a"]), inner),
)


@given(JSON.map(json.dumps) | st.text(max_size=40))
@example("[" * 100_000)
@example('{"names": [], "figures": {"a": [[["x"], [true]]]}}')
def test_what_ended_processes_counted_is_read_or_refused(text: str) -> None:
    """Names and numbers, or one kind of mistake."""
    try:
        found = read_ended(text)
    except ValueError:
        return
    assert all(isinstance(name, str) for name in found.names)
    assert all(type(value) is float for series in found.figures.values() for v in series.values() for value in v)


def test_figures_go_on_where_files_are_damaged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A scrape says what can be read, and that the rest cannot."""
    (tmp_path / "a.ended").write_text('{"names": [], "figures"')
    (tmp_path / "a.1.0.figures").write_bytes(b"\xff" * 100)
    assert counted(counting(tmp_path, 2)).endswith(" 2")
    assert "cannot be read" in caplog.text
    assert counted(counting(tmp_path, 1)).endswith(" 3")


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
