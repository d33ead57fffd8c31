"""HDF5Data: rows of several files."""

from __future__ import annotations

import itertools

import h5py
import numpy as np
import pytest

from netc.data import open_source
from netc.data.sources import hdf5 as hdf5_rows
from netc.diagnostics import NetcError
from netc.layers.hdf5 import HDF5Data
from tests.data.databases import fault

TOPS = ("values", "id")


def write(folder, lengths=(4, 7, 3), **extra):
    """Files of rows numbered through in `id`; `values` of row i are i, i + 0.5, ..."""
    start, names = 0, []
    for i, length in enumerate(lengths):
        ids = np.arange(start, start + length)
        with h5py.File(folder / f"{i}.h5", "w") as file:
            file["values"] = np.add.outer(ids, np.arange(6) / 2).reshape(length, 2, 3)
            file["id"] = ids.astype(np.int64)
            for name, value in extra.items():
                file[name] = value
        names.append(f"{i}.h5")
        start += length
    (folder / "list.txt").write_text("\n".join(names))
    return str(folder / "list.txt")


def opened(path, batch_size=5, shuffle=False, tops=TOPS, phase="TRAIN", **settings):
    layer = HDF5Data(source=path, batch_size=batch_size, shuffle=shuffle)
    return open_source(layer, phase, tops=tops, **settings)


def ids(source, batches):
    return [int(i) for _ in range(batches) for i in source.next_batch().tops[1]]


@pytest.fixture(params=["whole files", "rows only"])
def way(request, monkeypatch):
    """Small files are read whole, large ones by rows: the same must come out."""
    if request.param == "rows only":
        monkeypatch.setattr(hdf5_rows, "WHOLE", 0)


def test_rows_of_all_files_in_order(tmp_path, way):
    source = opened(write(tmp_path))
    assert source.record_shapes == ((2, 3), ())
    batch = source.next_batch().tops
    assert [top.dtype for top in batch] == [np.float32, np.float32]
    np.testing.assert_array_equal(batch[0][4], [[4, 4.5, 5], [5.5, 6, 6.5]])
    assert ids(source, 3) == [*range(5, 14), *range(6)]
    source.close()


def test_shuffled_files_and_rows(tmp_path, way):
    source = opened(write(tmp_path, (4, 6, 4)), 14, shuffle=True, seed=1)
    epochs = [ids(source, 1) for _ in range(6)]
    source.close()
    assert all(sorted(epoch) == list(range(14)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 6
    owners = [[0 if i < 4 else 1 if i < 10 else 2 for i in epoch] for epoch in epochs]
    assert all(sum(a != b for a, b in itertools.pairwise(owner)) == 2 for owner in owners), "files are not mixed"


def test_values_follow_their_ids(tmp_path, way):
    source = opened(write(tmp_path), 9, shuffle=True)
    for _ in range(4):
        values, numbers = source.next_batch().tops
        np.testing.assert_array_equal(values[:, 0, 0], numbers)
    source.close()


def test_resumed_and_divided_among_ranks(tmp_path):
    path = write(tmp_path)
    whole, first, second = (opened(path, shuffle=True, seed=seed) for seed in (1, 1, 2))
    assert ids(whole, 2) == ids(first, 2)
    second.restore(first.state())
    assert ids(second, 4) == ids(whole, 4)
    ranks = [opened(path, 2, shuffle=True, seed=5, rank=rank, world_size=7) for rank in range(7)]
    assert sorted(i for rank in ranks for i in ids(rank, 1)) == list(range(14))
    for source in (whole, first, second, *ranks):
        source.close()


def test_every_damaged_file_is_reported(tmp_path):
    path = write(tmp_path)
    with h5py.File(tmp_path / "0.h5", "a") as file:
        del file["id"]
    with h5py.File(tmp_path / "1.h5", "a") as file:
        del file["id"]
        file["id"] = np.arange(5)
    (tmp_path / "2.h5").write_bytes(b"nothing")
    with pytest.raises(NetcError) as caught:
        opened(path)
    assert [d.code for d in caught.value.diagnostics] == ["E508", "E508", "E501"]
    text = str(caught.value)
    assert "no dataset `id`" in text
    assert "`values` 7, `id` 5" in text


@pytest.mark.parametrize(
    ("value", "part"),
    [
        (np.array([b"a", b"b"]), "not rows of numbers"),
        (np.float32(3), "a single value"),
        (np.zeros((7, 2)), "in length"),
    ],
)
def test_datasets_that_are_not_rows(tmp_path, value, part):
    with fault("E508", part):
        opened(write(tmp_path, (4,), odd=value), tops=("values", "odd"))


def test_rows_of_another_shape(tmp_path):
    path = write(tmp_path)
    with h5py.File(tmp_path / "1.h5", "a") as file:
        del file["values"]
        file["values"] = np.zeros((7, 3, 2))
    with fault("E508", "are 3x2, 1; those of the first file are 2x3, 1"):
        opened(path)


def test_a_damaged_chunk_is_reported(tmp_path, way):
    path = write(tmp_path, (4,))
    with h5py.File(tmp_path / "0.h5", "a") as file:
        del file["values"]
        chunked = file.create_dataset("values", data=np.random.rand(4, 500), chunks=(2, 500), compression="gzip")
        place = chunked.id.get_chunk_info(1)
    with open(tmp_path / "0.h5", "r+b") as raw:
        raw.seek(place.byte_offset)
        raw.write(bytes(place.size))
    source = opened(path, 4)
    for _ in range(2):
        with fault("E501", "0.h5` of", "damaged"):
            source.next_batch()
    source.close()


def test_files_that_are_not_lists(tmp_path):
    with fault("E501", "cannot be read"):
        opened(str(tmp_path / "none.txt"))
    (tmp_path / "list.txt").write_text("missing.h5\n")
    with fault("E501", "`missing.h5`", "no such file"):
        opened(str(tmp_path / "list.txt"))
    with fault("E502", "no rows"):
        opened(write(tmp_path, (0,)))
