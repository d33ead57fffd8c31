"""Pages of a mapped file go back, and what was in them can still be read."""

import mmap
from pathlib import Path

import numpy as np
import pytest

from netc.weights.file_type import map_file
from netc.weights.paging import release


def resident(path):
    """Bytes of this process's memory that hold pages of a file."""
    total, ours = 0, False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if "-" in line.split(" ")[0]:
            ours = str(path) in line
        elif ours and line.startswith("Rss:"):
            total += int(line.split()[1]) * 1024
    return total


@pytest.mark.skipif(not hasattr(mmap, "MADV_DONTNEED"), reason="the system cannot release pages")
def test_released_pages_stay_readable(tmp_path):
    path = tmp_path / "big.bin"
    values = np.arange(1 << 20, dtype=np.float32)
    path.write_bytes(b"abcd" + values.tobytes())
    view = np.frombuffer(map_file(path)[4:], np.float32)
    assert float(view.sum(dtype=np.float64)) == float(values.sum(dtype=np.float64))
    before = resident(path)
    release(view)
    assert before >= view.nbytes > 100 * resident(path), (before, resident(path))
    np.testing.assert_array_equal(view, values)


@pytest.mark.skipif(not hasattr(mmap, "MADV_DONTNEED"), reason="the system cannot release pages")
def test_pages_of_values_between_tags_are_released(tmp_path):
    path = tmp_path / "floats.bin"
    values = np.arange(1 << 18, dtype=np.float32)
    tagged = np.zeros(values.size, np.dtype([("tag", "u1"), ("value", "<f4")]))
    tagged["value"] = values
    path.write_bytes(tagged.tobytes())
    view = np.ndarray(values.shape, "<f4", map_file(path), 1, (5,))
    np.testing.assert_array_equal(view, values)
    before = resident(path)
    release(view)
    assert before >= view.nbytes > 50 * resident(path), (before, resident(path))
    np.testing.assert_array_equal(view, values)


@pytest.mark.parametrize("array", [np.zeros(9000), np.zeros(0), np.zeros((300, 300))[:, ::2]])
def test_arrays_without_a_memory_map_are_unchanged(array):
    release(array)
    assert not array.any()
