"""Sources, the files that they name, and means: what is not a regular file is refused, and nothing waits for it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import cv2
import h5py
import numpy as np
import pytest

from netc.data import open_source
from netc.data.tools.idx import read_idx
from netc.data.tools.image_database import ImageSettings, convert_images
from netc.data.tools.mnist_and_cifar import cifar10
from netc.ir.transform import Transform
from netc.layers.data import Data, ImageData, WindowData
from netc.layers.hdf5 import HDF5Data
from tests.data.databases import data_layer, database, fault, random_images, record

CROP = Transform(crop_size=8)
LAYERS = {
    "LMDB": lambda path: Data(source=path, batch_size=1, backend="LMDB"),
    "LEVELDB": lambda path: Data(source=path, batch_size=1, backend="LEVELDB"),
    "ImageData": lambda path: ImageData(source=path),
    "WindowData": lambda path: WindowData(source=path, batch_size=1, transform=CROP, fg_fraction=1.0),
    "HDF5Data": lambda path: HDF5Data(source=path, batch_size=1),
}


@pytest.fixture(params=["pipe", "/dev/zero", "folder"])
def special(request, tmp_path) -> Path:
    if request.param == "pipe":
        os.mkfifo(tmp_path / "pipe")
    elif request.param == "folder":
        (tmp_path / "folder").mkdir()
    return tmp_path / request.param  # an absolute name stays as it is


@pytest.mark.parametrize("kind", LAYERS)
def test_sources(special, kind):
    with fault("E501", str(special)) as caught:
        open_source(LAYERS[kind](str(special)), "TEST", tops=("data",))
    assert not caught.value.diagnostics[0].missing


def test_a_leveldb_whose_files_are_special(special, tmp_path):
    (tmp_path / "db").mkdir()
    (tmp_path / "db" / "CURRENT").symlink_to(special)
    with fault("E501", "not a regular file"):
        open_source(LAYERS["LEVELDB"](str(tmp_path / "db")), "TEST")


@pytest.mark.parametrize("kind", LAYERS)
def test_a_missing_source(tmp_path, kind):
    with fault("E501", "none") as caught:
        open_source(LAYERS[kind](str(tmp_path / "none")), "TEST", tops=("data",))
    assert caught.value.diagnostics[0].missing


def test_an_image_of_a_list(special, tmp_path):
    (tmp_path / "list.txt").write_text(f"{special} 0\n")
    with fault("E504", "not a regular file"):
        open_source(ImageData(source=str(tmp_path / "list.txt")), "TEST")


def test_an_image_of_a_window_file(special, tmp_path):
    (tmp_path / "windows.txt").write_text(f"# 0\n{special}\n3\n9\n9\n1\n1 1 0 0 8 8\n")
    source = open_source(LAYERS["WindowData"](str(tmp_path / "windows.txt")), "TEST")
    with fault("E504", "not a regular file"):
        source.next_batch()
    source.close()


def test_a_file_of_an_hdf5_list(special, tmp_path):
    (tmp_path / "list.txt").write_text(str(special))
    with fault("E501", "not a regular file"):
        open_source(LAYERS["HDF5Data"](str(tmp_path / "list.txt")), "TEST", tops=("data",))


def test_a_missing_file_of_an_hdf5_list(tmp_path):
    (tmp_path / "list.txt").write_text("none.h5")
    with fault("E501", "none.h5", "no such file") as caught:
        open_source(LAYERS["HDF5Data"](str(tmp_path / "list.txt")), "TEST", tops=("data",))
    assert caught.value.diagnostics[0].missing


def test_a_mean_file(special, tmp_path):
    database(tmp_path / "db", random_images(2))
    with fault("E401", "not a regular file"):
        open_source(data_layer(tmp_path / "db", mean_file=str(special)), "TEST")


def test_the_file_of_an_lmdb(tmp_path):
    (tmp_path / "db").mkdir()
    os.mkfifo(tmp_path / "db" / "data.mdb")
    with fault("E501", "`", "it is a pipe, not a regular file"):
        open_source(data_layer(tmp_path / "db"), "TEST")


@pytest.mark.parametrize("name", ["MANIFEST-000002", "000001.ldb", "000003.log", "LOCK"])
def test_the_files_of_a_leveldb(tmp_path, name):
    (tmp_path / "CURRENT").write_text("MANIFEST-000002\n")
    os.mkfifo(tmp_path / name)
    with fault("E501", "cannot be read"):
        open_source(LAYERS["LEVELDB"](str(tmp_path)), "TEST")


def test_files_of_the_tools(special, tmp_path):
    for action in (
        lambda: read_idx(special, 3),
        lambda: convert_images(special, "", tmp_path / "out", ImageSettings()),
        lambda: cifar10(special, tmp_path),
    ):
        with fault("E501"):
            action()


@pytest.mark.parametrize("kind", ["external link", "soft link to it", "external storage", "virtual"])
def test_hdf5_data_that_is_in_another_file(tmp_path, kind):
    other = tmp_path / "other.h5"
    with h5py.File(other, "w") as file:
        file["data"] = np.ones((4, 3), np.float32)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        if kind == "external storage":
            file.create_dataset("data", (4, 3), "f4", external=[(str(other), 0, 48)])
        elif kind == "virtual":
            layout = h5py.VirtualLayout((4, 3), "f4")
            layout[...] = h5py.VirtualSource(str(other), "data", (4, 3))
            file.create_virtual_dataset("data", layout)
        else:
            file["outside"] = h5py.ExternalLink(str(other), "/")
            file["data"] = h5py.SoftLink("/outside/data")
            if kind == "external link":
                del file["data"]
                file["data"] = h5py.ExternalLink(str(other), "/data")
    (tmp_path / "list.txt").write_text(str(tmp_path / "a.h5"))
    with fault("E406"):
        open_source(LAYERS["HDF5Data"](str(tmp_path / "list.txt")), "TEST", tops=("data",))


def test_hdf5_links_within_the_file_are_followed(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["group/values"] = np.arange(12, dtype=np.float32).reshape(4, 3)
        file["data"] = h5py.SoftLink("/group/values")
    (tmp_path / "list.txt").write_text(str(tmp_path / "a.h5"))
    source = open_source(LAYERS["HDF5Data"](str(tmp_path / "list.txt")), "TEST", tops=("data",))
    assert source.next_batch().tops[0].tolist() == [[0, 1, 2]]
    source.close()


TRUNCATED = """
import os, sys, time
from pathlib import Path
from netc.data.stores import open_store
from netc.diagnostics import NetcError

def error_of(action):
    try:
        action()
    except NetcError as error:
        return print(error.diagnostics[0].code, error)

def get(key):
    with store.reading() as get:
        get(key)

database, file, how = sys.argv[1:]
store = open_store(database)
keys = store.keys()
first = next(keys)
get(first)
os.truncate(Path(database, file), 4096)
if how == "next key":
    time.sleep(0.1)  # longer than the pause between two checks
error_of({"all keys": lambda: list(store.keys()), "next key": lambda: next(keys), "batch": lambda: get(first)}[how])
"""


def error_after_truncation(database, file, how) -> str:
    """In a process of its own, which the system would end; with one thread, so that nothing is read meanwhile."""
    run = subprocess.run([sys.executable, "-c", TRUNCATED, database, file, how], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return run.stdout.strip()


@pytest.mark.parametrize("how", ["all keys", "next key", "batch"])
def test_an_lmdb_that_is_truncated_while_it_is_read(tmp_path, how):
    path = database(tmp_path / "db", random_images(200))
    size = (path / "data.mdb").stat().st_size
    error = error_after_truncation(path, "data.mdb", how)
    assert error == f"E501 LMDB `{path}` is truncated: 4096 bytes of {size}"


@pytest.mark.parametrize("how", ["all keys", "next key", "batch"])
def test_a_leveldb_that_is_truncated_while_it_is_read(tmp_path, how):
    plyvel = pytest.importorskip("plyvel")
    database = plyvel.DB(str(tmp_path / "db"), create_if_missing=True, compression=None)
    for i, image in enumerate(random_images(60, (3, 40, 40))):
        database.put(b"%08d" % i, record(image, i))
    database.compact_range()
    database.close()
    (table,) = (tmp_path / "db").glob("*.ldb")
    size = table.stat().st_size
    error = error_after_truncation(tmp_path / "db", table.name, how)
    name = f"table `{table.name}` of LevelDB `{tmp_path / 'db'}`"
    assert error == f"E501 {name} is truncated: 4096 bytes of {size}"


def test_an_lmdb_that_the_process_has_open(tmp_path):
    import lmdb

    path = database(tmp_path / "db", random_images(2))
    with lmdb.open(str(path), readonly=True, lock=False), fault("E501", f"LMDB `{path}` is already open"):
        open_source(data_layer(path), "TEST")


def test_a_mean_of_another_size_than_the_records(tmp_path):
    from netc.weights import write_blob

    database(tmp_path / "db", random_images(2, (3, 8, 8)))
    write_blob(tmp_path / "mean", np.zeros((1, 3, 10, 12), np.float32))
    with fault("E505", "is 3x8x8, but the mean image is 3x10x12") as caught:
        open_source(data_layer(tmp_path / "db", mean_file=str(tmp_path / "mean"), crop_size=4), "TEST")
    assert caught.value.diagnostics[0].field == "transform_param.mean_file"


def test_a_mean_of_another_size_than_the_windows(tmp_path):
    from netc.weights import write_blob

    cv2.imwrite(str(tmp_path / "0.png"), np.zeros((20, 20, 3), np.uint8))
    (tmp_path / "windows.txt").write_text("# 0\n0.png\n3\n20\n20\n1\n1 1 0 0 8 8\n")
    write_blob(tmp_path / "mean", np.zeros((1, 1, 8, 8), np.float32))
    transform = Transform(crop_size=8, mean_file=str(tmp_path / "mean"))
    with fault("E505", "is 3x8x8, but the mean image is 1x8x8"):
        open_source(WindowData(source=str(tmp_path / "windows.txt"), batch_size=1, transform=transform), "TEST")
