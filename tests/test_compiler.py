from __future__ import annotations

import numpy as np
import pytest
import torch

import netc
from netc.weights import write_blob

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
