"""Peaks of memory, counted by hand on small nets."""

from __future__ import annotations

import pytest

from netc.ir.dims import UNKNOWN
from netc.ir.dtypes import ITEM_BYTES
from netc.ir.liveness import Liveness


def layer(name: str, type: str, bottoms: str = "", tops: str = "", more: str = "") -> str:
    names = "".join(f' bottom: "{b}"' for b in bottoms.split()) + "".join(f' top: "{t}"' for t in tops.split())
    return f'layer {{ name: "{name}" type: "{type}"{names} {more} }}\n'


def data(*shapes: tuple[int, ...], tops: str = "data") -> str:
    written = " ".join(f"shape {{ {' '.join(f'dim: {extent}' for extent in shape)} }}" for shape in shapes)
    return layer("data", "DummyData", "", tops, f"dummy_data_param {{ {written} }}")


def fc(bottom: str, top: str, outputs: int, more: str = "") -> str:
    return layer(top, "InnerProduct", bottom, top, f"inner_product_param {{ num_output: {outputs} }} {more}")


CHAIN = data((1, 10)) + fc("data", "a", 20) + fc("a", "b", 30) + fc("b", "c", 5)


BYTES = ITEM_BYTES["float32"]


@pytest.fixture
def live(graph_from):
    return lambda text, **settings: Liveness(graph_from(text, **settings))


def test_a_chain_holds_two_neighbors_at_a_time(live):
    assert live(CHAIN).inference_peak == (20 + 30) * BYTES


def test_an_output_stays_to_the_end(live):
    text = data((1, 10)) + fc("data", "a", 50) + fc("data", "b", 40) + fc("b", "c", 30)
    assert live(text).inference_peak == (50 + 40 + 30) * BYTES


def test_a_branch_stays_until_its_last_reader(live):
    text = data((1, 10)) + fc("data", "a", 20) + fc("a", "b", 30) + fc("b", "c", 20) + layer("s", "Eltwise", "a c", "s")
    # a and b and c at once; behind that a, c and s are less
    assert live(text).inference_peak == (20 + 30 + 20) * BYTES


def test_an_in_place_layer_needs_no_memory(live):
    plain = live(CHAIN)
    in_place = live(CHAIN + layer("relu", "ReLU", "c", "c"))
    assert in_place.inference_peak == plain.inference_peak
    assert in_place.training_peak == plain.training_peak
    assert in_place.memory["c.1"] == "c"


def test_training_keeps_values_and_holds_two_gradients(live):
    # The most is at b's turn: the values but c, and the gradients of b and a. c's turn before it holds less, 65 values
    # and the gradients of c and b.
    assert live(CHAIN).training_peak == (10 + 20 + 30 + 30 + 20) * BYTES


def test_a_value_that_no_backward_pass_reads_is_freed_in_training(live):
    text = data((1, 1000)) + layer("half", "Power", "data", "half", "power_param { scale: 0.5 }") + fc("half", "a", 1)
    # `data` is read by a layer that passes no gradient on; `half` is kept for the weights' gradient.
    assert live(text).gradients == {"a"}
    assert live(text).training_peak == 2000 * BYTES


def test_gradients_flow_from_losses_to_learned_weights(live):
    text = (
        data((4, 6), (4,), tops="data label")
        + fc("data", "a", 5)
        + fc("data", "frozen", 5, "param { lr_mult: 0 } " * 2)
    )
    text += layer("sum", "Eltwise", "a frozen", "sum") + fc("a", "aside", 2)
    text += layer("loss", "SoftmaxWithLoss", "sum label", "loss") + layer(
        "accuracy", "Accuracy", "sum label", "accuracy"
    )
    assert live(text).gradients == {"a", "sum", "loss"}


def test_propagate_down_stops_a_gradient(live):
    text = data((4, 6), (4, 2), tops="data target") + fc("data", "a", 5) + fc("a", "b", 2, "propagate_down: false")
    text += layer("loss", "EuclideanLoss", "b target", "loss")
    assert live(text).gradients == {"b", "loss"}


def test_peaks_are_unknown_for_unknown_extents(live):
    text = layer("data", "Data", "", "data", 'data_param { source: "nowhere" batch_size: 2 }') + layer(
        "r", "ReLU", "data", "r"
    )
    found = live(text)
    assert found.graph.shape("r") == (2, UNKNOWN, UNKNOWN, UNKNOWN)
    assert found.inference_peak is None
    assert found.training_peak is None
    assert found.bytes(["r"]) is None
