"""Receptive fields against published ones."""

from __future__ import annotations

import pytest

from netc.ir.receptive import receptive_fields
from tests.ir.test_liveness import fc, layer


def data(*shape: int) -> str:
    return layer("data", "Input", "", "data", f"input_param {{ shape {{ {' '.join(f'dim: {e}' for e in shape)} }} }}")


def conv(bottom: str, top: str, kernel: int, stride: int = 1, pad: int = 0, more: str = "", type="Convolution") -> str:
    window = f"num_output: 2 kernel_size: {kernel} stride: {stride} pad: {pad} {more}"
    return layer(top, type, bottom, top, f"convolution_param {{ {window} }}")


def pool(bottom: str, top: str, kernel: int = 2, stride: int = 2, more: str = "") -> str:
    return layer(top, "Pooling", bottom, top, f"pooling_param {{ kernel_size: {kernel} stride: {stride} {more} }}")


def sizes(graph, blob: str) -> list[int] | None:
    fields = receptive_fields(graph)[graph.blobs[blob]]
    return None if fields is None else [field.size for field in fields]


def test_alexnet_sees_195_pixels_at_pool5(graph_from):
    """Araujo et al., Distill 2019, table: AlexNet 195."""
    text = data(1, 3, 227, 227) + conv("data", "c1", 11, 4) + pool("c1", "p1", 3) + conv("p1", "c2", 5, 1, 2)
    text += pool("c2", "p2", 3) + conv("p2", "c3", 3, 1, 1) + conv("c3", "c4", 3, 1, 1) + conv("c4", "c5", 3, 1, 1)
    graph = graph_from(text + pool("c5", "p5", 3) + fc("p5", "fc6", 2))
    assert sizes(graph, "p5") == [195, 195]
    assert sizes(graph, "fc6") == [195 + 5 * 32] * 2


def test_vgg_16_sees_212_pixels_at_pool5(graph_from):
    """Araujo et al., Distill 2019, table: VGG-16 212."""
    text, last = data(1, 3, 224, 224), "data"
    for block, count in enumerate((2, 2, 3, 3, 3)):
        for i in range(count):
            text += conv(last, f"c{block}_{i}", 3, 1, 1)
            last = f"c{block}_{i}"
        text += pool(last, f"p{block}")
        last = f"p{block}"
    assert sizes(graph_from(text), "p4") == [212, 212]


def test_dilation_height_and_width_are_separate(graph_from):
    text = data(1, 1, 30, 40) + layer(
        "c", "Convolution", "data", "c",
        "convolution_param { num_output: 1 kernel_h: 3 kernel_w: 5 stride_h: 1 stride_w: 2 dilation: 2 }",
    ) + conv("c", "d", 3)  # fmt: skip
    graph = graph_from(text)
    assert sizes(graph, "c") == [5, 9]
    assert sizes(graph, "d") == [5 + 2 * 1, 9 + 2 * 2]


def test_a_deconvolution_reduces_the_jump(graph_from):
    text = (
        data(1, 1, 20, 20)
        + conv("data", "a", 2, 2)
        + conv("a", "up", 4, 2, 1, type="Deconvolution")
        + conv("up", "b", 3, 1, 1)
    )
    graph = graph_from(text)
    assert sizes(graph, "a") == [2, 2]
    assert sizes(graph, "up") == [4, 4]  # two of a's elements, 2 apart
    assert sizes(graph, "b") == [6, 6]  # two more of up's, 1 apart


def test_a_global_pooling_and_a_fully_connected_layer_see_everything(graph_from):
    text = data(1, 2, 9, 7) + layer("g", "Pooling", "data", "g", "pooling_param { pool: AVE global_pooling: true }")
    text += fc("data", "f", 3) + layer("flat", "Flatten", "data", "flat") + fc("flat", "h", 2)
    graph = graph_from(text)
    assert sizes(graph, "g") == sizes(graph, "f") == sizes(graph, "h") == [9, 7]


def test_branches_give_the_larger_field(graph_from):
    text = data(1, 2, 9, 9) + conv("data", "a", 1) + conv("data", "b", 5, 1, 2) + layer("cat", "Concat", "a b", "cat")
    assert sizes(graph_from(text + pool("cat", "p")), "p") == [6, 6]


def test_values_without_a_position_have_no_field(graph_from):
    text = data(4, 6) + fc("data", "f", 3)
    assert sizes(graph_from(text), "f") == []


@pytest.mark.parametrize("type", ["Reshape"])
def test_the_field_of_other_layers_is_unknown(graph_from, type):
    text = data(1, 2, 4, 8) + layer("r", type, "data", "r", "reshape_param { shape { dim: 0 dim: 2 dim: 8 dim: 4 } }")
    assert sizes(graph_from(text + conv("r", "c", 3)), "c") is None


def unknown_planes() -> str:
    source = 'data_param { source: "nowhere" batch_size: 2 }'
    return layer("data", "Data", "", "data", source)


def test_windows_over_unknown_extents_have_known_fields(graph_from):
    graph = graph_from(unknown_planes() + conv("data", "c", 3, 2) + pool("c", "p"))
    assert sizes(graph, "c") == [3, 3]
    assert sizes(graph, "p") == [5, 5]


def test_an_unknown_extent_does_not_prove_that_elements_stay_in_place(graph_from):
    text = unknown_planes() + layer(
        "r", "Reshape", "data", "r", "reshape_param { shape { dim: 0 dim: 0 dim: 4 dim: -1 } }"
    )
    assert sizes(graph_from(text), "r") is None


def test_the_field_of_an_unknown_extent_is_unknown(graph_from):
    text = unknown_planes() + layer("g", "Pooling", "data", "g", "pooling_param { pool: AVE global_pooling: true }")
    assert sizes(graph_from(text), "g") is None


def test_elements_that_stay_in_place_keep_their_field_over_unknown_extents(graph_from):
    graph = graph_from(unknown_planes() + conv("data", "c", 5) + layer("r", "ReLU", "c", "r") + conv("r", "d", 3))
    assert sizes(graph, "r") == [5, 5]
    assert sizes(graph, "d") == [7, 7]
