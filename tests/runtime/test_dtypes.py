"""Types of values: what each executor computes, what arrays become, and which values have gradients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor

from netc.diagnostics import NetcError
from netc.ir.dtypes import ITEM_BYTES
from netc.ir.graph import Graph, Node, Value
from netc.ir.layer import Count, DTypes, Layer, Mode, Shapes
from netc.ir.liveness import Liveness
from netc.ir.shapes import infer
from netc.ir.verify import verify
from netc.runtime.dtypes import torch_dtype
from netc.runtime.lower import lower
from tests.layers.case import bottoms, listed
from tests.layers.cases import CASES
from tests.layers.harness import module_of
from tests.runtime.test_node_executor import executor_of

BIG = 2**24 + 1
"""The first whole number that float32 does not have."""


@dataclass(frozen=True)
class Whole(Layer):
    """Its bottom as int64, plus BIG."""

    type: ClassVar[str] = "Whole"

    def dtypes(self, bottoms: DTypes, tops: int) -> DTypes:
        return ("int64",)

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        return bottoms[0].long() + BIG


@dataclass(frozen=True)
class Even(Layer):
    """Whether whole numbers are even."""

    type: ClassVar[str] = "Even"

    def dtypes(self, bottoms: DTypes, tops: int) -> DTypes:
        return ("bool",)

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        return bottoms[0] % 2 == 0


@dataclass(frozen=True)
class Times(Layer):
    """Real numbers times whole ones, as real numbers."""

    type: ClassVar[str] = "Times"
    bottom_count: ClassVar[Count] = Count(2)

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        return bottoms[:1]

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        return bottoms[0] * bottoms[1].to(bottoms[0].dtype)


def graph_with(*nodes: Node, blobs: dict[str, str] | None = None, **inputs: Value) -> Graph:
    """An inferred graph; `blobs` names the blobs of values that are called otherwise."""
    names = [top for node in nodes for top in node.tops]
    values = {**inputs, **{name: Value(name, (blobs or {}).get(name, name)) for name in names}}
    graph, report = infer(Graph("typed", nodes, values, inputs=tuple(inputs)))
    assert not report.diagnostics
    return verify(graph)


X = Value("x", "x", (4,))
TYPED = (
    Node("whole", "whole", Whole(), ("x",), ("w",)),
    Node("even", "even", Even(), ("w",), ("e",)),
    Node("times", "times", Times(), ("x", "w"), ("y",), loss_weights=(1.0,)),
)


def test_types_are_inferred_and_displayed():
    graph = graph_with(*TYPED, x=X)
    assert {name: value.dtype for name, value in graph.values.items()} == {
        "x": "float32", "w": "int64", "e": "bool", "y": "float32",
    }  # fmt: skip
    assert str(graph).splitlines() == [
        "net typed (TEST)",
        "  inputs x[4]",
        "  whole: Whole(x[4]) -> w[4]:int64",
        "  even: Even(w[4]:int64) -> e[4]:bool",
        "  times: Times(x[4], w[4]:int64) -> y[4]",
        "  outputs e[4]:bool, y[4]",
    ]


@pytest.mark.parametrize("double", [False, True])
def test_both_executors_hold_the_declared_types(double):
    net = lower(graph_with(*TYPED, x=X))
    # a net without weights computes in float32, whatever `.double()` finds
    given = torch.tensor([0.0, 1.0, 2.0, 3.0])
    executor = executor_of(net.double() if double else net)
    executor.memory["x"].write(given)
    executor.forward()
    found = net.evaluate({"x": given}, ["w", "e", "y"])
    assert found["w"].tolist() == [BIG, BIG + 1, BIG + 2, BIG + 3]
    for name, tensor in found.items():
        held = executor.memory[name].data
        assert held.dtype == tensor.dtype == torch_dtype(net.graph.values[name].dtype)
        assert torch.equal(held, tensor)
        assert torch.equal(executor.memory[name].data, held), "lent memory keeps its type"
    executor.forward()
    assert executor.memory["w"].data.tolist() == [BIG, BIG + 1, BIG + 2, BIG + 3]


def test_integers_keep_their_type_when_a_net_changes_its_precision():
    from netc.layers.inner_product import InnerProduct

    fc = Node("fc", "fc", InnerProduct(3), ("y",), ("z",))
    graph = graph_with(*TYPED, fc, x=replace(X, shape=(2, 4)))
    net = lower(graph).double()
    executor = executor_of(net)
    executor.memory["x"].write(torch.ones(2, 4))
    executor.forward()
    types = {name: executor.memory[name].values.tensor.dtype for name in ("x", "w", "e", "y", "z")}
    assert types == {
        "x": torch.float64, "w": torch.int64, "e": torch.bool, "y": torch.float64, "z": torch.float64,
    }  # fmt: skip
    net.float()
    executor.forward()
    assert executor.memory["w"].values.tensor.dtype == torch.int64
    assert executor.memory["z"].values.tensor.dtype == torch.float32


def test_versions_of_one_blob_may_have_different_types():
    nodes = (
        Node("whole", "whole", Whole(), ("x",), ("x.1",)),
        Node("even", "even", Even(), ("x.1",), ("x.2",)),
    )
    graph = graph_with(*nodes, blobs={"x.1": "x", "x.2": "x"}, x=X)
    executor = executor_of(lower(graph))
    held = executor.memory["x"].data
    for _ in range(2):
        executor.memory["x"].write(torch.arange(4.0), dtype="float32")
        executor.forward(end=0)
        assert executor.memory["x"].data.tolist() == [BIG, BIG + 1, BIG + 2, BIG + 3]
        executor.forward(start=1)
        assert executor.memory["x"].data.tolist() == [False, True, False, True]
    assert held.dtype == torch.float32


def test_integers_have_no_gradient():
    graph = graph_with(*TYPED, x=X).replace(force_backward=True)
    executor = executor_of(lower(graph))
    executor.memory["x"].write(torch.tensor([1.0, 2.0, 3.0, 4.0]))
    assert executor.needs["times"].bottoms == (True, False)
    executor.forward()
    executor.backward()
    assert executor.memory["x"].diff.tolist() == [float(np.float32(BIG + i)) for i in (1, 2, 3, 4)]
    assert executor.memory["w"].diff.dtype == torch.float32


def test_memory_is_counted_by_type():
    live = Liveness(graph_with(*TYPED, x=X))
    assert [live.bytes([name]) for name in "xwey"] == [16, 32, 4, 16]
    text = graph_with(*TYPED[:1], x=X)
    text = text.replace(values={**text.values, "w": replace(text.values["w"], dtype="string")})
    assert Liveness(text).bytes(["w"]) is None
    assert ITEM_BYTES["string"] is None


def test_strings_have_no_tensors():
    with pytest.raises(NetcError, match="tensors do not support values of type `string`"):
        torch_dtype("string")


# ---------------------------------------------------------------------- what a net is fed


def declared(dtype: str) -> Graph:
    return graph_with(Node("even", "even", Even(), ("x",), ("e",)), x=replace(X, dtype=dtype))


@pytest.mark.parametrize("given", ["int64", "int32", "float64"])
def test_an_integer_input_is_exact(given):
    found = lower(declared("int64")).run({"x": np.array([1, BIG, 2, 3], given)}, ["x", "e"])
    assert found["x"].dtype == np.int64
    assert found["x"].tolist() == [1, BIG, 2, 3]
    assert found["e"].dtype == bool


@pytest.mark.parametrize(
    ("dtype", "array", "message"),
    [
        ("int64", [1.5, 2], "input `x` holds 1.5, which is not a value of type `int64`"),
        ("int64", [1, float("nan")], "holds nan"),
        ("uint8", [1, 256], "holds 256, which is not a value of type `uint8`"),
        ("uint8", [-1, 0], "holds -1"),
        ("bool", [0, 2], "holds 2, which is not a value of type `bool`"),
    ],
)
def test_a_value_that_an_input_cannot_hold_is_an_error(dtype, array, message):
    with pytest.raises(NetcError, match=message) as caught:
        lower(declared(dtype)).run({"x": np.array(array)})
    assert caught.value.diagnostics[0].code == "E302"


EMBED = """
layer { name: "id" type: "Input" top: "id" input_param { shape { dim: 3 } } }
layer { name: "embed" type: "Embed" bottom: "id" top: "embed"
        embed_param { input_dim: 16777218 num_output: 1 bias_term: false } }
"""


def test_ids_are_not_rounded(net_from):
    net = net_from(EMBED)
    with torch.no_grad():
        net.module("embed").weight[BIG] = 7
    ids = np.array([BIG, BIG - 1, 0])
    assert net.run(id=ids)["embed"].ravel().tolist() == [7, 0, 0]
    assert net.run(id=ids.astype(np.uint32))["embed"].ravel().tolist() == [7, 0, 0]
    assert net.run(id=ids.astype(np.float32))["embed"].ravel().tolist() == [0, 0, 0]


def test_an_input_that_is_also_computed_with_is_real(net_from):
    net = net_from(EMBED.replace("16777218", "4") + 'layer { name: "p" type: "Power" bottom: "id" top: "p" }')
    assert not net.graph.is_index("id")
    found = net.run({"id": np.array([1, 2, 3])}, ["id", "p", "embed"])
    assert {array.dtype for array in found.values()} == {np.dtype(np.float32)}


LABELS = """
layer { name: "x" type: "Input" top: "x" top: "y" input_param { shape { dim: 4 dim: 3 } shape { dim: 4 } } }
layer { name: "best" type: "ArgMax" bottom: "x" top: "best" }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "x" bottom: "y" top: "loss" }
layer { name: "share" type: "Accuracy" bottom: "x" bottom: "y" top: "share" top: "each" }
layer { name: "mask" type: "Softmax" bottom: "x" top: "mask" }
"""


def test_caffes_blobs_are_float32_in_both_executors(net_from):
    net = net_from(LABELS)
    assert {value.dtype for value in net.graph.values.values()} == {"float32"}
    given = {"x": torch.randn(4, 3, generator=torch.Generator().manual_seed(1)), "y": torch.tensor([0, 1, 2, 1])}
    executor = executor_of(net)
    for name, tensor in given.items():
        executor.memory[name].write(tensor)
    executor.forward()
    for name, tensor in net.evaluate(given, net.outputs).items():
        assert tensor.dtype == executor.memory[name].data.dtype == torch.float32
        assert torch.equal(tensor, executor.memory[name].data)


RUN = [case for case in CASES if case.first and case.layer.type != "HDF5Output"]


def run_on(case, given: Sequence[Tensor]) -> list[Tensor]:
    tops = 0 if case.layer.top_count == Count(0) else case.tops
    return listed(module_of(case.layer, case.first, tops).eval()(*given))


def only_selects(case, position: int) -> bool:
    """Whether a layer does not compute with a bottom: neither fractions nor the type of its elements matter."""
    return all(_is_unread(case, position, seed) for seed in range(4))


def _is_unread(case, position: int, seed: int) -> bool:
    given = [tensor.float() for tensor in bottoms(case, case.first, seed)]
    plain, whole = run_on(case, given), list(given)
    noise = torch.rand(given[position].shape, generator=torch.Generator().manual_seed(4))
    given[position] = given[position] + 0.9 * noise
    whole[position] = whole[position].long()
    try:
        found = [run_on(case, given), run_on(case, whole)]
    except (RuntimeError, TypeError, NetcError):
        return False
    same = [[(t.dtype, t.tolist()) for t in tops] for tops in (plain, *found)]
    return same[0] == same[1] == same[2]


@pytest.mark.parametrize("case", RUN, ids=str)
def test_indices_are_the_bottoms_that_are_not_computed_with(case):
    positions = range(len(case.first))
    declared = positions if case.layer.role == "sink" else sorted(i for i in case.layer.indices if i in positions)
    rounded = case.source.rounded if case.source else ()
    assert [i for i in positions if i not in rounded and only_selects(case, i)] == list(declared)


@pytest.mark.parametrize("case", RUN, ids=str)
def test_tops_have_the_types_that_the_layer_declares(case):
    """Indices may be integers; the tops are what `dtypes` says, whatever torch finds."""
    given = [tensor.float() for tensor in bottoms(case, case.first, seed=0)]
    tops = 0 if case.layer.top_count == Count(0) else case.tops
    declared = case.layer.dtypes(("float32",) * len(given), tops)
    plain = listed(module_of(case.layer, case.first, tops).eval()(*given))
    assert [tensor.dtype for tensor in plain] == [torch_dtype(dtype) for dtype in declared[: len(plain)]]
    assert len(declared) >= tops
    whole = [tensor.long() if i in case.layer.indices else tensor for i, tensor in enumerate(given)]
    indexed = listed(module_of(case.layer, case.first, tops).eval()(*whole))
    types = tuple("int64" if i in case.layer.indices else "float32" for i in range(len(given)))
    declared = case.layer.dtypes(types, tops)
    assert [tensor.dtype for tensor in indexed] == [torch_dtype(dtype) for dtype in declared[: len(indexed)]]
    torch.testing.assert_close(indexed, plain, rtol=0, atol=0)
