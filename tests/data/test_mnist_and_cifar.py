"""IDX files to LMDB, and the digits that come with the project."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import lmdb
import numpy as np
import pytest

from netc.data import open_source
from netc.data.tools.mnist_and_cifar import mnist, write_image_lmdb
from netc.schema import caffe
from tests.data.databases import data_layer, fault, random_images

ROOT = Path(__file__).parent.parent.parent


def idx(array: np.ndarray, magic: int | None = None) -> bytes:
    return struct.pack(f">I{array.ndim}I", magic or 0x800 + array.ndim, *array.shape) + array.tobytes()


@pytest.fixture
def files(tmp_path):
    images, labels = random_images(1, (1203, 5, 4))[0], np.arange(1203).astype(np.uint8) % 10
    (tmp_path / "images").write_bytes(idx(images))
    (tmp_path / "labels").write_bytes(gzip.compress(idx(labels)))
    return tmp_path, images, labels


def test_an_idx_pair_is_converted_as_in_caffe(files):
    folder, images, labels = files
    assert mnist(folder / "images", folder / "labels", folder / "out_lmdb") == 1203
    assert sorted(path.name for path in (folder / "out_lmdb").iterdir()) == ["data.mdb"]
    with lmdb.open(str(folder / "out_lmdb"), readonly=True, lock=False) as environment, environment.begin() as t:
        found = list(t.cursor())
    assert [key for key, _ in found] == [b"%08d" % i for i in range(1203)]
    datum = caffe.Datum.FromString(found[1002][1])
    assert (datum.channels, datum.height, datum.width, datum.label) == (1, 5, 4, labels[1002])
    assert datum.data == images[1002].tobytes()


@pytest.mark.parametrize(
    ("broken", "part"),
    [
        (idx(np.zeros((2, 3, 3), np.uint8), magic=0x0D03), "magic number 3331, expected 2051"),
        (idx(np.zeros((2, 3, 3), np.uint8))[:-1], "declares 18 bytes and holds only 17"),
        (idx(np.zeros((2, 3, 3), np.uint8)) + b"x", "holds more"),
        (struct.pack(">4I", 0x803, 2**31, 2**31, 2**31), "more than"),
        (struct.pack(">4I", 0x803, 2000, 1000, 1000), "declares 2000000000 bytes, more than a file of its size"),
        (gzip.compress(struct.pack(">4I", 0x803, 2000, 1000, 1000), mtime=0), "more than a file of its size can hold"),
        (b"", "magic number 0"),
        (struct.pack(">IH", 0x803, 2), "ends within its header, after 6 bytes"),
        (idx(np.zeros((0, 5, 4), np.uint8)), "holds no images: its shape is 0x5x4"),
        (idx(np.zeros((1203, 0, 4), np.uint8)), "holds no images: its shape is 1203x0x4"),
    ],
)
def test_files_that_are_not_idx(files, broken, part):
    folder, _, _ = files
    (folder / "images").write_bytes(broken)
    with fault("E510", part):
        mnist(folder / "images", folder / "labels", folder / "out")
    assert sorted(path.name for path in folder.iterdir()) == ["images", "labels"]


def test_pairs_that_do_not_belong_together(files):
    folder, _, labels = files
    (folder / "labels").write_bytes(idx(labels[:-1]))
    with fault("E510", "1203 images", "1202 labels"):
        mnist(folder / "images", folder / "labels", folder / "out")
    with fault("E501", "cannot be read"):
        mnist(folder / "nothing", folder / "labels", folder / "out")
    (folder / "labels").write_bytes(gzip.compress(idx(labels))[:30])
    with fault("E501", "cannot be read"):
        mnist(folder / "images", folder / "labels", folder / "out")


def test_the_output_appears_only_when_complete(tmp_path):
    def records():
        yield random_images(1)[0], 1
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_image_lmdb(tmp_path / "out", records())
    assert list(tmp_path.iterdir()) == []
    write_image_lmdb(tmp_path / "out", [(random_images(1)[0], 1)])
    with fault("E511", "exists"):
        write_image_lmdb(tmp_path / "out", [])
    with fault("E511", "cannot be written"):
        write_image_lmdb(tmp_path / "none" / "out", [])


@pytest.mark.parametrize(("name", "count"), [("train", 1437), ("test", 360)])
def test_the_digits(name, count):
    path = ROOT / "models" / "lenet" / f"{name}_lmdb"
    assert [file.name for file in path.iterdir()] == ["data.mdb"]
    assert (path / "data.mdb").stat().st_size < 1_300_000
    source = open_source(data_layer(path, count), "TEST")
    data, label = source.next_batch().tops
    source.close()
    assert data.shape == (count, 1, 28, 28)
    assert data.max() == 255
    counts = np.bincount(label.astype(int))
    assert len(counts) == 10
    assert counts.min() > count // 14
