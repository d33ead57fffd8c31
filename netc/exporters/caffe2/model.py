"""A graph with arrays as predict_net and init_net."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from netc.diagnostics import NetcError
from netc.exporters.caffe2.rules import Array, Caffe2Call, OperatorList, argument, rule_for
from netc.exporters.errors import cannot_export, known_shape
from netc.ir.fusion import steps
from netc.schema import caffe2

if TYPE_CHECKING:
    from collections.abc import Mapping

    from netc.ir.fusion import Step
    from netc.ir.graph import Graph

FILLS: Mapping[str, tuple[str, str]] = {
    "float32": ("GivenTensorFill", "floats"),
    "float64": ("GivenTensorDoubleFill", "floats"),
    "int32": ("GivenTensorIntFill", "ints"),
    "int64": ("GivenTensorInt64Fill", "ints"),
    "int16": ("GivenTensorInt16Fill", "ints"),
    "bool": ("GivenTensorBoolFill", "ints"),
}
"""The operator that fills a blob of a type, and the field of its argument `values`."""


@dataclass(frozen=True)
class Caffe2Model:
    """A predict net, and the init net that fills its parameters."""

    predict_net: caffe2.NetDef
    init_net: caffe2.NetDef


def caffe2_model(graph: Graph) -> Caffe2Model:
    """The nets of a graph whose parameters have arrays. Raises NetcError E801 for what Caffe2 cannot say, and E802 for
    unknown shapes.
    """
    sink = OperatorList()
    names: dict[str, str] = {}
    for name in graph.inputs:
        names[name] = sink.names.add(graph.values[name].blob)
    in_order = list(steps(graph, kept=graph.outputs))
    last = {bottom: index for index, step in enumerate(in_order) for bottom in step.node.bottoms}
    for index, step in enumerate(in_order):
        _write(graph, step, index, sink, names, last)
    predict = caffe2.NetDef(name=graph.name, op=sink.operators)
    inputs = [names[name] for name in graph.inputs]
    predict.external_input.extend([*inputs, *sink.parameters])
    predict.external_output.extend(names[name] for name in graph.outputs)
    init = init_net(sink.parameters, f"{graph.name}_init" if graph.name else "")
    for name in inputs:  # the workspace must have the blob before the caller feeds it, as Caffe2's translator writes
        init.op.add(type="ConstantFill", output=[name], arg=[argument("shape", [1])])
    return Caffe2Model(predict, init)


def init_net(arrays: Mapping[str, Array], name: str = "") -> caffe2.NetDef:
    """The net that fills blobs with arrays. Raises NetcError E803 for a type that no operator fills."""
    net = caffe2.NetDef(name=name)
    for blob, array in arrays.items():
        if array.dtype.name not in FILLS:
            raise NetcError(f"the blob `{blob}` has type {array.dtype}, which no operator of Caffe2 fills", code="E803")
        kind, values = FILLS[array.dtype.name]
        op = net.op.add(type=kind, output=[blob], arg=[argument("shape", array.shape)])
        getattr(op.arg.add(name="values"), values).extend(np.ravel(array).tolist())
        net.external_output.append(blob)
    return net


def _write(
    graph: Graph, step: Step, index: int, sink: OperatorList, names: dict[str, str], last: Mapping[str, int]
) -> None:
    """Add the operators of a step. Raises NetcError E801, with the layer and its place."""
    node = step.node
    rule = rule_for(node.layer)
    if rule is None:
        raise cannot_export(node, "Caffe2", f"netc has no rule that writes `{node.layer.type}` as operators")
    call = Caffe2Call(
        sink,
        tuple(names[name] for name in node.bottoms),
        tuple(known_shape(graph, name, 1) for name in node.bottoms),
        [_top(graph, name, index, sink, names, last) for name in step.tops],
        tuple(known_shape(graph, name, 1) for name in step.tops),
        tuple(array for one in step.nodes for array in graph.arrays(one)),
    )
    try:
        rule(node.layer, call)
    except NetcError as error:
        raise cannot_export(node, "Caffe2", *(d.message for d in error.diagnostics)) from None
    names.update(zip(step.tops, call.tops))


def _top(
    graph: Graph, name: str, index: int, sink: OperatorList, names: Mapping[str, str], last: Mapping[str, int]
) -> str:
    """The blob of a top: Caffe's, unless a later layer reads the value that is in it."""
    blob = graph.values[name].blob
    held = [value for value in names if names[value] == blob]
    if not held or any(last.get(value, -1) > index or value in graph.outputs for value in held):
        return sink.names.add(blob)
    return blob
