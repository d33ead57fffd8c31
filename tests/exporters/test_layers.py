"""Layers beyond the usual ones as .py and ONNX: the net's results at the net's own batch and another."""

import numpy as np
import pytest
import torch

from netc.conversion.models import net_of
from netc.exporters.onnx import onnx_model
from tests.conversion.nets import inputs_of, trained, write
from tests.exporters.test_onnx import run
from tests.exporters.test_python import written


def net(*shapes, **layer):
    """Inputs `a`, `b`, ... of these shapes, and a layer `one` that reads them all."""
    names = "abcde"[: len(shapes)]
    lines = []
    for name, shape in zip(names, shapes):
        dims = " ".join(f"dim: {extent}" for extent in shape)
        lines.append(f'layer {{ name: "{name}" type: "Input" top: "{name}" input_param {{ shape {{ {dims} }} }} }}')
    bottoms = " ".join(f'bottom: "{name}"' for name in names)
    tops = " ".join(f'top: "{top}"' for top in layer.get("tops", ["one"]))
    lines.append(f'layer {{ name: "one" type: "{layer["type"]}" {bottoms} {tops} {layer.get("text", "")} }}')
    return "\n".join(lines)


IMAGE = (2, 4, 9, 7)
CONVOLUTION = "convolution_param { num_output: 6 kernel_size: 3 stride: 2 pad: 1 group: 2 %s }"
BOTH = {
    "best": net(IMAGE, type="ArgMax"),
    "best with values": net(IMAGE, type="ArgMax", text="argmax_param { top_k: 3 out_max_val: true }"),
    "best of channels": net(IMAGE, type="ArgMax", text="argmax_param { axis: 1 top_k: 2 }"),
    "best values of rows": net(IMAGE, type="ArgMax", text="argmax_param { axis: -1 out_max_val: true }"),
    "items": net((2, 5), (2,), type="BatchReindex"),
    "marked": net((2, 5), (2, 3, 4), (2, 1), type="Filter", tops=["one", "two"]),
    "words": net((2, 3), type="Embed", text="embed_param { num_output: 5 input_dim: 7 }"),
    "words without bias": net((2,), type="Embed", text="embed_param { num_output: 5 input_dim: 7 bias_term: false }"),
    "columns": net(IMAGE, type="Im2col", text=CONVOLUTION.replace("num_output: 6", "").replace("group: 2 %s", "")),
    "pyramid": net(IMAGE, type="SPP", text="spp_param { pyramid_height: 3 }"),
    "mean pyramid": net(IMAGE, type="SPP", text="spp_param { pyramid_height: 2 pool: AVE }"),
    "one bin": net(IMAGE, type="SPP", text="spp_param { pyramid_height: 1 }"),
    "mask": net(IMAGE, type="Pooling", tops=["one", "two"], text="pooling_param { kernel_size: 3 stride: 2 pad: 1 }"),
    "mask of all": net(IMAGE, type="Pooling", tops=["one", "two"], text="pooling_param { global_pooling: true }"),
    "expected": net(IMAGE, type="Pooling", text="pooling_param { kernel_size: 3 stride: 2 pool: STOCHASTIC }"),
    "expected of all": net(IMAGE, type="Pooling", text="pooling_param { global_pooling: true pool: STOCHASTIC }"),
    "two images": net(IMAGE, IMAGE, type="Convolution", tops=["one", "two"], text=CONVOLUTION % ""),
    "two images back": net(IMAGE, IMAGE, type="Deconvolution", tops=["one", "two"], text=CONVOLUTION % ""),
    "rows": net((2, 3, 4, 9), type="Convolution", text=CONVOLUTION % "axis: 2"),
    "one step": net((1, 2, 3), (1, 2, 12), (1, 2), type="LSTMUnit", tops=["one", "two"]),
}
UNITS = "recurrent_param { num_output: 3 weight_filler { type: 'xavier' } %s }"
BOTH |= {
    "lstm": net((5, 2, 4), (5, 2), type="LSTM", text=UNITS % ""),
    "lstm with an image": net((5, 2, 4), (5, 2), (2, 6), type="LSTM", text=UNITS % ""),
    "lstm in the open": net((5, 2, 4), (5, 2), (1, 2, 3), (1, 2, 3), type="LSTM", tops=["one", "two", "three"],
                            text=UNITS % "expose_hidden: true"),
    "rnn": net((5, 2, 2, 2), (5, 2), type="RNN", text=UNITS % ""),
    "rnn in the open": net((5, 2, 4), (5, 2), (2, 6), (1, 2, 3), type="RNN", tops=["one", "two"],
                           text=UNITS % "expose_hidden: true"),
    "channels without a batch": net((2, 4, 9), type="Convolution",
                              text="convolution_param { num_output: 6 kernel_size: 3 axis: 0 bias_term: false }"),
}  # fmt: skip
SMALL_NETS = {
    "depthwise": net(IMAGE, type="DepthwiseConvolution", text="convolution_param { num_output: 8 kernel_size: 3 }"),
    "depthwise without outputs": net(IMAGE, type="ConvolutionDepthwise", text="convolution_param { kernel_size: 3 }"),
    "relu6": net(IMAGE, type="ReLU6", text="relu6_param { n: 1 }"),
    "relu6 with a slope": net(IMAGE, type="ReLU6", text="relu6_param { negative_slope: 0.1 n: 1 }"),
    "hard swish": net(IMAGE, type="HardSwish"),
    "mish": net(IMAGE, type="Mish"),
    "selu": net(IMAGE, type="SeLU", text="selu_param { lambda: 2 }"),
    "shuffled": net(IMAGE, type="ShuffleChannel", text="shuffle_channel_param { group: 2 }"),
    "excited": net((2, 4), IMAGE, IMAGE, type="Axpy"),
    "excited by images": net((2, 4, 1, 1), IMAGE, IMAGE, type="Axpy"),
}
BOTH |= SMALL_NETS
FIXED = ("in the open", "one step", "without a batch", "with an image")
"""Nets whose first extent is not the batch of every input."""


def feeds(model, name):
    """Numbers that every layer takes: whole ones below 2 where some are indices or marks."""
    sizes = (2,) if any(word in name for word in FIXED) else (2, 3)
    made = []
    for batch in sizes:
        feed = inputs_of(model, batch)
        if sizes == (2,):
            generator = np.random.default_rng(0)
            shapes = {value: model.shape(value) for value in model.inputs}
            feed = {value: generator.standard_normal(shape, dtype=np.float32) for value, shape in shapes.items()}
        for value in feed:
            if value in MARKS.get(model.nodes[-1].layer.type, ""):
                feed[value] = np.round(np.abs(feed[value])) % 2
        made.append(feed)
    return made


MARKS = {"BatchReindex": "b", "Filter": "c", "Embed": "a", "LSTMUnit": "c", "LSTM": "b", "RNN": "b"}


def expected(model, feed):
    """The outputs of a net without state."""
    found = net_of(model).run(feed)
    return [found[model.values[name].blob] for name in model.outputs]


def loaded(folder, model):
    """The module of a model's .py, which imports torch and safetensors alone."""
    text = written(folder, model)
    imports = [line.split()[1].split(".")[0] for line in text.split("\n") if line.startswith(("import ", "from "))]
    assert set(imports) <= {"pathlib", "torch", "safetensors"}
    space = {"__file__": str(folder / "exported.py")}
    exec(compile(text, "exported.py", "exec"), space)
    return space["load"]()


def results(exported, feed):
    """Its outputs in the order of the net's."""
    with torch.no_grad():
        found = exported(*map(torch.from_numpy, feed.values()))
    return [tensor.numpy() for tensor in (found.values() if isinstance(found, dict) else [found])]


def same(found, wanted):
    for one, other in zip(found, wanted, strict=True):
        assert one.shape == other.shape
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", BOTH)
def test_python(tmp_path, name):
    model = trained(write(tmp_path, BOTH[name]))
    exported = loaded(tmp_path, model)
    for feed in feeds(model, name):
        same(results(exported, feed), expected(model, feed))


@pytest.mark.parametrize("name", BOTH)
def test_onnx(tmp_path, name):
    pytest.importorskip("onnxruntime")
    model = trained(write(tmp_path, BOTH[name]))
    exported = onnx_model(model).proto()
    for feed in feeds(model, name):
        found = run(exported, feed)
        same([found[value] for value in model.outputs], expected(model, feed))


def test_the_last_of_equal_elements_is_the_maximum(tmp_path):
    model = trained(write(tmp_path, net((2, 5), type="ArgMax", text="argmax_param { axis: 1 top_k: 2 }")))
    feed = {"a": np.array([[1, 3, 3, 0, 3], [2, 2, 2, 2, 2]], np.float32)}
    assert expected(model, feed)[0].tolist() == [[4, 2], [4, 3]]
    same(run(onnx_model(model).proto(), feed).values(), expected(model, feed))
    same(results(loaded(tmp_path, model), feed), expected(model, feed))
