"""Random inputs on which two forms of a net can both be run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from netc.diagnostics import NetcError
from netc.ir.dims import known

if TYPE_CHECKING:
    from collections.abc import Sequence

    from netc.conversion.runners import Runner, Values
    from netc.exporters.symbolic_shapes import Extents


def random_inputs(runners: Sequence[Runner], batch: int | None, seed: int) -> Values:
    """Numbers around 0 for each input of forms of one net; 0 and 1 for inputs that are used as indices only.

    The first extent is `batch`, by default 1 or what a form fixes it to; other free extents are 1 too. Raises NetcError
    E802 for an unknown extent, E302 for an extent that a form fixes to another number than `batch` or than the other
    form does.
    """
    _check_names(runners)
    generator = np.random.default_rng(seed)
    indices = {name for runner in runners for name in runner.indices}
    made = {}
    for name in dict.fromkeys(name for runner in runners for name in runner.inputs):
        shape = _shape(name, [runner for runner in runners if name in runner.inputs], batch)
        if name in indices:
            made[name] = generator.integers(0, 2, shape).astype(np.float32)
        else:
            made[name] = generator.standard_normal(shape, dtype=np.float32)
    return made


def _check_names(runners: Sequence[Runner]) -> None:
    """Raise NetcError E302 where each form has an input that the other lacks; labels may be missing in one."""
    names = [set(runner.inputs) for runner in runners]
    if not any(one <= other for one, other in (names, names[::-1])):
        notes = [f"`{runner.path}` has {', '.join(f'`{name}`' for name in runner.inputs)}" for runner in runners]
        raise NetcError("the two forms have other inputs", code="E302", notes=notes)


def _shape(name: str, runners: Sequence[Runner], batch: int | None) -> tuple[int, ...]:
    """The shape of an input that all forms accept."""
    shapes = [runner.inputs[name] for runner in runners]
    if len(set(map(len, shapes))) > 1:
        raise _differ(name, runners)
    shape = []
    for axis, extents in enumerate(zip(*shapes)):
        fixed = {extent for extent in extents if not isinstance(extent, str)}
        if not all(map(known, fixed)):
            raise NetcError(f"the shape of `{name}` is unknown", code="E802", help="pass `--shape` or `--input`")
        if len(fixed) > 1:
            raise _differ(name, runners)
        if fixed and axis == 0 and batch is not None and batch not in fixed:
            raise NetcError(
                f"the first extent of `{name}` is fixed to {min(fixed)}, but the batch is {batch}",
                code="E302",
                help="leave `--batch` out",
            )
        shape.append(min(fixed) if fixed else batch if axis == 0 and batch is not None else 1)
    return tuple(shape)


def _differ(name: str, runners: Sequence[Runner]) -> NetcError:
    notes = [f"{_text(runner.inputs[name])} in `{runner.path}`" for runner in runners]
    return NetcError(f"input `{name}` has other extents in the two forms", code="E302", notes=notes)


def _text(extents: Extents) -> str:
    return f"[{','.join(map(str, extents))}]"
