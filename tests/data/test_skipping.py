"""Bad records: an error, or with `skip_bad` another in their place and a count; and epochs in random order."""

from __future__ import annotations

import numpy as np
import pytest

from netc.data import open_source
from netc.ir.transform import Transform
from netc.layers.data import Data, ImageData
from netc.schema import caffe
from tests.data.databases import data_layer, database, fault, labels, random_images, record, write
from tests.data.real_images import write_class_folders, write_list

BROKEN = caffe.Datum(data=b"\xff\xd8\xff\xe0 no image", encoded=True).SerializeToString()


@pytest.fixture
def holed(tmp_path):
    """Ten records; 0, 3, 4 and 9 cannot be used."""
    values = [record(image, i) for i, image in enumerate(random_images(10))]
    values[0], values[3], values[4], values[9] = b"\xff", BROKEN, record(random_images(1, (3, 6, 9))[0]), b"\x22\x7f"
    return write(tmp_path / "db", values)


def test_a_bad_record_is_an_error(holed):
    with fault("E503", "record `00000000`"):
        open_source(data_layer(holed), "TEST")


@pytest.mark.parametrize("threads", [1, 3])
def test_the_next_good_record_replaces_a_bad_one(holed, threads):
    source = open_source(data_layer(holed, 30), "TEST", threads=threads, skip_bad=True)
    assert source.record_shapes == ((3, 7, 9), ())
    assert labels(source, 1) == [1, 1, 2, 5, 5, 5, 6, 7, 8, 1] * 3
    found = {name.split("`")[1]: error.diagnostics[0].code for name, error in source.skipped.items()}
    assert found == {"00000000": "E503", "00000003": "E504", "00000004": "E505", "00000009": "E503"}
    source.close()


def test_images_replace_images(tmp_path):
    entries = write_class_folders(tmp_path)
    (tmp_path / entries[1][0]).write_bytes(b"")
    (tmp_path / entries[2][0]).unlink()
    layer = ImageData(source=str(write_list(tmp_path / "list", entries)), batch_size=5, new_height=9, new_width=8)
    source = open_source(layer, "TEST", skip_bad=True)
    data, _ = source.next_batch().tops
    np.testing.assert_array_equal(data[1], data[3])
    assert [name.split("`")[1] for name in sorted(source.skipped)] == [entries[1][0], entries[2][0]]
    assert "no such file" in source.skipped[max(source.skipped)].diagnostics[0].message
    source.close()


def test_no_good_record(tmp_path):
    with fault("E503", "record `0000000"):
        open_source(data_layer(write(tmp_path / "db", [b"\xff"] * 3)), "TEST", skip_bad=True)
    source = open_source(data_layer(database(tmp_path / "small", random_images(3)), 24), "TEST", skip_bad=True)
    source.builder.crop = type(source.builder.crop)(8)
    for _ in range(2):
        with fault("E505", "smaller than `crop_size` 8"):
            source.next_batch()
    source.close()


def test_each_epoch_has_every_record_in_another_order(tmp_path):
    path = database(tmp_path / "db", random_images(23))
    layer = Data(5, Transform(), str(path), "LMDB", shuffle=True)

    def drawn(seed, **settings):
        source = open_source(layer, "TRAIN", seed=seed, **settings)
        try:
            return labels(source, 23)
        finally:
            source.close()

    flat = drawn(1)
    found = [flat[i : i + 23] for i in range(0, 115, 23)]
    assert all(sorted(epoch) == list(range(23)) for epoch in found)
    assert len({tuple(epoch) for epoch in found}) == 5
    assert flat == drawn(1, threads=1)
    assert flat != drawn(2)
    shares = [drawn(1, rank=rank, world_size=2) for rank in range(2)]
    together = [label for pair in zip(*shares) for label in pair]
    assert together[:115] == flat
