"""Layers without an ONNX rule: traced to ATen operators, which torch's own exporter (onnxscript) writes.

The operators stand among those of the net: bottoms, tops and blobs keep the net's names, values between them are named
after the layer.
"""

from __future__ import annotations

import logging
import warnings
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

from netc.diagnostics import NetcError
from netc.exporters.errors import unsupported
from netc.foreign import words

if TYPE_CHECKING:
    from collections.abc import Iterator

    import onnx
    from torch.export import ExportedProgram

    from netc.exporters.onnx.rules import OnnxCall
    from netc.ir.layer import Layer

OPSET = 22
"""The version of ONNX's operators that is written."""
_LOGGERS = ("torch.onnx", "torch.onnx._internal.exporter._registration", "onnxscript", "onnx_ir")


def traced_layer(layer: Layer, call: OnnxCall) -> None:
    """Add the operators of a layer.

    Raises NetcError E801 for a layer that cannot be traced, has an operator that ONNX lacks, or is exported with other
    results, and if onnxscript or onnxruntime is missing; FixedExtentError for a layer that fixes a free extent.
    """
    for package in ("onnxscript", "onnxruntime"):
        if find_spec(package) is None:
            raise NetcError(
                f"a layer of type `{layer.type}` has no ONNX rule and needs {package}, which is not installed",
                code="E801",
                help="install the extra: `pip install netc[export]`",
            )
    _embed(_model(layer, call), call)


def _model(layer: Layer, call: OnnxCall) -> onnx.GraphProto:
    import torch

    from netc.exporters.trace import traced

    program = traced(layer, call.sample, call.dtypes, call.free, len(call.tops), call.sink.dtype.name)
    if _is_random(program):
        unsupported("its forward pass draws random numbers, also in test")
    try:
        with _quiet():
            exact = program.run_decompositions({torch.ops.aten.avg_pool2d.default: _average_pooling})
            made = torch.onnx.export(exact, (), dynamo=True, opset_version=OPSET, verbose=False, optimize=True)
    except Exception as error:  # torch.onnx.errors, and what onnxscript's functions raise
        unsupported(f"torch has no ONNX form of an operator of its forward pass: {_cause(error)}")
    assert made is not None, "torch.onnx.export returns a program where it gets no file"
    model = made.model_proto
    if model.functions or any(one.domain not in ("", "ai.onnx") for one in model.opset_import):
        unsupported("torch exports it with operators that are not ONNX's own")
    _check(model, program)
    return model.graph


def _is_random(program: ExportedProgram) -> bool:
    """Whether a program draws random numbers."""
    import torch

    seeded = torch.Tag.nondeterministic_seeded
    return any(seeded in getattr(node.target, "tags", ()) for node in program.graph.nodes)


def _average_pooling(x: Any, kernel: Any, *rest: Any, **named: Any) -> Any:
    """Average pooling with a divisor of its own, which torch's exporter ignores, as a product."""
    import torch

    words = ("stride", "padding", "ceil_mode", "count_include_pad", "divisor_override")
    settings = {**dict(zip(words, rest)), **named}
    divisor = settings.pop("divisor_override", None)
    if divisor is None or settings.get("ceil_mode"):
        return NotImplemented
    settings["count_include_pad"] = True
    area = kernel[0] * kernel[-1] if len(kernel) > 1 else kernel[0] ** 2
    return torch.nn.functional.avg_pool2d(x, kernel, **settings) * (area / divisor)


def _cause(error: BaseException) -> str:
    """The first line of the error that caused another."""
    while error.__cause__ is not None:
        error = error.__cause__
    return words(error)


def _check(model: onnx.ModelProto, program: ExportedProgram) -> None:
    """Run both on the same numbers: torch's exporter ignores some arguments silently.

    Raises NetcError E801 if they differ, and if the layer cannot be run on random numbers.
    """
    import onnxruntime
    import torch

    generator = torch.Generator().manual_seed(0)
    examples: tuple[torch.Tensor, ...] = program.example_inputs[0]
    given = [torch.rand(x.shape, generator=generator).to(x.dtype) for x in examples]
    try:
        with torch.no_grad():
            wanted = program.module()(*given)
    except Exception as error:  # an index out of range, for instance
        unsupported(f"its forward pass fails on the numbers that an export is checked with: {words(error)}")
    settings = onnxruntime.SessionOptions()
    settings.log_severity_level, settings.intra_op_num_threads = 4, 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), settings, ["CPUExecutionProvider"])
    found = session.run(None, {one.name: x.numpy() for one, x in zip(model.graph.input, given)})
    tolerance = 1e-2 if any(x.dtype == torch.float16 for x in given) else 1e-3
    for one, other in zip(wanted, found):
        if not np.allclose(one.numpy(), other, rtol=tolerance, atol=tolerance, equal_nan=True):
            unsupported("torch exports an operator of its forward pass with other results")


@contextmanager
def _quiet() -> Iterator[None]:
    """Without torch's warnings about itself."""
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels):
            logger.setLevel(level)


def _embed(graph: onnx.GraphProto, call: OnnxCall) -> None:
    """Add the operators of a graph whose inputs are the layer's bottoms and blobs, and whose outputs are its tops."""
    import onnx

    outer = [*call.bottoms, *(call.blob(index, shape) for index, shape in enumerate(call.module_shapes))]
    names = {value.name: name for value, name in zip(graph.input, outer)}
    for tensor in graph.initializer:
        names[tensor.name] = call.tensor(onnx.numpy_helper.to_array(tensor))
    for value, top in zip(graph.output, call.tops):
        if value.name in names:  # a top that is a bottom, or another top
            call.op("Identity", names[value.name], to=top)
        else:
            names[value.name] = top
    for node in graph.node:
        _add(node, names, call)


def _add(node: onnx.NodeProto, names: dict[str, str], call: OnnxCall) -> None:
    import onnx

    attributes: dict[str, Any] = {one.name: onnx.helper.get_attribute_value(one) for one in node.attribute}
    if any(isinstance(value, onnx.GraphProto) for value in attributes.values()):
        unsupported(f"its forward pass has a branch or a loop that data decides (`{node.op_type}`)")
    for output in node.output:
        if output and output not in names:
            names[output] = call.sink.fresh(f"{call.name}/{node.op_type}")
    inputs = [names[name] if name else "" for name in node.input]
    call.add(node.op_type, inputs, [names[name] if name else "" for name in node.output], attributes)
