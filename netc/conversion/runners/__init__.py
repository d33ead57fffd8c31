"""Runs a net in any of its forms, and returns every value that the form exposes.

runner.py       what a form of a net offers
net.py          a prototxt with weights, as netc's own net
onnx_model.py   an .onnx file
python_file.py  a .py file of `netc convert`
dump.py         a .npz with recorded blobs

Values have the names of the net's graph (`conv1`, and `conv1.1` after an in-place layer). netc's own net has all of
them, exported files have those of the layers that the passes left, and a dump has the last value of each blob.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from netc.compiler import TEST_STATE, StateChoice
from netc.conversion.runners.dump import Dump
from netc.conversion.runners.net import NetRunner
from netc.conversion.runners.onnx_model import OnnxRunner
from netc.conversion.runners.python_file import PythonRunner
from netc.conversion.runners.runner import Runner, Values
from netc.diagnostics import NetcError
from netc.files import is_file
from netc.weights.file_type import NAMES, STATE_DICTS, content, map_file

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from netc.conversion.models import Files
    from netc.ir.dims import Shape

__all__ = ["Dump", "NetRunner", "OnnxRunner", "PythonRunner", "Runner", "Values", "has_own_weights", "open_runner"]

FORMS: dict[str, Callable[[Path], Runner]] = {".onnx": OnnxRunner, ".py": PythonRunner, ".npz": Dump}
"""The forms that are one file, by suffix."""


def open_runner(
    path: str | Path,
    weights: Files = (),
    shapes: Mapping[str, Shape] | None = None,
    state: StateChoice = TEST_STATE,
) -> Runner:
    """The form of a net in a file, by its suffix: .onnx, .py, .npz, else a prototxt. Raises NetcError."""
    form = FORMS.get(Path(path).suffix.lower())
    if form is None:
        _check_content(path)
        return NetRunner(path, weights, shapes, state)
    if not is_file(path):
        raise NetcError(f"`{path}` does not exist", code="E001", missing=True)
    return form(Path(path))


def has_own_weights(path: str | Path) -> bool:
    """Whether a file in place of a prototxt is a .caffemodel, which contains a net and its weights."""
    return Path(path).suffix.lower() not in FORMS and is_file(path) and content(map_file(path)) == "caffemodel"


def _check_content(path: str | Path) -> None:
    """Raise NetcError E402 for a file that has weights and no net, or that only PyTorch runs (.pt2)."""
    found = content(map_file(path)) if is_file(path) and Path(path).stat().st_size else ""
    if found in STATE_DICTS:
        help_text = "pass the net, and this file with `--weights` or `--other-weights`"
    elif found == "zip":
        help_text = "pass an .onnx or .py file; `torch.export.load` opens a .pt2"
    else:
        return
    raise NetcError(f"`{path}` is {NAMES[found]}, not a net", code="E402", help=help_text)
