"""Databases made of real images: what Caffe's tools make of them, and the same again when they are read."""

from __future__ import annotations

import contextlib
import struct
from pathlib import Path

import cv2
import numpy as np
import pytest

from netc.data import open_source
from netc.data.stores import open_store
from netc.data.tools.contact_sheet import contact_sheet
from netc.data.tools.database_report import inspect_database
from netc.data.tools.image_database import ImageSettings, class_entries, convert_folder, convert_images, read_entries
from netc.data.tools.mean_image import ListedImages, mean_image
from netc.data.tools.mnist_and_cifar import cifar10, mnist
from netc.schema import caffe
from netc.weights import read_blob
from tests.data.databases import data_layer, database, random_images, record, write
from tests.data.real_images import digits, photographs, write_class_folders, write_list

REFERENCE = Path(__file__).parent.parent / "reference" / "data"


def records(path: Path) -> list[tuple[bytes, bytes]]:
    with contextlib.closing(open_store(path)) as store, store.reading() as get:
        return [(key, bytes(get(key))) for key in store.keys()]  # noqa: SIM118


@pytest.mark.parametrize(
    ("recorded", "settings", "backend"),
    [
        ("lmdb_resized", ImageSettings(height=24, width=32), "lmdb"),
        ("lmdb_resized", ImageSettings(height=24, width=32, check_size=True), "leveldb"),
        ("leveldb_gray", ImageSettings(height=24, width=32, gray=True), "leveldb"),
        ("lmdb_raw_encoded", ImageSettings(encoded=True), "lmdb"),
    ],
)
def test_records_equal_caffes_byte_for_byte(tmp_path, recorded, settings, backend):
    done = convert_images(REFERENCE / "list.txt", f"{REFERENCE}/", tmp_path / "out", settings, backend=backend)
    assert done == (9, ())
    assert records(tmp_path / "out") == records(REFERENCE / recorded)


def test_recompressed_images_equal_caffes_pixel_for_pixel(tmp_path):
    settings = ImageSettings(height=28, width=28, encode_type="png")
    convert_images(REFERENCE / "list.txt", f"{REFERENCE}/", tmp_path / "out", settings)
    for (key, mine), (theirs_key, theirs) in zip(records(tmp_path / "out"), records(REFERENCE / "lmdb_encoded")):
        a, b = caffe.Datum.FromString(mine), caffe.Datum.FromString(theirs)
        assert (key, a.label, a.encoded) == (theirs_key, b.label, b.encoded)
        pixels = [cv2.imdecode(np.frombuffer(d.data, np.uint8), cv2.IMREAD_UNCHANGED) for d in (a, b)]
        np.testing.assert_array_equal(*pixels)


def test_the_mean_of_a_list_is_that_of_its_database(tmp_path):
    listed = ListedImages(f"{REFERENCE}/", 24, 32)
    found = mean_image(REFERENCE / "list.txt", tmp_path / "mean", listed=listed)
    assert (found.images, found.skipped) == (9, 0)
    np.testing.assert_array_equal(found.mean, mean_image(REFERENCE / "lmdb_resized").mean)
    np.testing.assert_array_equal(read_blob(tmp_path / "mean")[0], found.mean)
    gray = ListedImages(f"{REFERENCE}/", 24, 32, is_color=False)
    np.testing.assert_array_equal(
        mean_image(REFERENCE / "list.txt", listed=gray).mean, mean_image(REFERENCE / "leveldb_gray").mean
    )


def test_the_mean_image_equals_caffes_byte_for_byte(tmp_path):
    found = mean_image(REFERENCE / "lmdb_resized", tmp_path / "mean.binaryproto")
    assert (tmp_path / "mean.binaryproto").read_bytes() == (REFERENCE / "mean.binaryproto").read_bytes()
    assert (found.images, found.skipped) == (9, 0)
    np.testing.assert_allclose(found.channels, found.mean.mean((1, 2)), rtol=1e-6)


def test_the_mean_of_compressed_images_and_of_floats(tmp_path):
    photos = [np.ascontiguousarray(photo[:40, :50]) for photo in photographs().values()]
    packed = [cv2.imencode(".png", photo)[1].tobytes() for photo in photos]
    write(tmp_path / "packed", [caffe.Datum(data=d, encoded=True).SerializeToString() for d in packed])
    expected = (photos[0].astype(np.float32) + photos[1]).transpose(2, 0, 1) / np.float32(2)
    np.testing.assert_array_equal(mean_image(tmp_path / "packed").mean, expected)
    floats = caffe.Datum(channels=1, height=1, width=2, float_data=[0.25, -3])
    write(tmp_path / "floats", [floats.SerializeToString()])
    assert mean_image(tmp_path / "floats", tmp_path / "m").mean.tolist() == [[[0.25, -3.0]]]
    assert read_blob(tmp_path / "m").shape == (1, 1, 1, 2)


def test_lmdb_and_leveldb_of_one_list_return_the_same_batches(tmp_path):
    entries = write_class_folders(tmp_path)
    listing = write_list(tmp_path / "list.txt", entries)
    settings = ImageSettings(height=61, width=67)
    for backend in ("lmdb", "leveldb"):
        convert_images(listing, f"{tmp_path}/", tmp_path / backend, settings, backend=backend, shuffle=True, seed=3)
    sources = [
        open_source(
            data_layer(tmp_path / backend.lower(), 4, backend=backend, crop_size=53, mirror=True), "TRAIN", seed=5
        )
        for backend in ("LMDB", "LEVELDB")
    ]
    for _ in range(6):
        (data, label), (other, other_label) = (source.next_batch().tops for source in sources)
        np.testing.assert_array_equal(data, other)
        np.testing.assert_array_equal(label, other_label)
    for source in sources:
        source.close()


@pytest.mark.parametrize("backend", ["lmdb", "leveldb"])
def test_images_survive_a_round_trip(tmp_path, backend):
    entries = write_class_folders(tmp_path)
    convert_images(write_list(tmp_path / "list", entries), str(tmp_path), tmp_path / "out", backend=backend)
    for number, ((key, value), (name, label, image)) in enumerate(zip(records(tmp_path / "out"), entries)):
        assert key == f"{number:08d}_{name}".encode()
        datum = caffe.Datum.FromString(value)
        assert datum.label == label
        found = np.frombuffer(datum.data, np.uint8).reshape(datum.channels, datum.height, datum.width)
        decoded = image if name.endswith(".png") else cv2.imread(str(tmp_path / name))
        np.testing.assert_array_equal(found, decoded.transpose(2, 0, 1))


def test_shuffling_keeps_every_line_and_depends_on_the_seed(tmp_path):
    listing = write_list(tmp_path / "list", write_class_folders(tmp_path))
    orders = []
    for number, seed in enumerate((1, 1, 2)):
        convert_images(listing, f"{tmp_path}/", tmp_path / str(number), shuffle=True, seed=seed)
        orders.append([key for key, _ in records(tmp_path / str(number))])
    assert orders[0] == orders[1] != orders[2]
    paths = [{key.partition(b"_")[2] for key in order} for order in orders]
    assert paths[0] == paths[2]
    assert len(paths[0]) == 10


def test_paths_may_contain_spaces_and_lines_may_end_with_crlf(tmp_path):
    (tmp_path / "list").write_text("a b.png 3\r\n\n  c.png   -1\n")
    assert read_entries(tmp_path / "list") == [("a b.png", 3), ("c.png", -1)]


def test_class_folders(tmp_path):
    entries = write_class_folders(tmp_path / "train")
    (tmp_path / "train" / "china" / "notes.txt").write_text("no image")
    (tmp_path / "train" / "china" / "more").mkdir()
    cv2.imwrite(str(tmp_path / "train" / "china" / "more" / "9.JPEG"), entries[0][2])
    (tmp_path / "train" / "empty").mkdir()
    done, classes = convert_folder(tmp_path / "train", tmp_path / "out", ImageSettings(encoded=True))
    assert classes == ["china", "empty", "flower"]
    assert (tmp_path / "out_labels.txt").read_text() == "china\nempty\nflower\n"
    assert done.written == 11
    found = {key[9:].decode(): caffe.Datum.FromString(value) for key, value in records(tmp_path / "out")}
    assert {name: datum.label for name, datum in found.items()} == {
        **{name: 2 * label for name, label, _ in entries},
        "china/more/9.JPEG": 0,
    }
    for name, datum in found.items():
        assert datum.data == (tmp_path / "train" / name).read_bytes()
    assert list(found) != sorted(found)
    convert_folder(tmp_path / "train", tmp_path / "plain", shuffle=False, labels=tmp_path / "names")
    ordered = [key[9:].decode() for key, _ in records(tmp_path / "plain")]
    assert ordered == [entry.name for entry in class_entries(tmp_path / "train")[0]]
    assert (tmp_path / "names").read_text() == "china\nempty\nflower\n"


@pytest.mark.parametrize("backend", ["lmdb", "leveldb"])
def test_digits_through_idx(tmp_path, backend):
    images, labels = digits()
    (tmp_path / "images").write_bytes(struct.pack(">4I", 0x803, *images.shape) + images.tobytes())
    (tmp_path / "labels").write_bytes(struct.pack(">2I", 0x801, len(labels)) + labels.astype(np.uint8).tobytes())
    assert mnist(tmp_path / "images", tmp_path / "labels", tmp_path / "out", backend) == 60
    source = open_source(data_layer(tmp_path / "out", 60, backend=backend.upper()), "TEST")
    data, label = source.next_batch().tops
    source.close()
    np.testing.assert_array_equal(data[:, 0], images)
    np.testing.assert_array_equal(label, labels)


@pytest.mark.parametrize("backend", ["lmdb", "leveldb"])
def test_cifar(tmp_path, backend):
    images, labels = random_images(12, (3, 32, 32)), np.arange(12, dtype=np.uint8) % 10
    rows = np.column_stack([labels, images.reshape(12, -1)])
    for i, name in enumerate(["data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5"]):
        (tmp_path / f"{name}.bin").write_bytes(rows[2 * i : 2 * i + 2].tobytes())
    (tmp_path / "test_batch.bin").write_bytes(rows[10:].tobytes())
    assert cifar10(tmp_path, tmp_path, backend) == {"train": 10, "test": 2}
    train = records(tmp_path / f"cifar10_train_{backend}")
    assert [key for key, _ in train] == [b"%05d" % i for i in range(10)]
    assert [value for _, value in train] == [record(image, int(label)) for image, label in zip(images[:10], labels)]
    assert len(records(tmp_path / f"cifar10_test_{backend}")) == 2


def test_a_report_counts_records_shapes_and_labels(tmp_path):
    images = random_images(5)
    values = [record(image, i % 2) for i, image in enumerate(images)]
    values.append(
        caffe.Datum(data=cv2.imencode(".png", images[0][0])[1].tobytes(), encoded=True, label=7).SerializeToString()
    )
    values += [
        b"\x22\xff",
        record(images[0], -1),
        caffe.Datum(channels=1, height=1, width=1, float_data=[1]).SerializeToString(),
    ]
    found = inspect_database(write(tmp_path / "db", values))
    assert (found.records, found.encoded, found.floats, found.examined) == (9, 1, 1, 9)
    assert found.shapes == {(3, 7, 9): 6, (1, 7, 9): 1, (1, 1, 1): 1}
    assert found.labels == {0: 4, 1: 2, 7: 1, -1: 1}
    assert found.bytes == sum(map(len, values))
    assert [(d.code, "record `00000006`" in d.message) for d in found.faults] == [("E503", True)]
    first = inspect_database(tmp_path / "db", limit=2)
    assert (first.records, first.examined, first.labels) == (9, 2, {0: 1, 1: 1})


def test_a_contact_sheet_shows_the_images(tmp_path):
    images = np.zeros((9, 3, 7, 9), np.uint8)
    images[:, 2] = 255
    images[4, 2], images[4, 0] = 0, 255
    assert contact_sheet(database(tmp_path / "db", images), tmp_path / "sheet.png") == 9
    sheet = cv2.imread(str(tmp_path / "sheet.png"))
    assert sheet.shape == (3 * 118 + 6, 3 * 102 + 6, 3)
    centers = sheet[6 + 48 :: 118, 6 + 48 :: 102].reshape(9, 3)
    assert [tuple(map(int, c)) for c in centers] == [(255, 0, 0) if i == 4 else (0, 0, 255) for i in range(9)]
    assert contact_sheet(tmp_path / "db", tmp_path / "few.png", 3) == 3


def test_a_list_may_begin_with_a_byte_order_mark(tmp_path):
    (tmp_path / "list").write_text("\ufeffa.png +3\nb.png 004\n", encoding="utf-8")
    assert read_entries(tmp_path / "list") == [("a.png", 3), ("b.png", 4)]


def test_class_names_are_next_to_a_database_named_with_a_slash(tmp_path):
    write_class_folders(tmp_path / "train")
    convert_folder(tmp_path / "train", f"{tmp_path}/out/")
    assert (tmp_path / "out_labels.txt").read_text() == "china\nflower\n"
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["data.mdb"]
