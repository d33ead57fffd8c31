from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

import netc
from netc.weights import BlobArray, LayerBlobs, Weights, write_blob, write_caffemodel

INFOGAIN = """
layer { name: "in" type: "Input" top: "x" top: "label" input_param { shape { dim: 4 dim: 3 } shape { dim: 4 } } }
layer { name: "loss" type: "InfogainLoss" bottom: "x" bottom: "label" top: "loss"
        infogain_loss_param { source: "matrix.binaryproto" } }
"""


def test_an_infogain_matrix_is_read_from_its_file(tmp_path):
    random = np.random.default_rng(3)
    matrix = random.random((3, 3), np.float32)
    write_blob(tmp_path / "matrix.binaryproto", matrix)
    (tmp_path / "net.prototxt").write_text(INFOGAIN)
    net = netc.load(tmp_path / "net.prototxt")
    scores, labels = random.random((4, 3), np.float32), np.array([2, 0, 1, 1])
    log = torch.log_softmax(torch.from_numpy(scores), 1).numpy()
    expected = -(matrix[labels] * log).sum() / 4
    assert net.run(x=scores, label=labels)["loss"] == pytest.approx(expected, rel=1e-5)


def test_a_missing_infogain_matrix_is_an_error_at_its_layer(tmp_path):
    (tmp_path / "net.prototxt").write_text(INFOGAIN)
    with pytest.raises(netc.NetcError) as caught:
        netc.load(tmp_path / "net.prototxt")
    found = caught.value.diagnostics[0]
    assert found.code == "E401"
    assert found.line == 3


def test_a_file_is_not_read_where_a_bottom_is_the_infogain_matrix(tmp_path):
    third = 'layer { name: "h" type: "Input" top: "h" input_param { shape { dim: 3 dim: 3 } } }\n'
    (tmp_path / "net.prototxt").write_text(third + INFOGAIN.replace('bottom: "label"', 'bottom: "label" bottom: "h"'))
    net = netc.load(tmp_path / "net.prototxt")
    scores = np.random.default_rng(3).random((4, 3), np.float32)
    labels, matrix = np.array([2, 0, 1, 1]), np.eye(3, dtype=np.float32)
    expected = -torch.log_softmax(torch.from_numpy(scores), 1).numpy()[range(4), labels].mean()
    assert net.run(x=scores, label=labels, h=matrix)["loss"] == pytest.approx(expected, rel=1e-5)


def test_a_shape_for_what_is_no_input_is_an_error(tmp_path):
    (tmp_path / "net.prototxt").write_text(
        'layer { name: "in" type: "Input" top: "data" }\n'
        'layer { name: "relu" type: "ReLU" bottom: "data" top: "relu" }\n'
    )
    assert netc.load(tmp_path / "net.prototxt", shapes={"data": (2, 3)}).run(np.ones((2, 3)))["relu"].shape == (2, 3)
    for name, help in (("dta", "did you mean `data`?"), ("relu", None)):
        with pytest.raises(netc.NetcError, match=f"shape given for `{name}`, which is not an input") as caught:
            netc.load(tmp_path / "net.prototxt", shapes={name: (2, 3)})
        assert caught.value.diagnostics[0].code == "E100"
        assert caught.value.diagnostics[0].help == help


def test_weights_of_a_layer_whose_bottom_has_an_unknown_number_of_axes_are_an_error(tmp_path):
    (tmp_path / "net.prototxt").write_text(
        'layer { name: "x" type: "Input" top: "x" }\n'
        'layer { name: "fc" type: "InnerProduct" bottom: "x" top: "fc" inner_product_param { num_output: 4 } }\n'
    )
    with pytest.raises(netc.NetcError, match="layer `fc`") as caught:
        netc.load(tmp_path / "net.prototxt")
    assert caught.value.diagnostics[0].code == "E203"
    assert netc.load(tmp_path / "net.prototxt", shapes={"x": (2, 3)}).fc.weight.shape == (4, 3)


TWO_LAYERS = """
layer { name: "in" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 } } }
layer { name: "one" type: "InnerProduct" bottom: "data" top: "one" inner_product_param { num_output: 2 } }
layer { name: "two" type: "InnerProduct" bottom: "one" top: "two" inner_product_param { num_output: 4 } }
"""


def save_layers(path, **layers):
    blobs = {
        name: tuple(BlobArray(np.full(shape, 5, np.float32)) for shape in shapes) for name, shapes in layers.items()
    }
    write_caffemodel(path, Weights(tuple(LayerBlobs(name, "InnerProduct", held) for name, held in blobs.items())))
    return path


@pytest.fixture
def two_layers(tmp_path):
    (tmp_path / "net.prototxt").write_text(TWO_LAYERS)
    return tmp_path / "net.prototxt"


def test_a_weights_file_that_fits_no_layer_is_a_warning(two_layers, tmp_path):
    other = save_layers(tmp_path / "other.caffemodel", three=((7, 3), (7,)))
    with pytest.warns(UserWarning, match="has weights for no layer of the net") as seen:
        net = netc.load(two_layers, other)
    assert Path(seen[0].filename) == Path(__file__), "the warning points at the caller"
    (found,) = net.report.warnings
    assert found.code == "W411"
    assert found.notes == ("layers of the net with weights: `one`, `two`", "layers of the file with weights: `three`")
    with pytest.raises(netc.NetcError, match="has weights for no layer of the net") as caught:
        netc.load(two_layers, other, strict=True)
    assert [one.code for one in caught.value.diagnostics] == ["E306"]


def test_each_of_several_files_has_to_fit_a_layer(two_layers, tmp_path):
    both = save_layers(tmp_path / "both.caffemodel", one=((2, 3), (2,)), two=((4, 2), (4,)))
    other = save_layers(tmp_path / "other.caffemodel", three=((7, 3), (7,)))
    with pytest.warns(UserWarning, match="other.caffemodel"):
        net = netc.load(two_layers, [both, other])
    assert net.run(np.zeros((1, 3)))["two"].tolist() == [[55, 55, 55, 55]]
    with pytest.raises(netc.NetcError, match=r"other\.caffemodel"):
        netc.load(two_layers, [both, other], strict=True)


def test_layers_without_weights_are_reported(two_layers, tmp_path):
    first = save_layers(tmp_path / "first.caffemodel", one=((2, 3), (2,)), auxiliary=((1, 1),))
    second = save_layers(tmp_path / "second.caffemodel", two=((4, 2), (4,)))
    net = netc.load(two_layers, first)
    assert [(found.code, found.notes) for found in net.report.warnings] == [("W802", ("`two`",))]
    assert netc.load(two_layers, [first, second], strict=True).report.warnings == []
    assert netc.load(two_layers).report.warnings == []
    for files in (first, None):
        with pytest.raises(netc.NetcError, match=r"no file has the weights of [12] layers?"):
            netc.load(two_layers, files, strict=True)


def test_the_report_has_the_warnings_of_the_files(tmp_path):
    (tmp_path / "net.prototxt").write_text(
        'layer { name: "in" type: "Data" top: "data" data_param { source: "nothere" batch_size: 2 backend: LMDB } }\n'
        'layer { name: "relu" type: "ReLU" bottom: "data" top: "relu" }\n'
    )
    net = netc.load(tmp_path / "net.prototxt")
    assert [found.code for found in net.report.warnings] == ["W020"]
    assert [found.code for found in netc.load(tmp_path / "net.prototxt", fold=True).report.warnings] == ["W020"]


def test_unknown_weights_name_the_missing_database(tmp_path):
    (tmp_path / "net.prototxt").write_text(
        'layer { name: "in" type: "Data" top: "data" top: "label"\n'
        '  data_param { source: "nothere" batch_size: 2 backend: LMDB } transform_param { crop_size: 8 } }\n'
        'layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip" inner_product_param { num_output: 2 } }\n'
    )
    with pytest.raises(netc.NetcError) as caught:
        netc.load(tmp_path / "net.prototxt")
    (found,) = caught.value.diagnostics
    assert (found.code, found.line) == ("E203", 3)
    assert found.message == "weights of layer `ip` depend on an unknown extent: no database `nothere`"
    assert pickle.loads(pickle.dumps(caught.value)).diagnostics[0].message == found.message
    assert found.help == "set the data's shape: `--shape data=2,c,8,8`"


PYTHON_DATA = """
layer { name: "load" type: "Python" top: "data" top: "label" python_param { module: "absent" layer: "Loader" } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
        convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "conv" bottom: "label" top: "loss" }
"""


def test_tops_of_a_python_layer_without_bottoms_are_inputs(tmp_path):
    (tmp_path / "net.prototxt").write_text(PYTHON_DATA)
    net = netc.load(tmp_path / "net.prototxt", shapes={"data": (2, 3, 9, 8), "label": (2, 1, 7, 6)}, seed=1)
    assert net.inputs == ("data", "label")
    images, labels = np.random.default_rng(3).random((2, 3, 9, 8), np.float32), np.full((2, 1, 7, 6), 2)
    scores = net.run({"data": images}, ["conv"])["conv"]
    expected = -torch.log_softmax(torch.from_numpy(scores), 1)[:, 2].mean()
    assert net.run(data=images, label=labels)["loss"] == pytest.approx(float(expected), rel=1e-5)
    assert netc.load(tmp_path / "net.prototxt", shapes={"data": (2, 3, 9, 8)}).inputs == ("data", "label")


def test_a_python_layer_asks_for_the_shapes_of_its_tops(tmp_path):
    (tmp_path / "net.prototxt").write_text(PYTHON_DATA)
    for shapes in (None, {"label": (2, 1, 7, 6)}):
        with pytest.raises(netc.NetcError, match="running class `Loader` of Python module `absent`") as caught:
            netc.load(tmp_path / "net.prototxt", shapes=shapes)
        (found,) = caught.value.diagnostics
        assert (found.code, found.line) == ("E201", 2)
        label = "" if shapes else " `--shape label=...`"
        assert found.help.endswith(f"its tops are inputs if you pass their shapes: `--shape data=n,c,h,w`{label}")


def test_a_python_layer_with_bottoms_is_named_where_weights_depend_on_it(tmp_path):
    (tmp_path / "net.prototxt").write_text(
        'layer { name: "in" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 } } }\n'
        'layer { name: "py" type: "Python" bottom: "data" top: "py" '
        'python_param { module: "absent" layer: "Shift" } }\n'
        'layer { name: "relu" type: "ReLU" bottom: "py" top: "relu" }\n'
        'layer { name: "ip" type: "InnerProduct" bottom: "relu" top: "ip" inner_product_param { num_output: 2 } }\n'
    )
    with pytest.raises(netc.NetcError) as caught:
        netc.load(tmp_path / "net.prototxt")
    (found,) = caught.value.diagnostics
    assert (found.code, found.line) == ("E201", 2)
    assert "weights of layer `ip` depend on the shapes of its tops" in found.notes
    assert "--shape" not in found.help
    with pytest.raises(netc.NetcError, match="shape given for `py`, which is not an input"):
        netc.load(tmp_path / "net.prototxt", shapes={"py": (1, 3)})
