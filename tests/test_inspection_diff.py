"""netc diff: nets by meaning."""

from __future__ import annotations

import json

import pytest

import netc
from netc.diagnostics import Source
from netc.inspection import diff

NET = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 dim: 9 dim: 11 } } }
layer {
  name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "xavier" } }
}
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "pool" type: "Pooling" bottom: "conv" top: "pool" pooling_param { kernel_size: 2 stride: 2 } }
layer { name: "fc" type: "InnerProduct" bottom: "pool" top: "fc" inner_product_param { num_output: 5 } }
"""


def changed(other: str, one: str = NET) -> list[str]:
    return str(diff(Source("one", one), Source("other", other))).splitlines()


SAME = ["the nets are equivalent"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("kernel_size: 3", "kernel_h: 3 kernel_w: 3"),
        ("kernel_size: 3", "kernel_size: 3 stride: 1 group: 1 dilation: 1"),
        ('"conv"', '"another"'),  # blobs and layers of one name alike: blobs have no meaning, see below for layers
        ('bottom: "conv" top: "conv"', 'bottom: "conv" top: "relu"'),
        ("\nlayer {", "\n# a comment\nlayer {"),
    ],
)
def test_what_means_the_same(old, new):
    other = NET.replace(old, new)
    if old == '"conv"':
        other = other.replace('name: "another"', 'name: "conv"')
    if "relu" in new:
        other = other.replace('type: "Pooling" bottom: "conv"', 'type: "Pooling" bottom: "relu"')
    assert other != NET
    assert changed(other) == SAME
    assert not diff(Source("one", NET), Source("other", other))


def test_the_order_of_independent_layers_means_nothing():
    a, b = (f'layer {{ name: "{n}" type: "ReLU" bottom: "fc" top: "{n}" }}\n' for n in "ab")
    assert changed(NET + b + a, NET + a + b) == SAME


def test_a_parameter_and_the_shapes_that_follow():
    assert changed(NET.replace("kernel_size: 3", "kernel_size: 5")) == [
        "~ conv (Convolution)",
        "    kernel: 3 -> 5",
        "    shape: [2,4,7,9] -> [2,4,5,7]",
        "~ relu (ReLU)",
        "    shape: [2,4,7,9] -> [2,4,5,7]",
        "~ pool (Pooling)",
        "    shape: [2,4,4,5] -> [2,4,3,4]",
    ]


def test_a_nested_parameter():
    other = NET.replace('type: "xavier"', 'type: "gaussian" std: 0.01')
    assert changed(other) == [
        "~ conv (Convolution)",
        "    weight_filler.type: xavier -> gaussian",
        "    weight_filler.std: 1 -> 0.01",
    ]


def test_a_layer_put_in_or_taken_out_is_told_once():
    drop = 'layer { name: "drop" type: "Dropout" bottom: "pool" top: "pool" }\n'
    apart = drop.replace('top: "pool"', 'top: "drop"')
    fc = NET.index('layer { name: "fc"')
    for other in (NET[:fc] + drop + NET[fc:], NET[:fc] + apart + NET[fc:].replace('bottom: "pool"', 'bottom: "drop"')):
        assert changed(other) == ["+ drop (Dropout)", "    [2,4,4,5] -> [2,4,4,5]"]
        assert changed(NET, other) == ["- drop (Dropout)", "    [2,4,4,5] -> [2,4,4,5]"]


def test_a_renamed_layer_is_known_by_what_it_does():
    assert changed(NET.replace('name: "conv"', 'name: "conv1"')) == ["~ conv (Convolution) is now conv1"]
    both = NET.replace('name: "conv"', 'name: "conv1"').replace('name: "pool"', 'name: "pool1"')
    assert changed(both) == ["~ conv (Convolution) is now conv1", "~ pool (Pooling) is now pool1"]
    other = NET.replace('name: "conv"', 'name: "conv1"').replace("num_output: 4", "num_output: 6")
    assert changed(other)[:4:2] == ["- conv (Convolution)", "~ relu (ReLU)"]


def test_a_bottom_that_comes_from_elsewhere():
    assert changed(NET.replace('bottom: "pool"', 'bottom: "conv"')) == [
        "~ fc (InnerProduct)",
        "    bottoms: pool -> conv",
    ]


def test_another_type_and_the_settings_of_blobs():
    other = NET.replace('type: "ReLU"', 'type: "TanH"').replace(
        'bottom: "pool" top', 'param { lr_mult: 0 } bottom: "pool" top'
    )
    assert changed(other) == [
        "~ relu (ReLU)",
        "    type: ReLU -> TanH",
        "~ fc (InnerProduct)",
        "    param 0 lr_mult: 1 -> 0",
    ]


def test_a_loss_weight():
    loss = 'layer { name: "loss" type: "EuclideanLoss" bottom: "fc" bottom: "fc" top: "loss" }'
    assert changed(NET + loss.replace("top:", "loss_weight: 3 top:"), NET + loss) == [
        "~ loss (EuclideanLoss)",
        "    loss_weight: 1 -> 3",
    ]


def test_one_phase():
    other = NET + 'layer { name: "prob" type: "Softmax" bottom: "fc" top: "prob" include { phase: TEST } }'
    assert changed(other) == ["+ prob (Softmax)", "    [2,5] -> [2,5]", "    only in the TEST net"]


def test_json():
    other = NET.replace('name: "conv"', 'name: "conv1"')
    (change,) = json.loads(diff(Source("one", NET), Source("other", other)).to_json())
    assert change == {
        "kind": "renamed", "layer": "conv", "type": "Convolution", "name": "conv1", "details": [], "phase": None
    }  # fmt: skip


def test_a_solver_and_a_faulty_net_are_errors():
    with pytest.raises(netc.NetcError, match="is a solver"):
        diff(Source("one", 'net: "x"'), Source("other", NET))
    with pytest.raises(netc.NetcError) as caught:
        diff(Source("one", NET), Source("other", NET.replace('bottom: "pool"', 'bottom: "pol"')))
    assert caught.value.diagnostics[0].code == "E011"


def test_a_file_for_training_alone():
    train = NET.replace('top: "data" input', 'top: "data" include { phase: TRAIN } input')
    assert changed(train, train) == SAME
    assert changed(train.replace("num_output: 5", "num_output: 6"), train)[1] == "    num_output: 5 -> 6"
