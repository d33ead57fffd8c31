"""Raw records of one size are read many at once: with the same batches as one by one, or not at all."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from netc.data import open_source
from netc.data.pipeline import batch_assembly as chunks
from netc.data.sources.datum import read_alike, read_datum
from netc.schema import caffe
from netc.weights import write_blob
from tests.data.databases import data_layer, database, fault, random_images, record, write

IMAGES = random_images(12)
MORE = {
    "other label": caffe.Datum(channels=1, height=2, width=2, data=b"abcd", label=300),
    "no label": caffe.Datum(channels=1, height=2, width=2, data=b"efgh"),
    "raw": caffe.Datum(channels=1, height=2, width=2, data=b"ijkl", label=-1, encoded=False),
    "encoded": caffe.Datum(channels=1, height=2, width=2, data=b"mnop", encoded=True),
    "turned": caffe.Datum(channels=1, height=4, width=1, data=b"qrst"),
    "longer": caffe.Datum(channels=1, height=2, width=2, data=b"uvwxy"),
    "floats": caffe.Datum(channels=1, height=2, width=2, float_data=[1, 2, 3, 4]),
    "both": caffe.Datum(channels=1, height=2, width=2, data=b"zabc", float_data=[1]),
    "empty": caffe.Datum(),
}
RECORDS = {name: message.SerializeToString() for name, message in MORE.items()}
RECORDS |= {"label first": b"\x28\x07" + RECORDS["no label"], "twice": RECORDS["raw"] * 2, "cut": RECORDS["raw"][:9]}


@given(st.lists(st.sampled_from(sorted(RECORDS)), min_size=1, max_size=4), st.binary(max_size=3))
def test_records_read_together_equal_single_ones(names, trailing):
    values = [RECORDS[name] for name in names]
    values[-1] += trailing
    try:
        found = read_alike([memoryview(value) for value in values])
    except ValueError:
        return
    assume(found is not None)
    extents, together, labels = found
    each = [read_datum(value) for value in values]
    assert [(d.channels, d.height, d.width) for d in each] == [extents] * len(each)
    assert together == b"".join(d.data for d in each)
    assert labels == [d.label for d in each]
    assert not any(d.encoded for d in each)


def test_which_records_are_alike():
    values = {name: memoryview(value) for name, value in RECORDS.items()}
    assert read_alike([values[name] for name in ("other label", "no label", "raw")])[2] == [300, 0, -1]
    for name in ("encoded", "turned", "longer", "floats", "both", "label first", "twice", "cut"):
        assert read_alike([values["raw"], values[name]]) is None, name


@pytest.mark.parametrize("phase", ["TRAIN", "TEST"])
@pytest.mark.parametrize("crop", [0, 5])
@pytest.mark.parametrize("complete", [True, False])
@pytest.mark.parametrize("mirror", [True, False])
@pytest.mark.parametrize("mean", ["none", "each", "image"])
def test_batches_equal_those_read_one_by_one(tmp_path, monkeypatch, phase, crop, complete, mirror, mean):
    write_blob(tmp_path / "mean", np.random.default_rng(1).uniform(90, 130, IMAGES.shape[1:]).astype(np.float32))
    settings = {
        "none": {},
        "each": {"mean_value": (1.0, 2.0, 3.0), "scale": 0.5},
        "image": {"mean_file": str(tmp_path / "mean"), "scale": 0.5},
    }[mean]
    layer = data_layer(database(tmp_path / "db", IMAGES), 9, mirror=mirror, crop_size=crop, **settings)
    batches = []
    for size in (chunks.VALUES_TOGETHER, 4 * IMAGES[0].size, 0):
        monkeypatch.setattr(chunks, "VALUES_TOGETHER", size)
        source = open_source(layer, phase, seed=3, threads=2)
        source.normalize_on_host = complete
        batches.append([source.next_batch() for _ in range(3)])
        source.close()
    for together in batches[:2]:
        for one, other in zip(together, batches[2]):
            np.testing.assert_array_equal(one.tops[0], other.tops[0])
            np.testing.assert_array_equal(one.tops[1], other.tops[1])
            np.testing.assert_array_equal(one.mirror, other.mirror)
            np.testing.assert_array_equal(one.offsets, other.offsets)
    if complete and mean == "none" and not (mirror or crop):
        np.testing.assert_array_equal(batches[0][0].tops[0], IMAGES[:9])


def test_small_raw_records_are_read_together(tmp_path, monkeypatch):
    source = open_source(data_layer(database(tmp_path / "db", IMAGES), 12), "TEST")
    monkeypatch.setattr(source.builder.records, "reading", None)
    assert source.next_batch().tops[1].tolist() == list(range(12))
    source.close()


@pytest.mark.parametrize(
    ("bad", "code", "part"),
    [
        (b"\x08", "E503", "ends inside a field"),
        (record(IMAGES[0])[:-9], "E503", "past the end"),
        (record(IMAGES[0][:, :, :8]), "E505", "does not fit a batch"),
    ],
)
def test_a_bad_record_among_good_ones_is_named_or_skipped(tmp_path, bad, code, part):
    records = [record(image, i) for i, image in enumerate(IMAGES)]
    records[5] = bad
    layer = data_layer(write(tmp_path / "db", records), 11)
    source = open_source(layer, "TEST")
    with fault(code, "record `00000005`", part):
        source.next_batch()
    source.close()
    source = open_source(layer, "TEST", skip_bad=True)
    assert source.next_batch().tops[1].tolist() == [0, 1, 2, 3, 4, 6, 6, 7, 8, 9, 10]
    source.close()
