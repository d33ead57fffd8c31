"""The formats that `netc convert` writes; the command line lists them without importing torch."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Format = Literal["safetensors", "pt", "caffe", "caffe2", "py", "onnx", "pt2"]
WRITERS = "netc.conversion.writers"


@dataclass(frozen=True)
class ExportFormat:
    """One format of models."""

    suffix: str
    """Suffix of the model's file."""
    function: str
    """Name of the function that writes the files."""
    module: str = WRITERS
    """Module of the function."""

    def writer(self) -> Callable[..., tuple[Path, ...]]:
        """The function, called with graph, net, target path, ExportOptions and preprocessing.

        It returns the paths of the files that it wrote, the model first.
        """
        function: Callable[..., tuple[Path, ...]] = getattr(importlib.import_module(self.module), self.function)
        return function


FORMATS: dict[Format, ExportFormat] = {
    "safetensors": ExportFormat(".safetensors", "write_safetensors"),
    "pt": ExportFormat(".pt", "write_state_dict"),
    "caffe": ExportFormat(".prototxt", "write_caffe_net"),
    "caffe2": ExportFormat(".pb", "write_caffe2"),
    "py": ExportFormat(".py", "write_python"),
    "onnx": ExportFormat(".onnx", "write_onnx"),
    "pt2": ExportFormat(".pt2", "write_pt2"),
}
