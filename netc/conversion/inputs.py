"""Reads the inputs of a net from a file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from netc.compiler import TEST_STATE, StateChoice
from netc.conversion.runners import open_runner
from netc.diagnostics import NetcError, counted
from netc.files import check_regular

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

    Raises NetcError E402 for another file, E302 for one array where the net has several inputs.
    """
    try:
        check_regular(file)
        loaded = np.load(file, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise NetcError(f"`{file}` is not a .npy or .npz file of arrays: {error}", code="E402") from None
    if not isinstance(loaded, np.ndarray):
        return {name: loaded[name] for name in loaded.files}
    names = next((list(r.inputs) for side in sides if (r := open_runner(side, weights, shapes, state)).inputs), [])
    if len(names) != 1:
        raise NetcError(
            f"the net has {counted(len(names), 'input')}, `{file}` has one array", code="E302", help="pass a .npz file"
        )
    return {names[0]: loaded}
