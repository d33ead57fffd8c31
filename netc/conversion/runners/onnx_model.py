"""An ONNX model, which onnxruntime runs."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

import numpy as np

from netc.conversion.runners.runner import Values, Writers, engine_errors, given
from netc.exporters.onnx.model import BLOBS_KEY, LAYERS_KEY
from netc.extras import import_extra
from netc.foreign import foreign_errors

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from netc.exporters.symbolic_shapes import Extents
    from netc.passes.arrays import Array

KIND = "an ONNX model"
_KINDS = {
    "tensor(float16)": "float16", "tensor(double)": "float64", "tensor(uint8)": "uint8", "tensor(int64)": "int64",
    "tensor(int32)": "int32", "tensor(bool)": "bool",
}  # fmt: skip


class OnnxRunner:
    """A model that onnxruntime runs, with every inner value as an output."""

    versions = True
    indices = frozenset[str]()

    def __init__(self, path: Path) -> None:
        onnx: Any = import_extra("onnx", "export", "reading ONNX models")
        onnxruntime: Any = import_extra("onnxruntime", "export", "running ONNX models")
        self.path = path
        settings = onnxruntime.SessionOptions()
        settings.log_severity_level = 4
        settings.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        with foreign_errors(path, KIND):
            model = onnx.load(path)
            shown = {value.name for value in model.graph.output}
            self.names = list(dict.fromkeys(name for node in model.graph.node for name in node.output if name))
            model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in self.names if name not in shown)
            providers = ["CPUExecutionProvider"]
            session = onnxruntime.InferenceSession(model.SerializeToString(), settings, providers, enable_fallback=0)
            inputs = [(one.name, one.type, one.shape) for one in session.get_inputs()]  # names may not be UTF-8
        self.session = session
        metadata = {one.key: one.value for one in model.metadata_props}
        self.writers: Writers = _writers(_json(metadata, LAYERS_KEY))
        self.blobs = {name: blob for name, blob in _json(metadata, BLOBS_KEY).items() if isinstance(blob, str)}
        self.kinds = {name: _KINDS.get(kind, "float32") for name, kind, _ in inputs}
        self.inputs: dict[str, Extents] = {self._blob(name): _extents(shape) for name, _, shape in inputs}

    def _blob(self, name: str) -> str:
        return self.blobs.get(name, name)

    def run(self, inputs: Mapping[str, Array]) -> Values:
        """Every tensor of the model."""
        arrays = {name: given(self, inputs, self._blob(name)) for name in self.kinds}
        with engine_errors(self.path, arrays):
            feeds = {name: np.asarray(arrays[name]).astype(kind) for name, kind in self.kinds.items()}
            results = self.session.run(self.names, feeds)
        return {name: found for name, found in zip(self.names, results) if isinstance(found, np.ndarray)}


def _extents(shape: list[Any]) -> Extents:
    """The extents of an input; an extent without a name or number is free."""
    return tuple(extent if isinstance(extent, (int, str)) else f"?{axis}" for axis, extent in enumerate(shape))


def _json(metadata: Mapping[str, str], key: str) -> dict[str, Any]:
    """A mapping in the metadata of a model that netc wrote; an empty one for the model of another program."""
    with contextlib.suppress(ValueError, RecursionError):
        found = json.loads(metadata.get(key, ""))
        return found if isinstance(found, dict) else {}
    return {}


def _writers(listed: Mapping[str, Any]) -> Writers:
    return {name: tuple(map(str, layers)) for name, layers in listed.items() if isinstance(layers, list) and layers}
