"""Nets of Caffe as predict and init nets of Caffe2: what they compute there, and what cannot be said."""

from __future__ import annotations

import numpy as np
import pytest

import netc
from netc.conversion.convert import convert
from netc.conversion.models import open_net
from netc.diagnostics import NetcError
from netc.exporters.caffe2.rules import RULES
from netc.schema import caffe2
from tests.conversion.nets import write
from tests.exporters.test_every_format import NETS, REFERENCE, weights

NOT_SAID = {"E801", "E802"}


def written(folder, net, blobs=None):
    """The predict net, the init net and their names of a net."""
    predict, init = convert(net, blobs, to="caffe2", output=folder / "predict_net.pb").files[:2]
    assert init.name == "init_net.pb"
    return predict, init


def same(folder, net, blobs=None):
    """Compare every output of a net with that of its NetDef, at two batch sizes."""
    opened = open_net(net, blobs)
    predict, init = written(folder, net, blobs)
    loaded = netc.load(predict, weights=init)
    generator = np.random.default_rng(1)
    graph = opened.graph
    for batch in (None, 3):
        shapes = {graph.values[name].blob: graph.values[name].shape for name in graph.inputs}
        if batch is not None and len(shapes) > 1:
            continue
        shapes = {blob: shape if batch is None else (batch, *shape[1:]) for blob, shape in shapes.items()}
        fed = {blob: generator.standard_normal(shape, np.float32) for blob, shape in shapes.items()}
        wanted = opened.run(fed, loaded.outputs)
        found = loaded.run({blob: fed[blob] for blob in loaded.inputs})
        for blob in loaded.outputs:
            np.testing.assert_allclose(found[blob], wanted[blob], rtol=1e-3, atol=1e-4)


IMAGE = 'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 4 dim: 9 dim: 7 } } }\n'


def layer(kind: str, text: str = "", top: str = "one", bottom: str = "data") -> str:
    return f'layer {{ name: "{top}" type: "{kind}" bottom: "{bottom}" top: "{top}" {text} }}\n'


FILLER = 'weight_filler { type: "gaussian" std: 1 } bias_filler { type: "gaussian" std: 1 }'
LAYERS = {
    "convolution": layer(
        "Convolution", f"convolution_param {{ num_output: 6 kernel_size: 3 pad: 1 group: 2 {FILLER} }}"
    ),
    "rectangular convolution": layer(
        "Convolution",
        f"convolution_param {{ num_output: 6 kernel_h: 3 kernel_w: 2 pad_h: 1 stride_h: 2 stride_w: 1 {FILLER} }}",
    ),
    "dilated convolution without bias": layer(
        "Convolution", f"convolution_param {{ num_output: 2 kernel_size: 3 dilation: 2 bias_term: false {FILLER} }}"
    ),
    "deconvolution": layer(
        "Deconvolution", f"convolution_param {{ num_output: 6 kernel_size: 3 stride: 2 pad: 1 group: 2 {FILLER} }}"
    ),
    "max pooling": layer("Pooling", "pooling_param { kernel_size: 3 stride: 2 pad: 1 }"),
    "max pooling without padding": layer("Pooling", "pooling_param { kernel_size: 2 stride: 2 }"),
    "mean pooling": layer("Pooling", "pooling_param { kernel_size: 2 stride: 2 pool: AVE }"),
    "mean pooling with padding": layer("Pooling", "pooling_param { kernel_size: 3 stride: 2 pad: 1 pool: AVE }"),
    "global pooling": layer("Pooling", "pooling_param { global_pooling: true pool: AVE }"),
    "rounding down": layer("Pooling", "pooling_param { kernel_size: 2 stride: 2 round_mode: FLOOR }"),
    "inner product": layer("InnerProduct", f"inner_product_param {{ num_output: 5 {FILLER} }}"),
    "transposed inner product": layer(
        "InnerProduct", f"inner_product_param {{ num_output: 5 transpose: true bias_term: false {FILLER} }}"
    ),
    "inner product on axis 2": layer("InnerProduct", f"inner_product_param {{ num_output: 5 axis: 2 {FILLER} }}"),
    "relu": layer("ReLU"),
    "relu with a slope": layer("ReLU", "relu_param { negative_slope: 0.2 }"),
    "relu in place": layer("Power", "power_param { scale: 2 shift: 1 }") + layer("ReLU", top="one", bottom="one"),
    "prelu": layer("PReLU"),
    "one slope for all": layer("PReLU", "prelu_param { channel_shared: true }"),
    "elu": layer("ELU", "elu_param { alpha: 0.5 }"),
    "sigmoid": layer("Sigmoid"),
    "tanh": layer("TanH"),
    "lrn": layer("LRN", "lrn_param { local_size: 3 alpha: 2 beta: 0.5 k: 2 }"),
    "softmax": layer("Softmax"),
    "softmax of rows": layer("Softmax", "softmax_param { axis: -1 }"),
    "softmax in place": layer("Sigmoid") + layer("Softmax", bottom="one"),
    "batch norm": layer("BatchNorm"),
    "scale": layer("Scale", "scale_param { bias_term: true }"),
    "scale in place": layer("Sigmoid") + layer("Scale", "scale_param { bias_term: true }", bottom="one"),
    "scale of rows": layer("Scale", "scale_param { axis: 2 num_axes: 2 }"),
    "bias": layer("Bias", "bias_param { filler { type: 'gaussian' std: 1 } }"),
    "absolute": layer("AbsVal"),
    "exponential": layer("Exp", "exp_param { base: 2 scale: 0.5 shift: 1 }"),
    "power": layer("AbsVal", top="a") + layer("Power", "power_param { power: 2 scale: 0.5 shift: 1 }", bottom="a"),
    "logarithm": layer("AbsVal", top="a") + layer("Log", "log_param { base: 10 shift: 1 }", bottom="a"),
    "flattened": layer("Flatten"),
    "flattened tail": layer("Flatten", "flatten_param { axis: 2 }"),
    "reshaped": layer("Reshape", "reshape_param { shape { dim: 0 dim: -1 dim: 3 } }"),
    "tiled": layer("Tile", "tile_param { tiles: 2 axis: 2 }"),
    "permuted": layer("Permute", "permute_param { order: 0 order: 2 order: 3 order: 1 }"),
    "shuffled": layer("ShuffleChannel", "shuffle_channel_param { group: 2 }"),
    "sum of squares": layer("Reduction", "reduction_param { operation: SUMSQ axis: 1 coeff: 0.5 }"),
    "mean": layer("Reduction", "reduction_param { operation: MEAN axis: 2 }"),
}


def two(kind: str, text: str = "") -> str:
    first, second = layer("Sigmoid", top="a"), layer("TanH", top="b")
    return first + second + f'layer {{ name: "one" type: "{kind}" bottom: "a" bottom: "b" top: "one" {text} }}'


LAYERS |= {
    "concatenated": two("Concat"),
    "concatenated rows": two("Concat", "concat_param { axis: 2 }"),
    "sum": two("Eltwise"),
    "weighted sum": two("Eltwise", "eltwise_param { coeff: 1 coeff: -2 }"),
    "product": two("Eltwise", "eltwise_param { operation: PROD }"),
    "maximum": two("Eltwise", "eltwise_param { operation: MAX }"),
    "slices": 'layer { name: "cut" type: "Slice" bottom: "data" top: "a" top: "b" slice_param { slice_point: 1 } }',
    "cropped": layer("Pooling", "pooling_param { kernel_size: 2 stride: 2 }", top="small")
    + 'layer { name: "one" type: "Crop" bottom: "data" bottom: "small" top: "one" crop_param { offset: 2 offset: 1 } }'
    + layer("Sigmoid", top="other", bottom="small"),
}


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_computes_the_same_in_caffe2(tmp_path, name):
    same(tmp_path, write(tmp_path, IMAGE + LAYERS[name]))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (layer("LRN", "lrn_param { norm_region: WITHIN_CHANNEL }"), "Caffe2 normalizes across channels only"),
        (layer("Pooling", "pooling_param { kernel_size: 2 pool: STOCHASTIC }"), "STOCHASTIC pooling"),
        (layer("MVN"), "netc has no rule that writes `MVN` as operators"),
        (
            layer("Deconvolution", f"convolution_param {{ num_output: 6 kernel_size: 3 dilation: 2 {FILLER} }}"),
            "ConvTranspose has two spatial axes and no dilation",
        ),
    ],
)
def test_what_caffe2_cannot_say_is_an_error(tmp_path, text, reason):
    with pytest.raises(NetcError, match="cannot be exported to Caffe2") as caught:
        written(tmp_path, write(tmp_path, IMAGE + text))
    (found,) = caught.value.diagnostics
    assert found.code == "E801"
    assert found.line == 2
    assert any(reason in note for note in found.notes)
    assert not (tmp_path / "predict_net.pb").exists()


def test_a_layer_reads_a_blob_before_it_is_overwritten(tmp_path):
    text = layer("Sigmoid", top="a") + layer("ReLU", top="a", bottom="a") + layer("Sigmoid", bottom="a")
    predict, _ = written(tmp_path, write(tmp_path, IMAGE + text))
    net = caffe2.NetDef.FromString(predict.read_bytes())
    assert [(op.type, op.output[0]) for op in net.op] == [("Sigmoid", "a"), ("Relu", "a"), ("Sigmoid", "one")]


def test_the_init_net_creates_the_inputs(tmp_path):
    _, init = written(tmp_path, write(tmp_path, IMAGE + LAYERS["inner product"]))
    net = caffe2.NetDef.FromString(init.read_bytes())
    assert [(op.type, *op.output) for op in net.op] == [
        ("GivenTensorFill", "one_w"), ("GivenTensorFill", "one_b"), ("ConstantFill", "data")]  # fmt: skip


def test_a_text_file_is_read_back(tmp_path):
    path = write(tmp_path, IMAGE + LAYERS["max pooling"])
    predict, init = convert(path, to="caffe2", output=tmp_path / "net.pbtxt").files[:2]
    assert init.name == "net_init.pb"
    assert 'type: "MaxPool"' in predict.read_text()
    assert netc.load(predict, weights=init).inputs == ("data",)


@pytest.mark.slow
def test_recorded_nets_are_the_same_or_an_error(tmp_path):
    said = 0
    for name in NETS:
        net, blobs = REFERENCE / name / "net.prototxt", weights(name, tmp_path / "in.caffemodel")
        if _cannot_be_said(tmp_path, net, blobs) <= NOT_SAID:
            continue
        same(tmp_path, net, blobs)
        said += 1
    assert said >= len(NETS) // 3


def _cannot_be_said(folder, net, blobs) -> set[str]:
    """The codes of the errors, and "none" without any."""
    try:
        written(folder, net, blobs)
    except NetcError as error:
        return {d.code for d in error.diagnostics}
    return {"none"}


def test_rules_are_found_by_layer():
    assert len(RULES.by_type) > 25


KEPT = {"mean pooling with padding": "PadImage", "cropped": "Slice"}
"""Layers that Caffe2 says by operators which Caffe has no layers for."""


FORKS = {"permuted": "ssd", "softmax": "ssd", "softmax in place": "ssd", "shuffled": "shufflenet"}
"""Layers that come back as those of a fork."""


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_comes_back_to_caffe(tmp_path, name):
    path = write(tmp_path, IMAGE + LAYERS[name])
    predict, init = written(tmp_path, path)
    opened = open_net(path, None)
    shapes, dialect = {"data": (2, 4, 9, 7)}, FORKS.get(name)
    if name in KEPT:
        with pytest.raises(NetcError, match=f"BVLC Caffe has no layer that computes the operator `{KEPT[name]}`"):
            convert(predict, init, to="caffe", output=tmp_path / "back.prototxt", shapes=shapes)
        return
    target = tmp_path / "back.prototxt"
    net, blobs = convert(predict, init, to="caffe", output=target, shapes=shapes, dialect=dialect).files[:2]
    fed = {"data": np.random.default_rng(1).standard_normal((2, 4, 9, 7), np.float32)}
    found, wanted = netc.load(net, weights=blobs).run(fed), opened.run(fed)
    assert found.keys() == wanted.keys()
    for blob in wanted:
        np.testing.assert_allclose(found[blob], wanted[blob], rtol=1e-3, atol=1e-4)


def test_an_operator_that_caffe_has_no_layer_for_is_an_error(tmp_path):
    (tmp_path / "net.pbtxt").write_text('op { type: "Sin" input: "data" output: "y" }\nexternal_input: "data"')
    with pytest.raises(NetcError, match="BVLC Caffe has no layer that computes the operator `Sin`") as caught:
        convert(tmp_path / "net.pbtxt", to="caffe", output=tmp_path / "out.prototxt", shapes={"data": (1, 3, 2, 2)})
    assert caught.value.diagnostics[0].line == 1
