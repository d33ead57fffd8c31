"""Free extents of exported models: named where they follow an input's, numbers where the net fixes them."""

import pytest

from netc.exporters.onnx import onnx_model
from netc.exporters.symbolic_shapes import symbolic_shapes
from tests.conversion.nets import MIXED, close, inputs_of, trained, write
from tests.exporters.test_layers import expected, net
from tests.exporters.test_onnx import run

IMAGE = (2, 4, 6)


def layers(*rest, shape=IMAGE):
    return "\n".join([net(shape, type="ReLU"), *rest])


def layer(kind, bottom, top, text=""):
    bottoms = " ".join(f'bottom: "{name}"' for name in bottom.split())
    tops = " ".join(f'top: "{name}"' for name in top.split())
    return f'layer {{ name: "{top.split()[0]}" type: "{kind}" {bottoms} {tops} {text} }}'


CASES = {
    "same batch": (layers(layer("Flatten", "one", "y")), {"a": ("batch", 4, 6), "y": ("batch", 24)}),
    "two batches joined": (
        layers(layer("Concat", "one one", "y", "concat_param { axis: 0 }")),
        {"a": ("batch", 4, 6), "y": ("y_0", 4, 6)},
    ),
    "a batch cut in two": (
        layers(layer("Slice", "one", "y z", "slice_param { axis: 0 }")),
        {"a": (2, 4, 6), "y": (1, 4, 6), "z": (1, 4, 6)},
    ),
    "one item cut off": (
        layers(layer("Slice", "one", "y z", "slice_param { axis: 0 slice_point: 1 }")),
        {"a": ("batch", 4, 6), "y": (1, 4, 6), "z": ("z_0", 4, 6)},
    ),
    "the batch summed up": (layers(layer("Reduction", "one", "y")), {"a": ("batch", 4, 6), "y": ()}),
    "the batch in the rows": (
        layers(layer("Reshape", "one", "y", "reshape_param { shape { dim: 4 dim: -1 } }")),
        {"a": ("batch", 4, 6), "y": (4, "y_1")},
    ),
    "a batch that a blob fixes": (
        layers(layer("InnerProduct", "one", "y", "inner_product_param { num_output: 3 axis: 0 }")),
        {"a": (2, 4, 6), "y": (3,)},
    ),
    "a first extent of its own": (
        net((2, 5), (3, 7), type="Silence", tops=[]) + "\n" + layer("ReLU", "a", "y") + layer("ReLU", "b", "z"),
        {"a": ("batch", 5), "b": ("b_0", 7), "y": ("batch", 5), "z": ("b_0", 7)},
    ),
    "items that data chooses": (
        net((2, 5), (2, 1), type="Filter", tops=["one"]),
        {"a": ("batch", 5), "b": ("batch", 1), "one": ("one_0", 5)},
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_extents(tmp_path, name):
    text, wanted = CASES[name]
    found = symbolic_shapes(trained(write(tmp_path, text))).extents
    assert {value: found[value] for value in wanted} == wanted


def declared(values):
    return {one.name: tuple(d.dim_param or d.dim_value for d in one.type.tensor_type.shape.dim) for one in values}


@pytest.mark.parametrize("name", [name for name in CASES if "blob" not in name])
def test_a_model_declares_free_extents_and_is_correct_at_other_sizes(tmp_path, name):
    pytest.importorskip("onnxruntime")
    text, wanted = CASES[name]
    model = trained(write(tmp_path, text))
    exported = onnx_model(model).proto()
    found = declared([*exported.graph.input, *exported.graph.output])
    assert found == {value: wanted[value] for value in found}
    for batch in (2, 5) if wanted["a"][0] == "batch" else (2,):
        feed = inputs_of(model, batch)
        results = run(exported, feed)
        for value, other in zip(model.outputs, expected(model, feed), strict=True):
            assert close(other, results[value]) if other.size else results[value].shape == other.shape


def test_a_net_of_images_has_a_free_batch(tmp_path):
    exported = onnx_model(trained(write(tmp_path, MIXED))).proto()
    assert declared(exported.graph.output) == {"prob": ("batch", 5)}


LSTM = "recurrent_param { num_output: 3 weight_filler { type: 'xavier' } }"


def test_the_steps_of_a_recurrent_layer_are_called_time(tmp_path):
    pytest.importorskip("onnxruntime")
    text = net((5, 2, 4), (5, 2), type="LSTM", text=LSTM)
    exported = onnx_model(trained(write(tmp_path, text))).proto()
    assert declared([*exported.graph.input, *exported.graph.output]) == {
        "a": ("time", 2, 4), "b": ("time", 2), "one": ("time", 2, 3),
    }  # fmt: skip
    embedded = net((5, 2), (5, 2), type="Embed", text="embed_param { num_output: 4 input_dim: 9 }").replace(
        'bottom: "b"', ""
    )
    text = embedded + layer("LSTM", "one b", "y", LSTM)
    assert symbolic_shapes(trained(write(tmp_path, text))).extents["a"] == ("time", 2)


@pytest.mark.slow
def test_a_layer_that_only_a_fixed_batch_can_express_fixes_it(tmp_path):
    pytest.importorskip("onnxscript")
    text = layers(layer("ArgMax", "one", "y", "argmax_param { axis: 0 top_k: 2 }"), shape=(3, 4))
    model = trained(write(tmp_path, text))
    exported = onnx_model(model).proto()
    assert declared(exported.graph.input) == {"a": (3, 4)}
    feed = inputs_of(model, 3)
    assert close(expected(model, feed)[0], run(exported, feed)["y"])
