"""Constants as buffers of any module, and what layers keep from pass to pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from netc import compiler
from netc.diagnostics import NetcError
from netc.ir.graph import Graph, Node, Value
from netc.ir.layer import Constant, Layer, Mode, Shapes
from netc.ir.shapes import infer
from netc.runtime.dtypes import torch_dtype
from netc.runtime.modules import LayerModule
from netc.runtime.pass_state import pass_state, restore_pass_state
from netc.weights import write_blob
from tests.layers.case import SEQUENCE, Case, bottoms, made
from tests.layers.cases import CASES
from tests.layers.harness import module_of


class Shifted(nn.Module):
    """Adds its buffer `shift`."""

    shift: Tensor

    def forward(self, x: Tensor) -> Tensor:
        return x + self.shift


@dataclass(frozen=True)
class Shift(Layer):
    """Adds a constant: with a stock module, or with a function."""

    type: ClassVar[str] = "Shift"
    stock: bool = True
    file: str = ""

    def constants(self, bottoms: int) -> tuple[Constant, ...]:
        return (Constant("shift", self.file) if self.file else Constant("shift", values=(1.5, -2.0)),)

    def module(self, bottoms: Shapes, tops: int) -> nn.Module | None:
        return Shifted() if self.stock else None

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        return bottoms[0] + mode.constants["shift"]


def graph_of(layer: Layer) -> Graph:
    values = {name: Value(name, name, (3, 2) if name == "x" else None) for name in "xy"}
    graph, report = infer(Graph("net", (Node("shift", "shift", layer, ("x",), ("y",)),), values, inputs=("x",)))
    assert not report.diagnostics
    return graph


@pytest.mark.parametrize("from_file", [False, True])
@pytest.mark.parametrize("stock", [False, True])
def test_a_constant_is_a_buffer_of_a_stock_or_a_wrapped_module(tmp_path, stock, from_file):
    file = tmp_path / "shift.binaryproto"
    write_blob(file, np.array([1.5, -2.0], np.float32).reshape(2))
    net = compiler.lowered(graph_of(Shift(stock, str(file) if from_file else "")))
    assert isinstance(net.module("shift"), LayerModule) != stock
    x = np.arange(6, dtype=np.float32).reshape(3, 2)
    np.testing.assert_array_equal(net.run(x=x)["y"], x + np.float32([1.5, -2]))
    assert net.state_dict() == {}, "a constant is read from the net's files, not from its weights"
    assert net.double().evaluate({"x": torch.zeros(3, 2).double()})["y"].dtype == torch.float64


def test_a_missing_file_of_a_constant_is_an_error_with_its_layer():
    with pytest.raises(NetcError) as caught:
        compiler.lowered(graph_of(Shift(file="missing.binaryproto")))
    assert "in layer `shift`" in caught.value.diagnostics[0].notes


KEEPING = [
    *(Case(made(name, 2), SEQUENCE[0][:2], SEQUENCE[1][:2], integers=(1,)) for name in ("LSTM", "RNN")),
    *(case for case in CASES if case.first and case.layer.type != "HDF5Output"),
]


@pytest.mark.parametrize("case", KEEPING, ids=str)
def test_layers_keep_the_state_that_they_declare(case):
    module = module_of(case.layer, case.first, case.tops, stock=False)
    expected = {}
    for training in (True, False):
        module.train(training)
        if case.layer.type != "Silence":
            module(*[tensor.float() for tensor in bottoms(case, case.first, seed=0)])
        for entry in case.layer.state_entries(case.first):
            slot = f"{entry.name}.{'train' if training else 'test'}" if entry.by_mode else entry.name
            expected[slot] = (entry.shape, torch_dtype(entry.dtype))
    assert {slot: (tuple(t.shape), t.dtype) for slot, t in module.state.items()} == expected


def test_a_written_file_is_state(tmp_path):
    layer = made("HDF5Output", str(tmp_path / "out.h5"))
    module = module_of(layer, ((4, 5), (4,)), 0)
    for training in (True, False):
        module.train(training)(torch.zeros(4, 5), torch.zeros(4))
    (entry,) = layer.state_entries(((4, 5), (4,)))
    assert list(module.state) == [entry.name]
    assert module.state[entry.name].dtype == torch_dtype(entry.dtype)


RECURRENT = """
layer { name: "x" type: "Input" top: "x" top: "cont"
        input_param { shape { dim: 3 dim: 2 dim: 4 } shape { dim: 3 dim: 2 } } }
layer { name: "a.b" type: "LSTM" bottom: "x" bottom: "cont" top: "h"
        recurrent_param { num_output: 5 weight_filler { type: "gaussian" } } }
"""


def test_passes_continue_from_a_restored_state(net_from):
    net = net_from(RECURRENT)
    x = torch.randn(3, 2, 4, generator=torch.Generator().manual_seed(2))
    given = {"x": x, "cont": torch.ones(3, 2)}
    assert pass_state(net) == {}
    first = net.evaluate(given)["h"].detach()
    held = pass_state(net)
    assert set(held) == {"a%2Eb.h.test", "a%2Eb.c.test"}
    second = net.evaluate(given)["h"].detach()
    assert not torch.equal(first, second)
    restore_pass_state(net, held)
    assert torch.equal(net.evaluate(given)["h"], second)
    restore_pass_state(net, {})
    assert torch.equal(net.evaluate(given)["h"], first)
    with pytest.raises(NetcError, match="no layer `other` with state"):
        restore_pass_state(net, {"other.h.test": x})
