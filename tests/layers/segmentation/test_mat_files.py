"""MatWrite and MatRead: the variables of their files, their names, and files that cannot be read."""

import contextlib
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import torch

import netc
import netc.pycaffe as caffe
from netc.cli import main
from netc.data.factory import open_source
from netc.diagnostics import NetcWarning, Source
from netc.ir.dims import UNKNOWN
from netc.ir.mat_names import mat_names
from netc.layers.segmentation.mat_files import MatRead, MatWrite
from tests.data.databases import fault
from tests.layers.contract import raises, round_trip, values
from tests.layers.harness import layer_of, module_of, shapes_of


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def passes(layer, *bottoms, count=1, training=False):
    module = module_of(layer, shapes_of(bottoms), 0).train(training)
    for _ in range(count):
        assert module(*bottoms) == ()
    return sorted(str(path) for path in Path().rglob("*.mat"))


def test_variables():
    blobs = values(2, 3, 4, 5).float(), values(1, 6).float()
    files = passes(MatWrite(prefix="a/x_"), *blobs)
    assert files == ["a/x_iter_0_blob_0.mat", "a/x_iter_0_blob_1.mat"]
    first, second = (scipy.io.loadmat(file)["data"] for file in files)
    assert (first.dtype, first.shape, second.shape) == (np.float32, (5, 4, 3, 2), (1, 1, 6, 1))
    for n, c, h, w in np.ndindex(2, 3, 4, 5):
        assert first[w, h, c, n] == blobs[0][n, c, h, w]
    np.testing.assert_array_equal(second.ravel(), blobs[1][0])


@pytest.mark.parametrize("training", [False, True])
def test_names_by_pass(training):
    x = values(1, 2, 3, 4)
    assert passes(MatWrite(period=2), x, count=5, training=training) == [
        "iter_0_blob_0.mat",
        "iter_2_blob_0.mat",
        "iter_4_blob_0.mat",
    ]


def test_names_of_a_list():
    Path("list").write_text("one.jpg 3\n\ntwo.jpg\n")
    layer = MatWrite(prefix="out/", source="list", strip=4)
    x = values(1, 2, 3, 4)
    assert passes(layer, x, count=2) == ["out/one_blob_0.mat", "out/two_blob_0.mat"]
    with raises("E408", "`list` has 2 names, and this is pass 3"):
        passes(layer, x, count=3)
    with raises("E501", "cannot read `none`"):
        passes(MatWrite(source="none"), x)
    with raises("E501", "has no more than the 7 characters"):
        passes(MatWrite(source="list", strip=7), x)
    with pytest.raises(ValueError, match="binary"):
        mat_names(b"a\0b", 0)


NET = """
layer { name: "x" type: "DummyData" top: "x" dummy_data_param { shape { dim: 1 dim: 2 } } }
layer { name: "w" type: "MatWrite" bottom: "x" mat_write_param { prefix: "w_" } }
"""


def test_who_may_write(capsys):
    with pytest.warns(NetcWarning, match="layer `w` writes no file"):
        net = netc.load(Source("net", NET))
    net.evaluate({}, ["x"])
    assert not list(Path().glob("*.mat"))
    Path("net.prototxt").write_text(NET)
    Path("w_iter_0_blob_0.mat").write_text("another program's")
    caffe.Net("net.prototxt", caffe.TEST).save("net.caffemodel")
    command = ["test", "net.prototxt", "--weights", "net.caffemodel", "--iterations", "2"]
    assert main(command) == 1
    assert "E412" in capsys.readouterr().err
    assert Path("w_iter_0_blob_0.mat").read_text() == "another program's"
    assert main([*command, "--overwrite"]) == 0
    assert scipy.io.loadmat("w_iter_0_blob_0.mat")["data"].shape == (1, 1, 2, 1)
    assert Path("w_iter_1_blob_0.mat").exists()


def save(name, array, **others):
    scipy.io.savemat(name, {"data": array, **others})


def opened(layer, tops=1, **settings):
    return contextlib.closing(open_source(layer, "TEST", tops=[f"t{i}" for i in range(tops)], **settings))


@pytest.mark.parametrize("source", ["list", ""])
def test_what_is_written_is_read(source):
    Path("list").write_text("a.jpg\nb.jpg\nc.jpg\n")
    blobs = [(values(1, 3, 4, 5, seed=i).float(), values(1, 7, seed=i).float()) for i in range(3)]
    settings = {"prefix": "p/", "source": source, "strip": 4 if source else 0}
    module = module_of(MatWrite(**settings), ((1, 3, 4, 5), (1, 7)), 0)
    for pair in blobs:
        module(*pair)
    layer = MatRead(**settings, batch_size=2)
    with opened(layer, 2) as reader:
        assert reader.record_shapes == ((3, 4, 5), (7, 1, 1))
        assert reader.epoch_size() == (3 if source else None)
        for pair in ((0, 1), (2, 0)) if source else ((0, 1),):
            first, second = reader.next_batch().tops
            np.testing.assert_array_equal(first, torch.cat([blobs[i][0] for i in pair]))
            np.testing.assert_array_equal(second[:, :, 0, 0], torch.cat([blobs[i][1] for i in pair]))
        if not source:
            with fault("E504", "`p/iter_3_blob_0.mat`"):
                reader.next_batch()
    assert layer.batch(reader.record_shapes, 2) == ((2, 3, 4, 5), (2, 7, 1, 1))


@pytest.mark.parametrize(
    ("array", "text"),
    [
        (np.zeros((2, 3)), "float64 numbers, expected single precision"),
        (np.zeros((2, 3, 4, 2), np.float32), "2x3x4x2, expected one item"),
        (np.zeros((2, 0), np.float32), "empty"),
    ],
)
def test_bad_variables(array, text):
    save("iter_0_blob_0.mat", array)
    with fault("E504", "`iter_0_blob_0.mat`", text):
        opened(MatRead()).__enter__()


def test_bad_files():
    with fault("E501", "`none` cannot be read"):
        opened(MatRead(source="none"))
    Path("list").write_text("\n\n")
    with fault("E502", "list `list` is empty"):
        opened(MatRead(source="list"))
    Path("iter_0_blob_0.mat").write_text("no MATLAB file at all")
    with fault("E504", "cannot read it as a MATLAB file"):
        opened(MatRead())
    save("iter_0_blob_0.mat", np.zeros((2, 3, 4), np.float32))
    save("iter_1_blob_0.mat", np.zeros((2, 3, 5), np.float32))
    save("iter_2_blob_0.mat", np.ones((2, 3, 4), np.float32))
    with opened(MatRead(batch_size=2)) as reader, fault("E504", "has a blob of 5x3x2, the first one is 4x3x2"):
        reader.next_batch()
    with opened(MatRead(batch_size=2), skip_bad=True) as reader:
        (found,) = reader.next_batch().tops
        assert found.reshape(2, -1).mean(1).tolist() == [0, 1]
        assert "iter_1_blob_0.mat" in reader.skipped


def test_shapes_and_parameters():
    assert round_trip("MatWrite", prefix="a", source="b", strip=4, period=3) == MatWrite("a", "b", 4, 3)
    assert round_trip("MatRead", prefix="a", source="b", strip=4, batch_size=3) == MatRead("a", "b", 4, 3)
    assert layer_of("MatRead", {"mat_read_param": {"reshape": True}}) == MatRead()
    assert MatWrite().infer(((1, UNKNOWN), ()), 0) == ()
    assert repr(MatRead(batch_size=2).batch(None, 1)) == "((2, ?, ?, ?),)"
    with raises("E102", "expected a bottom with up to 4 axes"):
        MatWrite().infer(((1,) * 5,), 0)
    for kind in ("mat_write_param", "mat_read_param"):
        with raises("E103", "`strip` is -1"):
            layer_of("MatWrite" if "write" in kind else "MatRead", {kind: {"strip": -1}})
    with raises("E103", "`period` is 0"):
        layer_of("MatWrite", {"mat_write_param": {"period": 0}})
    with raises("E103", "`batch_size` must be positive"):
        layer_of("MatRead", {"mat_read_param": {"batch_size": 0}})
