"""Forms of nets that are damaged, of another net, or run on other extents: diagnostics, never a library's traceback."""

import numpy as np
import pytest

from netc.conversion.convert import convert
from netc.conversion.inputs import read_inputs
from netc.conversion.runners import open_runner
from netc.conversion.verify import verify
from netc.diagnostics import NetcError
from tests.conversion.nets import write

NET = """
layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 dim: 6 } } }
layer { name: "fc" type: "InnerProduct" bottom: "x" top: "fc" inner_product_param { num_output: 3
  weight_filler { type: "xavier" } } }
"""
SLICED = NET + 'layer { name: "cut" type: "Slice" bottom: "fc" top: "a" top: "b" slice_param { axis: 0 } }\n'
LABELED = """
layer { name: "l" type: "Input" top: "label" input_param { shape { dim: 2 } } }
layer { name: "accuracy" type: "Accuracy" bottom: "fc" bottom: "label" top: "accuracy" }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "fc" bottom: "label" top: "loss" }
"""


def error(function, *arguments, **named):
    with pytest.raises(NetcError) as caught:
        function(*arguments, **named)
    return caught.value.diagnostics[0]


def damaged(data):
    """The bytes cut short, with other bytes in the middle, and something else altogether."""
    middle = len(data) // 2
    return [b"", data[: middle + 7], data[:middle] + bytes(range(200, 256)) + data[middle + 56 :], b"\x08\xff<html>"]


@pytest.mark.parametrize(
    ("name", "codes"), [("net.onnx", {"E403"}), ("net.py", {"E402"}), ("net.npz", {"E401", "E402", "E403"})]
)
def test_a_damaged_file_is_a_diagnostic(tmp_path, name, codes):
    path = write(tmp_path, NET)
    if name == "net.npz":
        np.savez_compressed(tmp_path / name, x=np.ones((2, 6)), fc=np.ones((2, 3)))
    else:
        convert(path, to=name[4:], output=tmp_path / name)
    whole = (tmp_path / name).read_bytes()
    for data in damaged(whole):
        (tmp_path / name).write_bytes(data)
        assert error(verify, path, tmp_path / name).code in codes


def test_a_note_has_the_words_of_the_library(tmp_path):
    (tmp_path / "net.onnx").write_bytes(b"\x08\xff<html>")
    found = error(verify, write(tmp_path, NET), tmp_path / "net.onnx")
    assert found.message == f"cannot read `{tmp_path / 'net.onnx'}` as an ONNX model"
    assert found.notes[0].startswith("DecodeError")


@pytest.mark.parametrize("name", ["input.npy", "input.npz"])
def test_damaged_inputs_are_a_diagnostic(tmp_path, name):
    path = write(tmp_path, NET)
    for data in (b"", b"PK\x03\x04" + bytes(40), b"\x93NUMPY\x01\x00\xff\xff{", b"x" * 99):
        (tmp_path / name).write_bytes(data)
        assert error(read_inputs, tmp_path / name, [path], (), None).code in ("E401", "E402", "E403")


@pytest.mark.parametrize(
    "code", ["raise SystemExit(0)", "import nothing_of_this_name", "def load(): return 1", "1 / 0"]
)
def test_a_python_file_of_another_program_is_a_diagnostic(tmp_path, code):
    (tmp_path / "other.py").write_text(code)
    assert error(open_runner, tmp_path / "other.py").code == "E402"


@pytest.mark.parametrize("to", ["onnx", "py"])
def test_a_model_of_another_net(tmp_path, to):
    path = write(tmp_path, NET)
    for changes, code in (
        ({"dim: 6": "dim: 7"}, "E302"),
        ({'"x"': '"y"'}, "E302"),
        ({'"fc"': '"other"'}, "E804"),
        ({"dim: 2 dim: 6": "dim: 2 dim: 6 dim: 1"}, "E302"),
    ):
        text = NET
        for old, new in changes.items():
            text = text.replace(old, new)
        other = convert(write(tmp_path, text, "other.prototxt"), to=to, output=tmp_path / f"other.{to}").files[0]
        found = error(verify, path, other)
        assert found.code == code
        assert str(other) in " ".join([found.message, *found.notes])


def test_the_weights_of_another_net_beside_a_python_file(tmp_path):
    path = write(tmp_path, NET)
    convert(path, to="py", output=tmp_path / "net.py")
    convert(write(tmp_path, NET.replace("3", "4"), "b.prototxt"), to="safetensors", output=tmp_path / "net.safetensors")
    found = error(verify, path, tmp_path / "net.py")
    assert found.message == f"the net in `{tmp_path / 'net.py'}` cannot be loaded"


@pytest.mark.parametrize("to", ["onnx", "py"])
def test_a_fixed_batch_is_the_default_and_another_one_an_error(tmp_path, to):
    path = write(tmp_path, SLICED)
    model = convert(path, to=to, output=tmp_path / "out").files[0]
    assert verify(path, model).agrees
    assert verify(path, model, batch=2).agrees
    found = error(verify, path, model, batch=3)
    assert (found.code, found.message) == ("E302", "the first extent of `x` is fixed to 2, but the batch is 3")
    free = write(tmp_path, NET, "free.prototxt")
    assert verify(free, convert(free, to=to, output=tmp_path / "free").files[0], batch=5).agrees


@pytest.mark.parametrize("name", ["net.onnx", "net.py", "net.prototxt"])
def test_inputs_that_an_engine_refuses_are_a_diagnostic(tmp_path, name):
    path = write(tmp_path, NET)
    if name != path.name:
        convert(path, to=name[4:], output=tmp_path / name)
    found = error(open_runner(tmp_path / name).run, {"x": np.zeros((2, 7), np.float32)})
    assert found.code == "E302"
    found = error(open_runner(tmp_path / name).run, {"y": np.zeros((2, 6), np.float32)})
    assert found.message == f"input `x` of `{tmp_path / name}` is missing"


def test_labels_are_classes(tmp_path):
    path = write(tmp_path, NET + LABELED)
    convert(path, to="caffe", output=tmp_path / "out.prototxt")
    for seed in range(5):
        found = verify(path, tmp_path / "out.prototxt", other_weights=tmp_path / "out.caffemodel", batch=4, seed=seed)
        assert [one.name for one in found.differences] == ["fc", "accuracy", "loss"]
        assert found.agrees


def test_blobs_without_a_name_have_one_in_onnx(tmp_path):
    text = NET.replace('top: "fc"', 'top: ""')
    text += 'layer { name: "" type: "ReLU" bottom: "" top: "" }\nlayer { name: "t" type: "TanH" bottom: "" top: "t" }'
    path = write(tmp_path, text)
    model = convert(path, to="onnx", output=tmp_path / "out").files[0]
    found = verify(path, model, batch=3)
    assert found.agrees
    assert [one.name for one in found.differences] == ["", ".1", "t"]
