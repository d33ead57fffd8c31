"""Bad images, lists and files: an error that names them, or a count of what was left out; never half a database."""

from __future__ import annotations

import os
import tempfile

import cv2
import numpy as np
import pytest

from netc.data.stores import open_store
from netc.data.stores.writers import new_database
from netc.data.tools.contact_sheet import contact_sheet
from netc.data.tools.database_report import inspect_database
from netc.data.tools.image_database import ImageSettings, convert_folder, convert_images
from netc.data.tools.mean_image import ListedImages, mean_image
from netc.data.tools.mnist_and_cifar import cifar10
from netc.diagnostics import NetcError
from netc.schema import caffe
from tests.data.databases import database, fault, random_images, record, write
from tests.data.real_images import write_class_folders, write_list


@pytest.fixture
def listed(tmp_path):
    """A list of ten images, one of them truncated, one missing."""
    entries = write_class_folders(tmp_path / "photos")
    listing = write_list(tmp_path / "list.txt", entries)
    broken = tmp_path / "photos" / entries[2][0]
    broken.write_bytes(broken.read_bytes()[:-200])
    (tmp_path / "photos" / entries[7][0]).unlink()
    return tmp_path, listing, entries


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("backend", ["lmdb", "leveldb"])
def test_a_bad_image_ends_a_conversion_without_output(listed, backend):
    folder, listing, entries = listed
    before = names(folder)
    with fault("E504", entries[2][0], "ends early"):
        convert_images(listing, f"{folder}/photos/", folder / "out", backend=backend)
    assert names(folder) == before


def test_bad_images_are_skipped_and_reported(listed):
    folder, listing, entries = listed
    done = convert_images(listing, f"{folder}/photos/", folder / "out", skip_bad=True)
    assert done.written == 8
    assert [entry[0] in found.message for entry, found in zip((entries[2], entries[7]), done.skipped)] == [True, True]
    assert "no such file" in done.skipped[1].message
    assert inspect_database(folder / "out").records == 8


def test_only_bad_images(tmp_path):
    (tmp_path / "list").write_text("a.png 1\nb.png 2\n")
    with fault("E502", "none of 2 images"):
        convert_images(tmp_path / "list", "", tmp_path / "out", skip_bad=True)
    assert names(tmp_path) == ["list"]


def test_all_bad_lines_are_reported(tmp_path):
    (tmp_path / "list").write_text("good.png 1\nnolabel\ngood.png 2\nfraction.png 0.5\nhuge.png 3000000000\n")
    with pytest.raises(NetcError) as caught:
        convert_images(tmp_path / "list", "", tmp_path / "out")
    assert [(d.code, d.line) for d in caught.value.diagnostics] == [("E506", 2), ("E506", 4), ("E506", 5)]
    assert "line 2 is not a path followed by an integer" in caught.value.diagnostics[0].message


def test_lists_and_folders_without_images(tmp_path):
    (tmp_path / "list").write_text("\n \n")
    with fault("E502", "is empty"):
        convert_images(tmp_path / "list", "", tmp_path / "out")
    with fault("E501", "cannot be read"):
        convert_images(tmp_path / "none", "", tmp_path / "out")
    (tmp_path / "classes" / "one").mkdir(parents=True)
    with fault("E502", "contains no images"):
        convert_folder(tmp_path / "classes", tmp_path / "out")
    with fault("E501", "cannot be read"):
        convert_folder(tmp_path / "none", tmp_path / "out")
    (tmp_path / "loop").symlink_to("loop")
    with fault("E501", "cannot be read"):
        convert_folder(tmp_path / "loop", tmp_path / "out")
    assert names(tmp_path) == ["classes", "list", "loop"]


@pytest.mark.parametrize(
    ("settings", "part"),
    [
        (ImageSettings(height=5), "height 5 and width 0 must be given together"),
        (ImageSettings(encode_type="xyz"), "cannot encode images as `xyz`"),
    ],
)
def test_invalid_settings(listed, settings, part):
    folder, listing, _ = listed
    with fault("E512", part):
        convert_images(listing, f"{folder}/photos/", folder / "out", settings)


def test_an_unknown_backend(listed):
    folder, listing, _ = listed
    with fault("E512", "unknown backend `rocksdb`"):
        convert_images(listing, f"{folder}/photos/", folder / "out", backend="rocksdb")


def test_a_name_without_a_known_suffix(tmp_path):
    assert cv2.imwrite(str(tmp_path / "a.png"), np.zeros((3, 4, 3), np.uint8))
    (tmp_path / "a.png").rename(tmp_path / "plain")
    (tmp_path / "list").write_text("plain 1\n")
    with fault("E504", "has no suffix that OpenCV can encode"):
        convert_images(tmp_path / "list", f"{tmp_path}/", tmp_path / "out", ImageSettings(encoded=True))


def test_sizes_are_checked_on_request(tmp_path):
    listing = write_list(tmp_path / "list", write_class_folders(tmp_path))
    with fault("E505", "china/1.png` is 3x137x", "those before it are 3x130x170"):
        convert_images(listing, f"{tmp_path}/", tmp_path / "out", ImageSettings(check_size=True))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("backend", ["lmdb", "leveldb"])
def test_an_interrupt_leaves_no_incomplete_database(tmp_path, backend):
    def interrupted():
        with new_database(tmp_path / "out", backend) as put:
            for i in range(1500):
                put(b"%08d" % i, bytes(100))
            assert names(tmp_path)[0].startswith(".out.")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert names(tmp_path) == []


@pytest.mark.parametrize("backend", ["lmdb", "leveldb"])
def test_keys_are_in_order(tmp_path, backend):
    def twice():
        with new_database(tmp_path / "out", backend) as put:
            put(b"b", b"1")
            put(b"b", b"2")

    with pytest.raises(ValueError, match="key b'b'"):
        twice()
    assert names(tmp_path) == []


def test_outputs_that_exist_or_cannot_be_written(tmp_path):
    (tmp_path / "there").mkdir()
    with fault("E511", "exists"), new_database(tmp_path / "there"):
        pass
    with fault("E511", "cannot be written"), new_database(tmp_path / "none" / "out"):
        pass


@pytest.mark.parametrize("backend", ["lmdb", "leveldb"])
def test_names_of_databases(tmp_path, backend):
    for name in ("", ".", "/", "a\0b"):
        with fault("E408", "cannot write"), new_database(name, backend):
            pass
    for name in ("\udcff", "slash/"):
        with new_database(f"{tmp_path}/{name}", backend) as put:
            put(b"1", b"2")
        store = open_store(f"{tmp_path}/{name}")
        assert list(store.keys()) == [b"1"]
        store.close()
    with fault("E511", "cannot be written: file name too long"), new_database(tmp_path / ("n" * 300), backend):
        pass
    with fault("E501"):
        open_store("a\0b")


def test_a_mean_requires_one_size(tmp_path):
    write(tmp_path / "db", [record(random_images(1)[0]), record(random_images(1, (3, 7, 8))[0])])
    with fault("E505", "record `00000001`", "is 3x7x8, but those before it are 3x7x9"):
        mean_image(tmp_path / "db", tmp_path / "mean")
    assert names(tmp_path) == ["db"]


def test_the_mean_of_a_list(tmp_path):
    for i, size in enumerate(((4, 5), (4, 5), (5, 4))):
        cv2.imwrite(str(tmp_path / f"{i}.png"), np.full((*size, 3), 10 * i, np.uint8))
    (tmp_path / "list").write_text("0.png 0\n1.png 1 \nnone.png 2\n")
    with fault("E504", "none.png"):
        mean_image(tmp_path / "list")
    found = mean_image(tmp_path / "list", skip_bad=True)
    assert (found.images, found.skipped, set(found.mean.ravel())) == (2, 1, {5.0})
    (tmp_path / "list").write_text("0.png 0\n2.png 1\n")
    with fault("E505", "is 3x5x4, but those before it are 3x4x5") as caught:
        mean_image(tmp_path / "list")
    assert "pass `--resize-height`" in caught.value.diagnostics[0].help
    with fault("E512", "must be given together"):
        mean_image(tmp_path / "list", listed=ListedImages(new_height=4))
    database(tmp_path / "db", random_images(2))
    with fault("E512", "is not an image list"):
        mean_image(tmp_path / "db", listed=ListedImages(is_color=False))
    (tmp_path / "list").write_text("0.png\n")
    with fault("E506", "line 1"):
        mean_image(tmp_path / "list")


@pytest.mark.parametrize("folder", ["/", "/proc", "/sys/../dev", "link"])
def test_folders_of_the_system(tmp_path, folder):
    (tmp_path / "link").symlink_to("/")
    with fault("E501", "is part of the system"):
        convert_folder(tmp_path / folder, tmp_path / "out")
    assert names(tmp_path) == ["link"]


@pytest.mark.skipif(not os.access("/dev/shm", os.W_OK), reason="needs /dev/shm")
def test_a_folder_in_shared_memory(tmp_path):
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder, fault("E502"):
        convert_folder(folder, tmp_path / "out")


def test_a_mean_without_the_bad_records(tmp_path):
    images = random_images(2)
    write(
        tmp_path / "db",
        [
            b"\xff",
            record(images[0]),
            caffe.Datum(data=b"no image", encoded=True).SerializeToString(),
            record(images[1]),
        ],
    )
    with fault("E503", "record `00000000`"):
        mean_image(tmp_path / "db")
    found = mean_image(tmp_path / "db", skip_bad=True)
    assert (found.images, found.skipped) == (2, 2)
    np.testing.assert_array_equal(found.mean, images.astype(np.float32).mean(0))
    write(tmp_path / "bad", [b"\xff"])
    with fault("E502", "no readable record among 1"):
        mean_image(tmp_path / "bad", skip_bad=True)
    with fault("E502", "no readable record"):
        contact_sheet(tmp_path / "bad", tmp_path / "sheet.png")


def test_paths_that_are_not_databases(tmp_path):
    for path in (tmp_path, tmp_path / "none"):
        with fault("E501"):
            inspect_database(path)
    with fault("E502", "is empty"):
        inspect_database(write(tmp_path / "empty", []))


@pytest.mark.parametrize(
    ("name", "content", "code", "part"),
    [
        ("data_batch_3.bin", bytes(3072), "E510", "not a multiple of 3073"),
        ("data_batch_3.bin", b"", "E510", "holds 0 bytes"),
        ("test_batch.bin", bytes(3073) + b"\x0a" + bytes(3072), "E510", "record 1 of"),
        ("test_batch.bin", None, "E501", "cannot be read"),
    ],
)
def test_files_that_are_not_cifar(tmp_path, name, content, code, part):
    for file in [f"data_batch_{i}.bin" for i in range(1, 6)] + ["test_batch.bin"]:
        (tmp_path / file).write_bytes(bytes(3073))
    if content is None:
        (tmp_path / name).unlink()
    else:
        (tmp_path / name).write_bytes(content)
    with fault(code, name, part):
        cifar10(tmp_path, tmp_path)
    assert not [path for path in names(tmp_path) if "cifar" in path]


def test_a_finished_database_is_not_overwritten(tmp_path):
    database(tmp_path / "out", random_images(1))
    listing = write_list(tmp_path / "list", write_class_folders(tmp_path))
    with fault("E511", "exists"):
        convert_images(listing, f"{tmp_path}/", tmp_path / "out")
    assert inspect_database(tmp_path / "out").records == 1


@pytest.mark.parametrize(("labels", "code"), [("none/l.txt", "E408"), ("out", "E512"), ("train", "E408")])
def test_class_names_that_cannot_be_written_leave_no_database(tmp_path, labels, code):
    write_class_folders(tmp_path / "train")
    with fault(code):
        convert_folder(tmp_path / "train", tmp_path / "out", labels=tmp_path / labels)
    assert names(tmp_path) == ["train"]


def test_class_names_are_overwritten_only_on_request(tmp_path):
    write_class_folders(tmp_path / "train")
    (tmp_path / "out_labels.txt").write_text("mine")
    with fault("E511", "out_labels.txt` already exists"):
        convert_folder(tmp_path / "train", tmp_path / "out")
    assert (tmp_path / "out_labels.txt").read_text() == "mine"
    convert_folder(tmp_path / "train", tmp_path / "out", labels=tmp_path / "out_labels.txt")
    assert (tmp_path / "out_labels.txt").read_text() == "china\nflower\n"


def test_old_class_names_are_kept_if_a_conversion_fails(tmp_path):
    (name, _, _), *_ = write_class_folders(tmp_path / "train")
    (tmp_path / "train" / name).write_bytes(b"no image")
    (tmp_path / "names").write_text("mine")
    with fault("E504", name):
        convert_folder(tmp_path / "train", tmp_path / "out", labels=tmp_path / "names")
    assert (names(tmp_path), (tmp_path / "names").read_text()) == (["names", "train"], "mine")


@pytest.mark.parametrize("label", ["1_0", "\u0663", "9" * 5000])
def test_labels_that_cpp_would_not_parse(tmp_path, label):
    (tmp_path / "list").write_text(f"a.png {label}\n", encoding="utf-8")
    with fault("E506", "line 1 is not a path followed by an integer"):
        convert_images(tmp_path / "list", "", tmp_path / "out")
