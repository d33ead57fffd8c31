"""`netc data`: its verbs from the command line, in Caffe's spellings too."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from netc.cli import main
from netc.weights import read_blob
from tests.data.databases import random_images, record, write
from tests.data.real_images import write_class_folders, write_list

REFERENCE = Path(__file__).parent.parent / "reference" / "data"
SIZE = ["--resize_height=24", "-resize_width", "32"]


def run(capsys, *arguments) -> tuple[int, str, str]:
    status = main(["data", *map(str, arguments)])
    return status, *capsys.readouterr()


@pytest.mark.parametrize("backend", ["lmdb", "leveldb"])
@pytest.mark.parametrize("caffes_order", [False, True])
def test_images(tmp_path, capsys, backend, caffes_order):
    places = [REFERENCE / "list.txt", f"{REFERENCE}/"]
    out = tmp_path / "out"
    places = places[::-1] if caffes_order else places
    assert run(capsys, "images", *SIZE, f"-backend={backend}", *places, out) == (0, f"{out}: 9 records\n", "")
    assert run(capsys, "check", out) == (0, f"{out}: 9 records, all readable\n", "")
    status, shown, _ = run(capsys, "mean", "-backend", backend, out, tmp_path / "mean")
    assert status == 0
    assert shown.splitlines() == [
        "Processed 9 files.",
        f"Write to {tmp_path / 'mean'}",
        "Number of channels: 3",
        "mean_value channel [0]:105.428",
        "mean_value channel [1]:108.888",
        "mean_value channel [2]:83.5019",
    ]
    np.testing.assert_array_equal(read_blob(tmp_path / "mean"), read_blob(REFERENCE / "mean.binaryproto"))


def test_the_mean_of_an_image_list(capsys, tmp_path):
    options = ("--root", f"{REFERENCE}/", "--resize-height=24", "--resize-width=32", "--gray=false")
    status, shown, _ = run(capsys, "mean", REFERENCE / "list.txt", tmp_path / "mean", *options)
    assert status == 0
    assert shown.splitlines()[:2] == ["Processed 9 files.", f"Write to {tmp_path / 'mean'}"]
    assert read_blob(tmp_path / "mean").shape == (1, 3, 24, 32)
    assert run(capsys, "mean", REFERENCE / "lmdb_resized", "--gray")[0] == 1


def test_bad_images(tmp_path, capsys):
    entries = write_class_folders(tmp_path)
    listing = write_list(tmp_path / "list", entries)
    (tmp_path / entries[4][0]).write_bytes(b"no image")
    status, out, err = run(capsys, "images", listing, tmp_path, tmp_path / "out")
    assert (status, out) == (1, "")
    assert err.startswith("error[E504]: image")
    assert entries[4][0] in err
    status, out, err = run(capsys, "images", listing, tmp_path, tmp_path / "out", "--skip-bad")
    assert (status, out) == (0, f"{tmp_path / 'out'}: 9 records, 1 skipped\n")
    assert entries[4][0] in err


def test_folder(tmp_path, capsys):
    write_class_folders(tmp_path / "train")
    status, out, _ = run(capsys, "folder", tmp_path / "train", tmp_path / "out", "--encode-type", "jpg", "--gray")
    assert status == 0
    assert out == f"{tmp_path / 'out'}: 10 records\n{tmp_path / 'out'}_labels.txt: 2 classes\n"
    status, out, _ = run(capsys, "show", tmp_path / "out", "--sheet", tmp_path / "sheet.png", "--count", 6)
    assert status == 0
    lines = out.splitlines()
    assert lines[0].startswith(f"{tmp_path / 'out'}: LMDB, 10 records, ")
    assert lines[1] == "images: 10 encoded, 0 of floats, 0 unreadable"
    assert all(line.startswith("shape 1x") for line in lines[2 : lines.index("labels: 2")])
    assert "labels: 2" in lines
    assert [line.split()[:3] for line in lines if line.endswith("#" * 40)] == [["0", "5", "50.0%"], ["1", "5", "50.0%"]]
    assert lines[-1] == f"{tmp_path / 'sheet.png'}: 6 images"


def test_errors_are_listed(tmp_path, capsys):
    size = len(record(random_images(1)[0]))
    write(tmp_path / "db", [record(random_images(1)[0]), b"\xff", record(random_images(1, (1, 2, 3))[0]), b"\x0a"])
    status, out, err = run(capsys, "check", tmp_path / "db")
    assert status == 1
    assert out == f"{tmp_path / 'db'}: 4 records, 2 unreadable, 2 shapes\n"
    assert err.count("error[E503]") == 2
    assert "record `00000001`" in err
    assert "record `00000003`" in err
    status, out, _ = run(capsys, "show", tmp_path / "db")
    assert status == 1
    assert "images: 0 encoded, 0 of floats, 2 unreadable" in out
    assert run(capsys, "mean", tmp_path / "db", "--skip-bad")[0] == 1
    status, out, _ = run(capsys, "show", tmp_path / "db", "--limit", 1)
    assert (status, out.splitlines()[0]) == (
        0,
        f"{tmp_path / 'db'}: LMDB, 4 records, 1 examined, {size} bytes",
    )


def test_mnist_and_cifar(tmp_path, capsys):
    (tmp_path / "i").write_bytes(struct.pack(">4I", 0x803, 3, 2, 2) + bytes(12))
    (tmp_path / "l").write_bytes(struct.pack(">2I", 0x801, 3) + bytes(3))
    out = tmp_path / "out"
    assert run(capsys, "mnist", tmp_path / "i", tmp_path / "l", out) == (0, f"{out}: 3 records\n", "")
    assert run(capsys, "mnist", tmp_path / "i", tmp_path / "l", out)[0] == 1
    for name in [f"data_batch_{i}.bin" for i in range(1, 6)] + ["test_batch.bin"]:
        (tmp_path / name).write_bytes(bytes(2 * 3073))
    status, text, _ = run(capsys, "cifar10", tmp_path, tmp_path, "--backend", "leveldb")
    assert (status, text.count(" records\n")) == (0, 2)
    assert run(capsys, "show", tmp_path / "cifar10_train_leveldb")[1].startswith(
        f"{tmp_path / 'cifar10_train_leveldb'}: LevelDB, 10 records, "
    )
    status, text, _ = run(capsys, "cifar10", tmp_path, tmp_path, "lmdb")
    assert (status, text.count("_lmdb: ")) == (0, 2)


@pytest.mark.parametrize(
    ("flags", "gray"),
    [
        (["--gray"], True),
        (["-gray=TRUE", "--shuffle=1", "--check_size=false"], True),
        (["--nogray", "--nocheck_size", "-nocheck-size"], False),
        (["--gray", "--gray=0", "-encoded=f"], False),
    ],
)
def test_switches_as_in_gflags(tmp_path, capsys, flags, gray):
    listing = write_list(tmp_path / "list", write_class_folders(tmp_path))
    assert run(capsys, "images", *flags, listing, f"{tmp_path}/", tmp_path / "out")[0] == 0
    lines = run(capsys, "show", tmp_path / "out")[1].splitlines()
    assert {line.startswith("shape 1x") for line in lines if line.startswith("shape")} == {gray}


def test_switches_have_no_other_values(tmp_path, capsys):
    assert run(capsys, "images", "--gray=maybe", "list", "root", tmp_path / "out")[0] == 2
    assert run(capsys, "images", "--", "--gray=true", "root", tmp_path / "out")[2].startswith("error[E501]")
    assert "nogray" not in run(capsys, "images", "--help")[1]


def test_usage(capsys):
    assert run(capsys, "images", "list")[0] == 2
    assert run(capsys, "images", "list", "root", "out", "--backend", "rocksdb")[0] == 2
    assert run(capsys, "mean", "db", "--backend", "nonsense")[0] == 2
    assert run(capsys, "cifar10", "in", "out", "rocksdb")[0] == 2
