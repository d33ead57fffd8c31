"""The writers of FlowNet2: the bytes of their files, their names, and the files that they may replace."""

from __future__ import annotations

import struct
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

import netc
import netc.pycaffe as caffe
from netc.cli import main
from netc.diagnostics import NetcError
from netc.ir.dims import UNKNOWN
from netc.ir.layer import Cost
from netc.layers import _written_files, registry
from netc.layers.optical_flow.writers import FloatWriter, FloWriter, ImgWriter, PfmWriter
from netc.runtime.file_access import allow_files
from tests.layers.contract import raises, round_trip, values
from tests.layers.harness import layer_from, module_of

REQUIRED = {
    "FLOWriter": 'folder: "a"',
    "FloatWriter": 'folder: "a"',
    "ImgWriter": 'folder: "a"',
    "PFMWriter": 'folder: "a"',
}


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def written(layer, x, training=False, passes=1):
    """The content of each file that a layer writes, by name."""
    module = module_of(layer, (tuple(x.shape),), 0).train(training)
    for _ in range(passes):
        assert module(torch.as_tensor(x)) == ()
    return {str(path): path.read_bytes() for path in sorted(Path().rglob("*")) if path.is_file()}


def test_flo():
    flow = values(2, 2, 3, 4).float().numpy()
    files = written(round_trip("FLOWriter", folder="a/b", prefix="p", suffix="s"), flow)
    assert list(files) == ["a/b/p0000000(000)s.flo", "a/b/p0000000(001)s.flo"]
    for item, data in zip(flow, files.values()):
        assert data[:12] == struct.pack("<fii", 202021.25, 4, 3)
        pairs = np.frombuffer(data[12:], "<f4").reshape(3, 4, 2)
        np.testing.assert_array_equal(pairs, item.transpose(1, 2, 0))


def test_float3():
    x = values(1, 5, 3, 4).float().numpy()
    ((name, data),) = written(FloatWriter(folder="a"), x).items()
    assert name == "a/0000000.float3"
    header = b"float\n3\n4\n3\n5\n"
    assert data.startswith(header)
    np.testing.assert_array_equal(np.frombuffer(data[len(header) :], "<f4").reshape(5, 3, 4), x[0])


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_pfm(channels):
    x = values(1, channels, 3, 4).float().numpy()
    ((name, data),) = written(PfmWriter(folder="a"), x).items()
    found = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    planes = found[None] if channels == 1 else found.transpose(2, 0, 1)[::-1]
    np.testing.assert_array_equal(planes[:channels], -x[0])
    assert name == "a/0000000.pfm"
    assert not planes[channels:].any()


def test_images_with_a_factor():
    x = np.array([-3.0, 0.4, 12.7, 100.0, 300.0, np.nan], np.float32).reshape(1, 1, 2, 3)
    ((name, data),) = written(ImgWriter(folder="a", scale=2.0), x).items()
    assert (name, data) == ("a/0000000.pgm", b"P5\n3 2 \n255\n" + bytes((0, 0, 25, 200, 255, 0)))
    Path(name).unlink()
    image = np.arange(12, dtype=np.float32).reshape(1, 3, 2, 2)
    ((name, data),) = written(ImgWriter(folder="a"), image).items()
    assert data.startswith(b"P6 \n2 2 \n255\n")
    np.testing.assert_array_equal(cv2.imread(name).transpose(2, 0, 1), image[0])


def test_normalized_images():
    x = np.array([-1.0, 0.0, 3.0, np.nan], np.float32).reshape(1, 1, 2, 2)
    layer = round_trip("ImgWriter", folder="a", normalize=True)
    assert written(layer, x)["a/0000000.pgm"][-4:] == bytes((0, 63, 255, 0))
    for value in (5.0, 0.0):
        assert written(layer, np.full((1, 1, 1, 2), value, np.float32))["a/0000000.pgm"][-2:] == bytes(2)
    assert written(layer, np.array([-4.0, -2.0], np.float32).reshape(1, 1, 1, 2))["a/0000000.pgm"][-2:] == bytes(
        (0, 127)
    )
    image = np.array([0.0, 1.0, 2.0], np.float32).reshape(1, 3, 1, 1)
    assert written(layer, image)["a/0000000.ppm"] == b"P6\n1 1 \n255\n" + bytes((255, 127, 0))


def test_training_passes_are_numbered():
    x = values(1, 2, 1, 1).float()
    assert list(written(FloWriter(folder="a"), x, training=True, passes=3)) == [f"a/000000{i}.flo" for i in range(3)]
    assert list(written(FloWriter(folder="b"), x, passes=3))[3:] == ["b/0000000.flo"]


def test_one_file_for_all():
    x = values(3, 2, 1, 1).float().numpy()
    ((name, data),) = written(FloWriter(file="out/x.flo", folder="none"), x, training=True, passes=2).items()
    assert name == "out/x.flo"
    np.testing.assert_array_equal(np.frombuffer(data[12:], "<f4"), x[-1].ravel())


@pytest.mark.parametrize("kind", sorted(REQUIRED))
def test_files_of_others_are_kept(kind, monkeypatch):
    layer, x = registry()[kind](file="x"), values(1, {"FLOWriter": 2, "ImgWriter": 3}.get(kind, 1), 2, 2).float()
    Path("x").write_text("notes")
    module = module_of(layer, (tuple(x.shape),), 0)
    with raises("E412", "`x` exists, and this run did not write it"):
        module(x)
    assert Path("x").read_text() == "notes"
    allow_files(module, "none")
    assert module(x) == ()
    assert Path("x").read_text() == "notes"
    allow_files(module, "any")
    module(x)
    allow_files(module, "own")
    module(x)
    assert Path("x").read_bytes() != b"notes"
    monkeypatch.setattr(_written_files, "_WRITTEN", set())
    with raises("E412", "did not write it"):
        module(x)
    assert [path.name for path in Path().iterdir()] == ["x"]


def test_files_that_cannot_be_written():
    x = values(1, 2, 2, 2).float()
    Path("folder").mkdir()
    Path("file").write_text("")
    for name, text in (
        ("folder", "it is not a regular file"),
        ("file/x", "file exists"),
        ("n" * 300, "file name too long"),
        ("a\0b", ""),
    ):
        with raises("E408", f"cannot write `{name}`: {text}"):
            module_of(FloWriter(file=name), ((1, 2, 2, 2),), 0)(x)
    assert sorted(path.name for path in Path().iterdir()) == ["file", "folder"]


def test_a_write_that_fails_leaves_the_old_file(monkeypatch):
    x = values(1, 2, 2, 2).float()
    module = module_of(FloWriter(file="x.flo"), ((1, 2, 2, 2),), 0)
    module(x)
    before = Path("x.flo").read_bytes()

    def replace(self, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", replace)
    with raises("E408", "no space left on device"):
        module(2 * x)
    assert Path("x.flo").read_bytes() == before
    assert [path.name for path in Path().iterdir()] == ["x.flo"]


def test_shapes():
    assert FloWriter(folder="a").infer(((2, UNKNOWN, 3, 4),), 0) == ()
    assert FloatWriter(folder="a").infer(((2, 9, 3, 4),), 0) == ()
    assert FloWriter(folder="a").cost(((2, 2, 3, 4),), ()) == Cost()
    for layer, shape, text in (
        (FloWriter(folder="a"), (2, 3, 4, 5), "`FLOWriter` expects 2 channels, got 3"),
        (ImgWriter(folder="a"), (2, 2, 4, 5), "`ImgWriter` expects 1 or 3 channels, got 2"),
        (PfmWriter(folder="a"), (2, 4, 4, 5), "`PFMWriter` expects 1 or 2 or 3 channels, got 4"),
        (FloatWriter(folder="a"), (2, 4), "4 axes"),
    ):
        with raises("E102", text):
            layer.infer((shape,), 0)
    with raises("E101", "`file` and `folder` are missing"):
        layer_from("FLOWriter", prefix="a")


def test_the_number_of_passes_is_state():
    module = module_of(FloWriter(folder="a"), ((1, 2, 1, 1),), 0).train()
    for _ in range(2):
        module(torch.zeros(1, 2, 1, 1))
    module.eval()(torch.zeros(1, 2, 1, 1))
    (entry,) = module.layer.state_entries(((1, 2, 1, 1),))
    assert (list(module.state), module.state[entry.name].item()) == ([entry.name], 2)


NET = """
layer { name: "data" type: "DummyData" top: "flow" dummy_data_param { shape { dim: 1 dim: 2 dim: 3 dim: 4 }
  data_filler { type: "gaussian" } } }
layer { name: "out" type: "FLOWriter" bottom: "flow" writer_param { folder: "flows" prefix: "f" } }
"""


def test_a_net_writes_where_it_may(capsys):
    Path("net.prototxt").write_text(NET)
    net = caffe.Net("net.prototxt", caffe.TEST)
    for _ in range(2):
        net.forward()
    (path,) = Path("flows").iterdir()
    assert path.name == "f0000000.flo"
    expected = net.blobs["flow"].data[0].transpose(1, 2, 0).ravel()
    np.testing.assert_array_equal(np.frombuffer(path.read_bytes()[12:], "<f4"), expected)
    path.unlink()
    with pytest.warns(netc.diagnostics.NetcWarning, match="layer `out` writes no file"):
        netc.load("net.prototxt")
    assert not list(Path("flows").iterdir())
    net.save("net.caffemodel")
    assert main(["test", "net.prototxt", "--weights", "net.caffemodel", "--iterations", "2"]) == 0, capsys.readouterr()
    assert [path.name for path in Path("flows").iterdir()] == ["f0000000.flo"]


def test_errors_name_the_layer():
    Path("net.prototxt").write_text(NET.replace('"flows"', '"net.prototxt"'))
    with pytest.raises(NetcError) as caught:
        caffe.Net("net.prototxt", caffe.TEST).forward()
    (found,) = caught.value.diagnostics
    assert (found.code, found.notes) == ("E408", ("in layer `out`",))
    assert found.line == 4
