"""Data: databases of Datum, their order, and what is wrong with them."""

from __future__ import annotations

import shutil
from collections import Counter
from dataclasses import replace

import cv2
import numpy as np
import pytest

from netc.data import open_source
from netc.data.pipeline.cropping import Cropping
from netc.data.pipeline.device_feed import DeviceFeed
from netc.data.pipeline.normalization import Normalization
from netc.data.pipeline.record_source import RecordSource
from netc.data.pipeline.sampling import Sampler
from netc.data.sources.database import DatumRecords
from netc.data.stores.lmdb import _OPEN, LmdbStore
from netc.schema import caffe
from netc.weights import write_blob
from tests.data.databases import data_layer, database, fault, labels, random_images, record, write


@pytest.fixture
def opened():
    """`opened(layer, phase, ...)`: a source that the test need not close."""
    sources = []

    def make(*arguments, **settings):
        sources.append(open_source(*arguments, **settings))
        return sources[-1]

    yield make
    for source in sources:
        source.close()
    assert not _OPEN


def test_records_are_in_key_order_and_wrap_inside_a_batch(tmp_path, opened):
    images = random_images(6)
    source = opened(data_layer(database(tmp_path / "db", images)), "TEST")
    assert source.record_shapes == ((3, 7, 9), ())
    first, second = source.next_batch(), source.next_batch()
    np.testing.assert_array_equal(first.tops[0], images[:4])
    np.testing.assert_array_equal(second.tops[0], images[[4, 5, 0, 1]])
    assert second.tops[1].tolist() == [4, 5, 0, 1]
    assert source.position == 8


def test_the_feed_normalizes_as_in_caffe(tmp_path, opened):
    images = random_images(6)
    layer = data_layer(database(tmp_path / "db", images), crop_size=4, mean_value=(1.0, 2.0, 3.5), scale=0.25)
    data, label = DeviceFeed(opened(layer, "TEST")).next()
    want = (images[:4, :, 1:5, 2:6].astype(np.float32) - np.float32([1, 2, 3.5]).reshape(3, 1, 1)) * np.float32(0.25)
    np.testing.assert_array_equal(data.numpy(), want)
    assert label.tolist() == [0, 1, 2, 3]


def test_mean_file_is_cropped_with_the_image(tmp_path, opened):
    images = random_images(20)
    mean = np.random.default_rng(5).uniform(0, 255, (1, 3, 7, 9)).astype(np.float32)
    write_blob(tmp_path / "mean.binaryproto", mean)
    path = database(tmp_path / "db", images)
    settings = {"crop_size": 5, "mirror": True, "scale": 0.5}
    plain, batch_size = data_layer(path, 20, **settings), 20
    with_mean = data_layer(path, 20, mean_file=str(tmp_path / "mean.binaryproto"), **settings)
    bare = opened(plain, "TRAIN", seed=4).next_batch()
    want = np.empty((batch_size, 3, 5, 5), np.float32)
    for n, ((y, x), flip) in enumerate(zip(bare.offsets, bare.mirror)):
        part = (images[n] - mean[0])[:, y : y + 5, x : x + 5] * np.float32(0.5)
        want[n] = part[:, :, ::-1] if flip else part
    data, _ = DeviceFeed(opened(with_mean, "TRAIN", seed=4)).next()
    np.testing.assert_array_equal(data.numpy(), want)


@pytest.mark.parametrize("settings", [{}, {"crop_size": 4, "mirror": True, "scale": 0.5}])
def test_batches_do_not_depend_on_threads(tmp_path, opened, settings):
    layer = data_layer(database(tmp_path / "db", random_images(50)), 32, **settings)
    feeds = [DeviceFeed(opened(layer, "TRAIN", seed=9, threads=threads)) for threads in (1, 2, 4)]
    for _ in range(4):
        one, *others = [feed.next() for feed in feeds]
        for other in others:
            assert all(bool((a == b).all()) for a, b in zip(one, other))


def test_seeds_differ(tmp_path, opened):
    layer = data_layer(database(tmp_path / "db", random_images(40)), 40, crop_size=3)
    one, two = (opened(layer, "TRAIN", seed=seed).next_batch().offsets for seed in (1, 2))
    assert (one != two).any()


def shuffled(path, seed=1, rank=0, world_size=1):
    records = DatumRecords(LmdbStore(path, "db"))
    order = Sampler(seed, True, rank, world_size, permute=records.permute)
    return RecordSource(
        records, order, batch_size=5, crop=Cropping(3, True, True), normalization=Normalization(), threads=2
    )


def test_shuffle_returns_every_record_once_per_epoch(tmp_path):
    path = database(tmp_path / "db", random_images(15))
    source = shuffled(path)
    epochs = [labels(source, 3) for _ in range(3)]
    source.close()
    assert all(sorted(epoch) == list(range(15)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3


def test_a_resumed_run_reads_the_same_batches(tmp_path):
    path = database(tmp_path / "db", random_images(13))
    whole, first, second = shuffled(path), shuffled(path), shuffled(path, seed=99)
    for _ in range(4):
        whole.next_batch()
        first.next_batch()
    second.restore(first.state())
    for _ in range(5):
        one, two = whole.next_batch(), second.next_batch()
        np.testing.assert_array_equal(one.tops[0], two.tops[0])
        np.testing.assert_array_equal(one.tops[1], two.tops[1])
        np.testing.assert_array_equal(one.mirror, two.mirror)
    assert second.state() == whole.state()
    for source in (whole, first, second):
        source.close()


def test_seek_after_reading_ahead(tmp_path, opened):
    source = opened(data_layer(database(tmp_path / "db", random_images(10)), 2), "TEST")
    assert labels(source, 2) == [0, 1, 2, 3]
    source.seek(8)
    assert labels(source, 2) == [8, 9, 0, 1]


def test_ranks_share_the_records_of_an_epoch(tmp_path):
    path = database(tmp_path / "db", random_images(30))
    sources = [shuffled(path, rank=rank, world_size=3) for rank in range(3)]
    found = Counter(label for source in sources for label in labels(source, 2))
    for source in sources:
        source.close()
    assert found == Counter(range(30))


def test_ranks_divide_records_in_training_only(tmp_path, opened):
    layer = data_layer(database(tmp_path / "db", random_images(7)), 2)
    assert labels(opened(layer, "TRAIN", rank=1, world_size=3), 3) == [1, 4, 0, 3, 6, 2]
    assert labels(opened(layer, "TEST", rank=1, world_size=3), 2) == [0, 1, 2, 3]


def several(tmp_path, *counts, **settings):
    """A layer that reads databases of `counts` records; the labels of the database of index i begin at 100 i."""
    paths = []
    for i, count in enumerate(counts):
        records = [record(image, 100 * i + j) for j, image in enumerate(random_images(count))]
        paths.append(str(write(tmp_path / f"db{i}", records)))
    return replace(data_layer(tmp_path / "db0", **settings), sources=tuple(paths))


def test_records_of_several_databases_alternate(tmp_path, opened):
    source = opened(several(tmp_path, 2, 4, batch_size=3), "TRAIN")
    labels = [int(label) for _ in range(4) for label in source.next_batch().tops[1]]
    assert labels == [0, 100, 1, 101, 102, 103] * 2
    assert source.epoch_size() == 6


def test_each_of_several_databases_is_begun_at_its_own_record(tmp_path, opened):
    layer = several(tmp_path, 40, 40, batch_size=80, rand_skip=90)
    labels = [opened(layer, "TRAIN", seed=seed).next_batch().tops[1].tolist() for seed in range(4)]
    starts = {(one[0], one[1] - 100) for one in labels}
    assert len(starts) == 4
    assert all(first != second for first, second in starts)
    for found in labels:
        assert sorted(found) == [*range(40), *range(100, 140)]
        assert [(a + 1) % 40 for a in found[:-2:2]] == found[2::2]


def test_a_missing_one_of_several_databases(tmp_path):
    layer = several(tmp_path, 2)
    with fault("E501", "no database `gone`"):
        open_source(replace(layer, sources=(*layer.sources, "gone")), "TEST")


def test_rand_skip_starts_at_a_later_record(tmp_path, opened):
    layer = data_layer(database(tmp_path / "db", random_images(40)), 2, rand_skip=30)
    starts = {labels(opened(layer, "TRAIN", seed=seed), 1)[0] for seed in range(12)}
    assert len(starts) > 4
    assert max(starts) < 30


def encoded(image: np.ndarray, suffix: str = ".png", label: int = 0) -> bytes:
    ok, data = cv2.imencode(suffix, image.transpose(1, 2, 0))
    assert ok
    return caffe.Datum(data=data.tobytes(), encoded=True, label=label).SerializeToString()


def test_encoded_images_and_forced_colors(tmp_path, opened):
    images = random_images(2, (3, 6, 5))
    gray = random_images(1, (1, 6, 5))[0]
    path = write(tmp_path / "db", [encoded(images[0]), encoded(images[1]), encoded(gray)])
    color = opened(data_layer(path, 3, force_color=True), "TEST").next_batch().tops[0]
    np.testing.assert_array_equal(color[:2], images)
    np.testing.assert_array_equal(color[2], np.repeat(gray, 3, 0))
    assert opened(data_layer(path, 3, force_gray=True), "TEST").next_batch().tops[0].shape == (3, 1, 6, 5)
    with fault("E505", "record `00000002`"):
        opened(data_layer(path, 3), "TEST").next_batch()


def test_float_data(tmp_path, opened):
    values = np.linspace(-1, 1, 12, dtype=np.float32).reshape(2, 3, 2)
    datum = caffe.Datum(channels=2, height=3, width=2, float_data=values.ravel().tolist())
    source = opened(data_layer(write(tmp_path / "db", [datum.SerializeToString()]), 2, scale=3.0), "TEST")
    data, _ = DeviceFeed(source).next()
    np.testing.assert_array_equal(data[1].numpy(), values * np.float32(3))


def test_sizes_may_differ_from_batch_to_batch(tmp_path, opened):
    images = [random_images(1, (3, 4 + i, 5))[0] for i in range(3)]
    path = write(tmp_path / "db", [record(image) for image in images])
    source = opened(data_layer(path, 1), "TEST")
    assert [source.next_batch().tops[0].shape[2] for _ in range(4)] == [4, 5, 6, 4]
    with fault("E505", "does not fit a batch of 3x4x5"):
        opened(data_layer(path, 2), "TEST").next_batch()
    cropped = opened(data_layer(path, 3, crop_size=4), "TEST").next_batch().tops[0]
    np.testing.assert_array_equal(cropped[2], images[2][:, 1:5, 0:4])


def test_a_crop_larger_than_the_image(tmp_path, opened):
    with fault("E505", "smaller than `crop_size` 8"):
        opened(data_layer(database(tmp_path / "db", random_images(3)), 3, crop_size=8), "TEST").next_batch()


@pytest.mark.parametrize(
    ("bad", "code", "part"),
    [
        (b"\x08", "E503", "ends inside a field"),
        (caffe.Datum(channels=3, height=7, width=9, data=b"abc").SerializeToString(), "E503", "3 values"),
        (caffe.Datum(data=b"no image", encoded=True).SerializeToString(), "E504", "cannot decode"),
        (caffe.Datum(data=b"", encoded=True).SerializeToString(), "E504", "cannot decode"),
    ],
)
def test_a_bad_record_is_named_each_time(tmp_path, opened, bad, code, part):
    path = write(tmp_path / "db", [record(random_images(1)[0])] * 5 + [bad])
    source = opened(data_layer(path, 2), "TEST")
    labels(source, 2)
    for _ in range(2):
        with fault(code, f"record `00000005` of `{path}`: ", part):
            source.next_batch()


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_an_image_that_ends_early(tmp_path, opened, suffix):
    smooth = np.add.outer(np.arange(3) * 9, np.add.outer(np.arange(40), np.arange(50))).astype(np.uint8)
    datum = caffe.Datum.FromString(encoded(smooth, suffix))
    datum.data = datum.data[: len(datum.data) * 2 // 3]
    path = write(tmp_path / "db", [datum.SerializeToString()])
    with fault("E504", "ends early"):
        opened(data_layer(path, 1), "TEST")


def test_paths_that_are_not_databases(tmp_path, opened):
    with fault("E501", "no database"):
        opened(data_layer(tmp_path / "missing"), "TEST")
    (tmp_path / "empty").mkdir()
    with fault("E501", "it has no data.mdb"):
        opened(data_layer(tmp_path / "empty"), "TEST")
    (tmp_path / "empty" / "data.mdb").write_bytes(b"not a database" * 1000)
    with fault("E501", "is not an LMDB"):
        opened(data_layer(tmp_path / "empty"), "TEST")
    with fault("E502", "is empty"):
        opened(data_layer(write(tmp_path / "none", [])), "TEST")
    write(tmp_path / "lmdb", [record(random_images(1)[0])])
    with fault("E501", "is an LMDB, not a LevelDB"):
        opened(data_layer(tmp_path / "lmdb", backend="LEVELDB"), "TEST")


def test_a_truncated_database(tmp_path, opened):
    path = database(tmp_path / "db", random_images(200, (3, 40, 40)))
    whole = (path / "data.mdb").read_bytes()
    shutil.rmtree(path)
    path.mkdir()
    (path / "data.mdb").write_bytes(whole[:100_000])
    with fault("E501", "is truncated"):
        opened(data_layer(path), "TEST")


def test_means_that_do_not_match(tmp_path, opened):
    path = database(tmp_path / "db", random_images(3))
    with fault("E505", "2 values of `mean_value` for 3 channels"):
        opened(data_layer(path, mean_value=(1.0, 2.0)), "TEST")
    write_blob(tmp_path / "mean", np.zeros((1, 3, 7, 8), np.float32))
    with fault("E505", "is 3x7x9, but the mean image is 3x7x8"):
        opened(data_layer(path, mean_file=str(tmp_path / "mean")), "TEST")
    with fault("E401", ""):
        opened(data_layer(path, mean_file=str(tmp_path / "nothing")), "TEST")


def test_a_record_that_no_longer_exists(tmp_path, opened):
    """Another process may have taken it out of the database since its key was read."""
    path = database(tmp_path / "db", random_images(3))
    records = opened(data_layer(path, 1), "TEST").builder.records
    assert len(records) == 3
    records._keys._known[1] = b"gone"
    with records.reading() as read, fault("E503", "record `gone`", "it no longer exists"):
        read(1)
