"""The cases of every layer type, from the files that test them; see case.py."""

from __future__ import annotations

import importlib
from pathlib import Path

from tests.layers.case import Case

OWN = {"Python": "computes what its user's class says", "HDF5Output": "writes files", "Parameter": "has no bottom"}
"""Types whose own tests do what cannot be asked here, and why."""


def collected() -> list[Case]:
    """The CASES of each test_<family>.py in this folder and those below it, in alphabetical order."""
    folder = Path(__file__).parent
    files = sorted(folder.rglob("test_*.py"))
    own = [
        ".".join(file.relative_to(folder).with_suffix("").parts) for file in files if "\nCASES = [" in file.read_text()
    ]
    return [case for stem in own for case in importlib.import_module(f"tests.layers.{stem}").CASES]


CASES = collected()
