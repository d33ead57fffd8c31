"""Folding keeps the results, and leaves what it may not touch."""

import numpy as np
import pytest

from netc.conversion.models import net_of
from netc.passes.fold_batch_norm import fold_batch_norm
from tests.conversion.nets import MIXED, close, inputs_of, trained, write

HEAD = 'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 6 dim: 5 dim: 4 } } }\n'
CONV = 'layer {{ name: "{0}" type: "Convolution" bottom: "{1}" top: "{0}" convolution_param {{ {2} }} {3} }}\n'
BN = 'layer {{ name: "bn_{0}" type: "BatchNorm" bottom: "{0}" top: "{1}" }}\n'


def types(model):
    return [node.layer.type for node in model.nodes]


def same(model, folded):
    feed = inputs_of(model, 3)
    for (name, one), (other_name, other) in zip(net_of(model).run(feed).items(), net_of(folded).run(feed).items()):
        assert name == other_name
        assert close(one, other)


def test_foldable_layers_are_folded(tmp_path):
    model = trained(write(tmp_path, MIXED))
    folded = fold_batch_norm(model)
    same(model, folded)
    left = types(folded)
    assert "BatchNorm" not in left
    assert left.count("Scale") == 1, "the BatchNorm after the Concat becomes one Scale"
    (scale,) = [node for node in folded.nodes if node.layer.type == "Scale"]
    assert scale.layer.bias_term
    assert len(folded.arrays(next(n for n in folded.nodes if n.name == "conv1"))) == 2


@pytest.mark.parametrize(
    "layer",
    [
        'type: "Convolution" convolution_param { num_output: 4 kernel_size: 3 group: 2 bias_term: false }',
        'type: "Deconvolution" convolution_param { num_output: 6 kernel_size: 2 group: 3 }',
        'type: "InnerProduct" inner_product_param { num_output: 4 transpose: true }',
        'type: "InnerProduct" inner_product_param { num_output: 4 bias_term: false }',
    ],
)
def test_each_layer_that_takes_factors(tmp_path, layer):
    text = HEAD + f'layer {{ name: "a" bottom: "data" top: "a" {layer} }}\n' + BN.format("a", "b")
    model = trained(write(tmp_path, text + 'layer { name: "s" type: "Scale" bottom: "b" top: "b" }\n'))
    folded = fold_batch_norm(model)
    assert len(folded.nodes) == 1
    same(model, folded)


def test_layers_that_others_read_or_share_are_kept(tmp_path):
    read_twice = CONV.format("a", "data", "num_output: 4 kernel_size: 1", "") + BN.format("a", "b")
    read_twice += 'layer { name: "sum" type: "Eltwise" bottom: "a" bottom: "b" top: "sum" }\n'
    model = trained(write(tmp_path, HEAD + read_twice))
    folded = fold_batch_norm(model)
    assert types(folded) == ["Convolution", "Scale", "Eltwise"]
    same(model, folded)

    share = 'param { name: "w" } param { name: "v" }'
    pair = "".join(CONV.format(n, "data", "num_output: 4 kernel_size: 1", share) + BN.format(n, n) for n in "ac")
    model = trained(write(tmp_path, HEAD + pair))
    folded = fold_batch_norm(model)
    assert types(folded) == ["Convolution", "Scale", "Convolution", "Scale"]
    same(model, folded)


def test_a_batch_norm_with_batch_statistics_is_kept(tmp_path):
    text = HEAD + CONV.format("a", "data", "num_output: 4 kernel_size: 1", "")
    text += 'layer { name: "bn" type: "BatchNorm" bottom: "a" top: "a" batch_norm_param { use_global_stats: false } }'
    assert types(fold_batch_norm(trained(write(tmp_path, text)))) == ["Convolution", "BatchNorm"]


def test_statistics_that_were_never_accumulated_fold_as_they_compute(tmp_path):
    text = HEAD + CONV.format("a", "data", "num_output: 4 kernel_size: 1", "") + BN.format("a", "a")
    model = trained(write(tmp_path, text))
    model.arrays(model.by_key["bn_a"])[2][:] = 0
    folded = fold_batch_norm(model)
    weight, _ = folded.arrays(folded.nodes[0])
    np.testing.assert_allclose(weight, model.arrays(model.nodes[0])[0] / np.sqrt(1e-5), rtol=1e-5)
