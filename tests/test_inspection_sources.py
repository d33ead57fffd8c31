"""`netc check` on the data of a net: what is missing is a warning, what is there and wrong an error as in training."""

from __future__ import annotations

import os

import numpy as np
import pytest

import netc
from netc.compiler import load
from netc.diagnostics import NetcError
from netc.weights import write_blob
from tests.data.databases import database, random_images

NET = (
    'layer {{ name: "data" type: "{type}" top: "data" top: "label" {parameters} }}\n'
    'layer {{ name: "ip" type: "InnerProduct" bottom: "data" top: "ip" inner_product_param {{ num_output: 2 }} }}\n'
    'layer {{ name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }}\n'
)


def written(folder, parameters, kind="Data"):
    (folder / "net.prototxt").write_text(NET.format(type=kind, parameters=parameters))
    return folder / "net.prototxt"


def findings(path):
    return [(d.code, d.line) for d in netc.check(path) if d.code in ("W020", "E401", "E402", "E501", "E505", "E508")]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    database(tmp_path / "db", random_images(2, (3, 8, 8)))
    return tmp_path


LMDB = 'data_param {{ source: "{}" batch_size: 2 backend: {} }}'


def test_a_mean_file_of_another_size_than_the_records(folder):
    write_blob("mean", np.zeros((1, 3, 10, 12), np.float32))
    net = written(folder, LMDB.format("db", "LMDB") + 'transform_param { mean_file: "mean" }')
    assert findings(net) == [("E505", 1)]
    message = next(d for d in netc.check(net) if d.code == "E505")
    assert message.message == "record `00000000` of `db` is 3x8x8, but the mean image is 3x10x12"
    assert message.span.text == '"mean"'
    write_blob("mean", np.zeros((1, 3, 8, 8), np.float32))
    assert findings(net) == []


def test_a_mean_file_that_is_not_one(folder):
    net = written(folder, LMDB.format("db", "LMDB") + 'transform_param { mean_file: "net.prototxt" }')
    assert findings(net) == [("E402", 1)]


def test_a_mean_file_that_is_not_one_is_found_without_the_database(folder):
    net = written(folder, LMDB.format("none", "LMDB") + 'transform_param { mean_file: "net.prototxt" }')
    assert findings(net) == [("W020", 1), ("E402", 1)]


@pytest.mark.parametrize(("matrix", "expected"), [("net.prototxt", [("E402", 3)]), ("m", []), ("n", [("W020", 3)])])
def test_an_infogain_matrix(folder, matrix, expected):
    write_blob("m", np.eye(2, dtype=np.float32)[None, None])
    text = NET.format(type="Data", parameters=LMDB.format("db", "LMDB"))
    text = text.replace("SoftmaxWithLoss", "InfogainLoss").replace(
        'top: "loss" }', f'top: "loss" infogain_loss_param {{ source: "{matrix}" }} }}'
    )
    (folder / "net.prototxt").write_text(text)
    assert findings(folder / "net.prototxt") == expected


@pytest.mark.parametrize("source", ["db", "folder", "net.prototxt"])
def test_a_source_of_another_kind_is_an_error(folder, source):
    (folder / "folder").mkdir()
    assert findings(written(folder, LMDB.format(source, "LEVELDB"))) == [("E501", 1)]


def test_a_missing_source_is_a_warning(folder):
    assert findings(written(folder, LMDB.format("none", "LMDB"))) == [("W020", 1)]


def test_the_files_of_an_hdf5_list(folder):
    net = written(folder, 'hdf5_data_param { source: "list" batch_size: 2 }', "HDF5Data")
    (folder / "list").write_text("none.h5\n")
    assert findings(net) == [("W020", 1)]
    (folder / "list").write_text("none.h5\nnet.prototxt\n")
    assert findings(net) == [("W020", 1), ("E501", 1)]


def test_weights_that_depend_on_a_missing_database_name_it(folder):
    import netc.pycaffe as caffe

    net = written(folder, LMDB.format("none", "LMDB"))
    for action in (lambda: load(net), lambda: caffe.Net(str(net), caffe.TRAIN)):
        with pytest.raises(NetcError, match="unknown extent: no database `none`") as caught:
            action()
        assert caught.value.diagnostics[0].code == "E203"


def test_weights_that_depend_on_a_database_that_is_already_open_name_it(folder):
    import lmdb

    net = written(folder, LMDB.format("db", "LMDB"))
    with lmdb.open("db", readonly=True, lock=False), pytest.raises(NetcError, match="LMDB `db` is already open"):
        load(net)


@pytest.mark.parametrize(("backend", "name"), [("LMDB", "an LMDB"), ("LEVELDB", "a LevelDB")])
def test_a_device_or_a_pipe_is_not_a_missing_database(folder, backend, name):
    os.mkfifo(folder / "pipe")
    for source in ("pipe", os.devnull):
        (found,) = (d for d in netc.check(written(folder, LMDB.format(source, backend))) if d.code == "E501")
        assert found.message.startswith(f"`{source}` is not {name}: ")
