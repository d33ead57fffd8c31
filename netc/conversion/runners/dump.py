"""Blobs that were recorded elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netc.weights.numpy_file import read_npz

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from netc.conversion.runners.runner import Values, Writers
    from netc.exporters.symbolic_shapes import Extents
    from netc.passes.arrays import Array


class Dump:
    """The blobs in a .npz file, by name."""

    versions = False
    inputs: Mapping[str, Extents] = {}
    indices = frozenset[str]()
    writers: Writers = {}
    blobs: Mapping[str, str] = {}

    def __init__(self, path: Path) -> None:
        self.path = path
        self.values = read_npz(path)

    def run(self, inputs: Mapping[str, Array]) -> Values:
        """The arrays of the file."""
        return self.values
