"""The ONNX model of a graph."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np

from netc.diagnostics import NetcError
from netc.exporters.errors import ANY_AXES, cannot_export, check_traceable, known_shape, unsupported
from netc.exporters.onnx.model_file import SMALL, OnnxModel, check_size
from netc.exporters.onnx.rules import RULES, OnnxCall, Sink
from netc.exporters.onnx.traced import OPSET, traced_layer
from netc.exporters.symbolic_shapes import FixedExtentError, SymbolicShapes, with_free_extents
from netc.ir.dtypes import is_floating
from netc.ir.fusion import Step, steps

if TYPE_CHECKING:
    from collections.abc import Collection

    import onnx

    from netc.exporters.input_stage import InputStage
    from netc.ir.graph import Graph, Node

IR_VERSION = 10
"""The file format that OPSET came with."""
LAYERS_KEY, BLOBS_KEY = "netc.layers", "netc.blobs"
"""Metadata of a model, JSON: for each value the layers that are computed to produce it, and its blob in the net."""

NEWEST = {"MaxRoiPool": 21}
"""The newest version of operators that onnxruntime implements where that is older than OPSET; a model with such an
operator is of that version, in which the operators of layers are defined alike."""


def onnx_model(
    graph: Graph,
    stage: InputStage | None = None,
    dtype: str = "float32",
    opset: int = OPSET,
    dynamic: Collection[str] = ("n",),
) -> OnnxModel:
    """The model, checked. With a `stage` its first input takes RGB images (n, h, w, 3) of bytes.

    `dtype` is float32, float64 or float16; `dynamic` are the axes that may be free (see `symbolic_shapes.AXES`).
    Raises NetcError E801 for layers that have no form in ONNX, E802 for inputs of unknown size, E407 for more than the
    2 GB that one file can hold.
    """
    return with_free_extents(graph, lambda symbolic: _Model(graph, symbolic, dtype).made(stage, opset), dynamic)


class _Model:
    def __init__(self, graph: Graph, symbolic: SymbolicShapes, dtype: str) -> None:
        self.graph, self.symbolic = graph, symbolic
        self.sink = Sink(np.dtype(dtype))
        self.sink.names.used.update(name for name in graph.values if name)
        self.names = {name: name or self.sink.fresh("blob") for name in graph.values}
        """The names of values in the model: in ONNX an empty name stands for a missing value."""
        self.layers: dict[str, list[str]] = {}

    def made(self, stage: InputStage | None, opset: int) -> OnnxModel:
        """The model of the graph."""
        import onnx

        graph, sink = self.graph, self.sink
        inputs = [self._input(name, stage if index == 0 else None) for index, name in enumerate(graph.inputs)]
        for step in steps(graph):
            self._write(step)
        check_size(sum(constant.nbytes for constant in sink.constants.values()))
        outputs = [self._value(name) for name in graph.outputs]
        large = {name: constant for name, constant in sink.constants.items() if constant.nbytes > SMALL}
        small = ((name, constant.value) for name, constant in sink.constants.items() if name not in large)
        tensors = [onnx.numpy_helper.from_array(array, name) for name, array in small]
        made = onnx.helper.make_graph(sink.nodes(), graph.name or "net", inputs, outputs, tensors)
        newest = min((NEWEST[kind] for kind, *_ in sink.operators if kind in NEWEST), default=opset)
        opsets = [onnx.helper.make_opsetid("", min(opset, newest))]
        message = onnx.helper.make_model(made, opset_imports=opsets, ir_version=IR_VERSION, producer_name="netc")
        onnx.helper.set_model_props(message, self._metadata())
        model = OnnxModel(message, large)
        model.check()
        return model

    def _metadata(self) -> dict[str, str]:
        blobs = {self.names[name]: value.blob for name, value in self.graph.values.items()}
        return {LAYERS_KEY: json.dumps(self.layers), BLOBS_KEY: json.dumps(blobs)}

    def _value(self, name: str) -> onnx.ValueInfoProto:
        import onnx

        kind = self.graph.values[name].dtype
        dtype = self.sink.dtype if is_floating(kind) else np.dtype(kind)
        return onnx.helper.make_tensor_value_info(
            self.names[name], onnx.helper.np_dtype_to_tensor_dtype(dtype), self.symbolic.extents[name]
        )

    def _input(self, name: str, stage: InputStage | None) -> onnx.ValueInfoProto:
        shape = known_shape(self.graph, name, free=1)
        if stage is None:
            return self._value(name)
        import onnx

        if len(shape) != 4 or shape[1] != 3:
            raise NetcError(f"`{self.graph.values[name].blob}` does not take images of three channels", code="E802")
        images = self.sink.fresh("images")
        call = OnnxCall(self.sink, "input", (images,), (shape,), (self.names[name],), (shape,), (), ())
        planes = call.op("Transpose", images, perm=(0, 3, 1, 2))
        if stage.bgr:
            planes = call.op("Gather", planes, call.constant([2, 1, 0], "order", np.int64), axis=1)
        numbers = call.op("Cast", planes, to_type="float32")
        centered = call.op("Sub", numbers, call.constant(stage.mean, "mean", np.float32))
        scaled = call.op("Mul", centered, call.constant(stage.scale, "scale", np.float32))
        call.top("Cast", scaled, to_type="net")
        batch, _, *plane = self.symbolic.extents[name] or shape
        return onnx.helper.make_tensor_value_info(images, onnx.TensorProto.UINT8, [batch, *plane, 3])

    def _write(self, step: Step) -> None:
        """Add a step by its rule; by the general path where there is none, or where it cannot express the layer."""
        try:
            self._by_rule(step)
        except NetcError as error:
            if any(found.code != "E801" for found in error.diagnostics):
                raise
            reasons = [found.message for found in error.diagnostics]
            for node in step.nodes:
                self._by_trace(node, reasons)

    def _by_rule(self, step: Step) -> None:
        rule = RULES.rule_for(step.node.layer)
        if rule is None:
            unsupported("it has no rule of its own")
        beyond = any(set(self.symbolic.free_axes(name)) - {0} for name in (*step.node.bottoms, *step.tops))
        if beyond and not RULES.takes_any_extents(step.node.layer):
            unsupported("an extent beyond the first axis is free")
        draft = self.sink.draft()
        rule(step.node.layer, self._call(step.nodes, draft))
        self._keep(draft, step.nodes)

    def _by_trace(self, node: Node, reasons: list[str]) -> None:
        draft = self.sink.draft()
        try:
            check_traceable(node.layer, len(node.bottoms), len(node.tops))
            traced_layer(node.layer, self._call((node,), draft))
        except NetcError as error:
            found = error.diagnostics[0]
            if found.code != "E801":
                raise
            if any(map(self.symbolic.free_axes, node.bottoms)):  # the layer may have a form for fixed extents
                raise FixedExtentError from None
            raise cannot_export(node, "ONNX", *reasons, found.message, help=found.help) from None
        self._keep(draft, (node,))

    def _keep(self, draft: Sink, nodes: tuple[Node, ...]) -> None:
        """Add the operators of layers that are computed together."""
        self.sink.keep(draft)
        self.layers.update({self.names[top]: [node.name for node in nodes] for top in nodes[-1].tops})

    def _call(self, nodes: tuple[Node, ...], sink: Sink) -> OnnxCall:
        """The use of a layer, or of two that are computed together."""
        graph, first = self.graph, nodes[0]
        for name in first.bottoms:
            known_shape(graph, name, free=1)
        weights = [weight for node in nodes for weight in graph.weights(node)]
        return OnnxCall(
            sink=sink,
            name=first.name or first.layer.type,
            bottoms=tuple(map(self.names.__getitem__, first.bottoms)),
            shapes=graph.shapes(first.bottoms),
            tops=tuple(map(self.names.__getitem__, nodes[-1].tops)),
            top_shapes=tuple(known_shape(graph, name, free=ANY_AXES) for name in nodes[-1].tops),
            blobs=tuple(blob for node in nodes for blob in graph.arrays(node)),
            blob_names=tuple(weight.name for weight in weights),
            absorbed=nodes[1].layer if len(nodes) > 1 else None,
            sample=self.symbolic.sample_shapes(first.bottoms),
            free=tuple(map(self.symbolic.free_axes, first.bottoms)),
            dtypes=tuple(graph.values[name].dtype for name in first.bottoms),
            module_shapes=tuple(weight.module_shape for weight in weights),
        )
