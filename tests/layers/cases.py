"""The cases of every layer type, from the files that test them; see case.py."""

from __future__ import annotations

import importlib
from functools import cache
from pathlib import Path
from types import ModuleType

from tests.layers.case import Case

OWN = {
    "Python": "computes what its user's class says",
    **dict.fromkeys(("HDF5Output", "FLOWriter", "FloatWriter", "ImgWriter", "MatWrite", "PFMWriter"), "writes files"),
    "Parameter": "has no bottom",
    "DetectNetTransformation": "reads boxes that are preceded by their number",
}
"""Types whose own tests do what cannot be asked here, and why."""


@cache
def modules_with(text: str) -> list[ModuleType]:
    """Each test_<family>.py in this folder and those below it that has this text, in alphabetical order; not those of
    Caffe2's operators, which have a harness of their own.
    """
    folder = Path(__file__).parent
    files = [file for file in sorted(folder.rglob("test_*.py")) if "operators" not in file.relative_to(folder).parts]
    files = [file for file in files if text in file.read_text()]
    stems = [".".join(file.relative_to(folder).with_suffix("").parts) for file in files]
    return [importlib.import_module(f"tests.layers.{stem}") for stem in stems]


CASES: list[Case] = [case for module in modules_with("\nCASES = [") for case in module.CASES]


def whole() -> dict[str, dict[str, object]]:
    """Messages with a field that cannot be set without others, by the field's path: the WHOLE of the test files."""
    return {path: text for module in modules_with("\nWHOLE = {") for path, text in module.WHOLE.items()}


def required() -> dict[str, str]:
    """Values of the parameters of each type that have no default: the REQUIRED of the test files."""
    return {name: text for module in modules_with("\nREQUIRED = {") for name, text in module.REQUIRED.items()}
