from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import netc
from netc.diagnostics import NetcError
from netc.ir.filler import Filler
from netc.runtime.fillers import fill, generator_of
from netc.weights import BlobArray, LayerBlobs, Weights, write_caffemodel

SHAPE = (40, 30, 5, 7)


def filled(filler, shape=SHAPE):
    tensor = torch.full(shape, torch.nan)
    fill(tensor, filler, shape, generator_of(5))
    return tensor


def test_constant():
    assert filled(Filler(value=0.25)).eq(0.25).all()


def test_uniform():
    x = filled(Filler("uniform", min=-2, max=6))
    assert -2 <= x.min() < -1.99
    assert 5.99 < x.max() <= 6
    assert x.mean().item() == pytest.approx(2, abs=0.05)


def test_gaussian():
    x = filled(Filler("gaussian", mean=3, std=0.5))
    assert x.mean().item() == pytest.approx(3, abs=0.01)
    assert x.std().item() == pytest.approx(0.5, rel=0.02)


def test_sparse_gaussian_keeps_the_expected_number_of_inputs():
    x = filled(Filler("gaussian", std=1, sparse=10))
    assert x.ne(0).float().mean().item() == pytest.approx(10 / 40, abs=0.01)


def test_positive_unitball_rows_sum_to_one():
    x = filled(Filler("positive_unitball"))
    assert x.min() >= 0
    torch.testing.assert_close(x.flatten(1).sum(1), torch.ones(40))


FANS = [("FAN_IN", 30 * 35), ("FAN_OUT", 40 * 35), ("AVERAGE", 35 * 35)]


@pytest.mark.parametrize(("norm", "fan"), FANS)
def test_xavier(norm, fan):
    x = filled(Filler("xavier", variance_norm=norm))
    bound = math.sqrt(3 / fan)
    assert bound * 0.999 < x.max() <= bound
    assert x.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.02)


@pytest.mark.parametrize(("norm", "fan"), FANS)
def test_msra(norm, fan):
    assert filled(Filler("msra", variance_norm=norm)).std().item() == pytest.approx(math.sqrt(2 / fan), rel=0.02)


def test_bilinear_interpolates():
    x = filled(Filler("bilinear"), (3, 1, 4, 4))
    ramp = torch.tensor([0.25, 0.75, 0.75, 0.25])
    for kernel in x.flatten(0, 1):
        torch.testing.assert_close(kernel, ramp[:, None] * ramp)
    with pytest.raises(NetcError, match="square"):
        filled(Filler("bilinear"), (3, 1, 4, 5))


def test_msra_with_a_slope():
    assert filled(Filler("msra", negative_slope=3.0)).std().item() == pytest.approx((0.2 / 1050) ** 0.5, rel=0.02)


def test_diagonal_scales_each_channel():
    x = filled(Filler("diagonal", diag_val=(20.0, 5.0)), (4, 3, 1, 2))
    kernels = torch.zeros(4, 3)
    kernels[[0, 1, 2], [0, 1, 2]] = torch.tensor([20.0, 5.0, 1.0])
    torch.testing.assert_close(x, (kernels / 2)[..., None, None].expand(4, 3, 1, 2))
    assert filled(Filler("diagonal"), (3,)).tolist() == [1, 0, 0]


FROM_FILE = """
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 dim: 2 } } }
layer { name: "fc" type: "InnerProduct" bottom: "x" top: "y" inner_product_param { num_output: 3
        weight_filler { type: "file" file: "w.txt" } bias_filler { type: "constant" value: 0.5 } } }
"""


@pytest.fixture
def net_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.prototxt").write_text(FROM_FILE)
    return tmp_path / "net.prototxt"


def test_numbers_of_a_file_in_order_and_other_fillers_of_the_layer(net_file):
    net_file.with_name("w.txt").write_text("1 2\n3e1 -4 5 6 7\n")
    net = netc.load(net_file)
    assert net.module("fc").weight.tolist() == [[1, 2], [30, -4], [5, 6]]
    assert net.module("fc").bias.tolist() == [0.5] * 3


def test_a_file_is_found_next_to_the_net(net_file, monkeypatch):
    net_file.with_name("w.txt").write_text("1 " * 6)
    monkeypatch.chdir(net_file.parent.parent)
    assert netc.load(net_file).module("fc").weight.eq(1).all()


@pytest.mark.parametrize(
    ("content", "message"), [("1 2 3 x 5 6", "6 numbers for .3,2., the file has 3"), (None, "w.txt")]
)
def test_a_file_without_the_numbers_is_an_error_of_its_layer(net_file, content, message):
    if content:
        net_file.with_name("w.txt").write_text(content)
    with pytest.raises(NetcError, match=message) as caught:
        netc.load(net_file)
    found = caught.value.diagnostics[0]
    assert (found.code, found.line) == ("E105" if content else "E501", 3)


def test_weights_from_a_file_need_no_filler(net_file, tmp_path):
    blobs = tuple(BlobArray(np.ones(shape, np.float32)) for shape in ((3, 2), (3,)))
    write_caffemodel(tmp_path / "w.caffemodel", Weights((LayerBlobs("fc", "InnerProduct", blobs),)))
    assert netc.load(net_file, tmp_path / "w.caffemodel").module("fc").weight.eq(1).all()


def test_a_missing_file_of_a_filler_is_reported_by_check(net_file):
    (found,) = netc.check(net_file)
    assert (found.code, found.line, found.message) == ("W020", 4, "the file of numbers `w.txt` does not exist")


def test_a_filler_without_its_file_is_an_error(net_file):
    net_file.write_text(FROM_FILE.replace('file: "w.txt"', ""))
    (found,) = netc.check(net_file)
    assert (found.code, found.line) == ("E103", 4)
    dummy = 'layer { name: "d" type: "DummyData" top: "d" dummy_data_param { shape { dim: 2 } data_filler { %s } } }'
    net_file.write_text(dummy % 'type: "file" file: "w.txt"')
    assert netc.check(net_file)[0].message == "filler `file` is supported for weights only"


def test_a_file_does_not_fill_blobs_of_other_sizes():
    with pytest.raises(NetcError, match="as the net file defines it"):
        filled(Filler("file", file="w.txt"))


def test_bilinear_interpolation_of_each_channel_alone():
    x = filled(Filler("bilinear_diagonal"), (3, 4, 4, 4))
    kernel = filled(Filler("bilinear"), (1, 1, 4, 4))[0, 0]
    for output in range(3):
        for channel in range(4):
            torch.testing.assert_close(x[output, channel], kernel * (output == channel))
    with pytest.raises(NetcError, match="`bilinear_diagonal` expects a blob of 4 axes with square kernels"):
        filled(Filler("bilinear_diagonal"), (3, 1, 4, 5))


def test_a_tensor_of_another_shape_is_filled_in_the_same_order():
    shape = (6, 4)
    tensor, flat = torch.empty(4, 6).T.contiguous(), torch.empty(24)
    fill(tensor, Filler("xavier"), shape, generator_of(5))
    fill(flat, Filler("xavier"), shape, generator_of(5))
    assert torch.equal(tensor.flatten(), flat)


def test_an_empty_blob_is_unchanged():
    assert filled(Filler("xavier"), (0, 3)).numel() == 0
