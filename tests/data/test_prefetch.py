"""Reading ahead: faults, clean ends, buffers, and what the statistics say."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from netc.data import open_source
from netc.data.pipeline.device_feed import DeviceFeed
from netc.data.source import ReadStatistics
from netc.diagnostics import NetcError
from tests.data.databases import data_layer, database, fault, labels, random_images, record, write

ROOT = Path(__file__).parent.parent.parent


def reader_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("netc-data")]


def test_close_leaves_no_thread_and_no_environment(tmp_path):
    layer = data_layer(database(tmp_path / "db", random_images(64)), 32)
    one, two = open_source(layer, "TEST", threads=3), open_source(layer, "TRAIN", threads=3)
    one.next_batch()
    assert reader_threads()
    one.close()
    two.next_batch()
    two.close()
    two.close()
    assert not reader_threads()
    with pytest.raises(RuntimeError, match="closed"):
        one.next_batch()


@pytest.mark.parametrize("bad", [0, 3, 40, 63])
def test_the_first_error_of_a_batch_is_raised_whichever_thread_found_it(tmp_path, bad):
    records = [record(image) for image in random_images(64)]
    for i in range(bad, 64):
        records[i] = b"\x08"
    layer = data_layer(write(tmp_path / "db", records), 64)
    if bad == 0:
        with fault("E503", "record `00000000`"):
            open_source(layer, "TEST", threads=4)
        return
    source = open_source(layer, "TEST", threads=4)
    with fault("E503", f"record `{bad:08d}`"):
        source.next_batch()
    source.close()


def test_an_error_is_raised_with_its_batch(tmp_path):
    layer = data_layer(write(tmp_path / "db", [record(image) for image in random_images(6)] + [b"\x08"]), 2)
    source = open_source(layer, "TEST")
    assert labels(source, 3) == [0] * 6
    with pytest.raises(NetcError):
        source.next_batch()
    source.seek(0)
    assert labels(source, 1) == [0, 0]
    source.close()


@pytest.mark.parametrize(
    "ending", ["", "source.close()", "raise SystemExit", "import os; sys.stdout.flush(); del source"]
)
def test_a_program_ends_while_batches_are_read_ahead(tmp_path, ending):
    path = database(tmp_path / "db", random_images(300, (3, 60, 60)))
    code = f"""
import sys
from netc.data import open_source
from tests.data.databases import data_layer
source = open_source(data_layer({str(path)!r}, 256, prefetch=8), "TRAIN", threads=4)
print(source.next_batch().tops[0].shape)
{ending}
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "(256, 3, 60, 60)"
    assert not done.stderr


def test_seeking_often_never_stalls(tmp_path):
    source = open_source(data_layer(database(tmp_path / "db", random_images(64)), 32), "TEST", threads=4)
    for position in range(0, 320, 5):
        source.seek(position)
        assert source.next_batch().tops[1][0] == position % 64
    source.close()


def test_only_released_arrays_are_reused(tmp_path):
    source = open_source(data_layer(database(tmp_path / "db", random_images(8)), 4, prefetch=1), "TEST")
    first = source.next_batch()
    kept = first.tops[0].copy()
    others = [source.next_batch() for _ in range(5)]
    np.testing.assert_array_equal(first.tops[0], kept)
    addresses = {batch.tops[0].ctypes.data for batch in [first, *others]}
    assert len(addresses) == 6
    for batch in [first, *others]:
        batch.release()
        batch.release()
    again = [source.next_batch() for _ in range(6)]
    assert addresses & {batch.tops[0].ctypes.data for batch in again}
    assert len({batch.tops[0].ctypes.data for batch in again}) == 6
    source.close()


def test_a_feed_never_overwrites_a_tensor_that_is_held(tmp_path):
    feed = DeviceFeed(open_source(data_layer(database(tmp_path / "db", random_images(24)), 4, prefetch=2), "TEST"))
    held = [feed.next()[0][1:, :, 2:] for _ in range(6)]
    for i, view in enumerate(held):
        np.testing.assert_array_equal(view.numpy(), random_images(24)[4 * i + 1 : 4 * i + 4, :, 2:])
    feed.source.close()


def test_statistics_report_whether_the_source_is_limiting():
    statistics = ReadStatistics()
    statistics.count(64, 100.0)
    assert (statistics.records, statistics.waited) == (0, 0.0)
    statistics.count(64, 100.0)
    assert statistics.limiting
    assert statistics.records == 64
    statistics.restart()
    statistics.count(64, 0.0)
    assert not statistics.limiting
    assert statistics.records_per_second > 0


@pytest.mark.parametrize(("values", "chunks"), [(1, 4), (64 * 3 * 7 * 9 // 2, 2), (1 << 18, 1)])
def test_few_values_are_read_by_one_thread(tmp_path, monkeypatch, values, chunks):
    monkeypatch.setattr("netc.data.pipeline.batch_assembly.SMALLEST_VALUES", values)
    source = open_source(data_layer(database(tmp_path / "db", random_images(64)), 64, prefetch=1), "TEST", threads=4)
    assert labels(source, 1) == list(range(64))
    assert len(source._pending[0]._chunks) == chunks
    source.close()


def test_reading_ahead_can_be_disabled(tmp_path):
    source = open_source(data_layer(database(tmp_path / "db", random_images(8)), 2, prefetch=3), "TEST")
    assert labels(source, 1) == [0, 1]
    source.prefetch = 0
    assert labels(source, 6) == [2, 3, 4, 5, 6, 7, 0, 1, 2, 3, 4, 5]
    assert not source._pending
    source.close()
