"""Reads the inputs of a net from a file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netc.compiler import TEST_STATE, StateChoice
from netc.conversion.runners import open_runner
from netc.diagnostics import NetcError, counted
from netc.weights.numpy_file import read_arrays

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from netc.conversion.models import Files
    from netc.ir.dims import Shape
    from netc.passes.arrays import Array


def read_inputs(
    file: str | Path,
    sides: Sequence[str | Path],
    weights: Files,
    shapes: Mapping[str, Shape] | None,
    state: StateChoice = TEST_STATE,
) -> dict[str, Array]:
    """The arrays of a .npz by name; a .npy is the only input of the first of `sides` that has one.

    Raises NetcError E401 to E405 for a file that cannot be read, E302 for one array where the net has several inputs.
    """
    loaded = read_arrays(file)
    if isinstance(loaded, dict):
        return loaded
    names = next((list(r.inputs) for side in sides if (r := open_runner(side, weights, shapes, state)).inputs), [])
    if len(names) != 1:
        raise NetcError(
            f"the net has {counted(len(names), 'input')}, `{file}` has one array", code="E302", help="pass a .npz file"
        )
    return {names[0]: loaded}
