"""The ONNX model of a graph."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from netc.diagnostics import NetcError
from netc.exporters.errors import cannot_export, known_shape
from netc.exporters.input_stage import InputStage
from netc.exporters.onnx.rules import RULES, OnnxCall, Sink
from netc.ir.dims import known
from netc.ir.fusion import Step, steps
from netc.ir.graph import Graph

if TYPE_CHECKING:
    import onnx

OPSET = 22
"""The version of ONNX's operators that is written."""
IR_VERSION = 10
"""The file format that OPSET came with."""
BATCH = "batch"
"""The name of the extent that is free."""
MAX_BYTES = 2**31 - 1
"""What protobuf can hold in one message."""


def model_of(
    graph: Graph,
    stage: InputStage | None = None,
    dtype: str = "float32",
    opset: int = OPSET,
) -> onnx.ModelProto:
    """The model, checked. With a `stage` its first input takes RGB pictures (n, h, w, 3) of bytes.

    `dtype` is float32, float64 or float16. Raises NetcError E801 for layers that have no form in ONNX, E802 for inputs
    of unknown size, E407 for more than the 2 GB that one file can hold.
    """
    import onnx

    sink = Sink(np.dtype(dtype))
    sink.names.update(graph.values)
    inputs = [_input(graph, sink, name, stage if index == 0 else None) for index, name in enumerate(graph.inputs)]
    for step in steps(graph):
        _write(graph, sink, step)
    size = sum(array.nbytes for array in sink.constants.values())
    if size > MAX_BYTES:
        raise NetcError(f"the weights need {size} bytes, an ONNX file can hold {MAX_BYTES}", code="E407")
    outputs = [_value(name, graph, sink.dtype) for name in graph.outputs]
    nodes = sink.nodes()
    tensors = [onnx.numpy_helper.from_array(array, name) for name, array in sink.constants.items()]
    made = onnx.helper.make_graph(nodes, graph.name or "net", inputs, outputs, tensors)
    opsets = [onnx.helper.make_opsetid("", opset)]
    model = onnx.helper.make_model(made, opset_imports=opsets, ir_version=IR_VERSION, producer_name="netc")
    onnx.checker.check_model(model, full_check=True)
    return model


def _value(name: str, graph: Graph, dtype: np.dtype[Any]) -> onnx.ValueInfoProto:
    import onnx

    shape = graph.shape(name)
    first = BATCH if shape and known(shape[0]) else None  # a Filter gives as many items as it pleases
    extents: list[str | int | None] | None = None if shape is None else [first, *shape[1:]] if shape else []
    return onnx.helper.make_tensor_value_info(name, onnx.helper.np_dtype_to_tensor_dtype(dtype), extents)


def _input(graph: Graph, sink: Sink, name: str, stage: InputStage | None) -> onnx.ValueInfoProto:
    shape = known_shape(graph, name, free=1)
    if stage is None:
        return _value(name, graph, sink.dtype)
    import onnx

    if len(shape) != 4 or shape[1] != 3:
        raise NetcError(f"`{graph.values[name].blob}` takes no pictures of three colours", code="E802")
    pictures = sink.fresh("images")
    call = OnnxCall(sink, "input", (pictures,), (shape,), (name,), (shape,), (), ())
    planes = call.op("Transpose", pictures, perm=(0, 3, 1, 2))
    if stage.bgr:
        planes = call.op("Gather", planes, call.constant([2, 1, 0], "order", np.int64), axis=1)
    numbers = call.op("Cast", planes, to_type="float32")
    centred = call.op("Sub", numbers, call.constant(stage.mean, "mean", np.float32))
    scaled = call.op("Mul", centred, call.constant(stage.scale, "scale", np.float32))
    call.top("Cast", scaled, to_type="net")
    return onnx.helper.make_tensor_value_info(pictures, onnx.TensorProto.UINT8, [BATCH, *shape[2:], 3])


def _write(graph: Graph, sink: Sink, step: Step) -> None:
    node = step.node
    rule = RULES.rule_for(node.layer)
    if rule is None:
        raise cannot_export(node, "ONNX")
    for name in node.bottoms:
        known_shape(graph, name, free=1)
    call = OnnxCall(
        sink=sink,
        name=node.name or node.layer.type,
        bottoms=node.bottoms,
        shapes=graph.shapes(node.bottoms),
        tops=step.tops,
        top_shapes=graph.shapes(step.tops),
        blobs=tuple(blob for one in step.nodes for blob in graph.arrays(one)),
        blob_names=tuple(weight.name for one in step.nodes for weight in graph.weights(one)),
        absorbed=None if step.absorbed is None else step.absorbed.layer,
    )
    try:
        rule(node.layer, call)
    except NetcError as error:
        raise cannot_export(node, "ONNX", *(d.message for d in error.diagnostics)) from None
