"""`netc verify ONE OTHER`: Compare two forms of a net, value by value."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from netc.cli.options import format_option, option, parse_shapes, shape_option, weights_option
from netc.cli.state_options import state_options
from netc.cli.terminal import say
from netc.diagnostics import counted, visible

if TYPE_CHECKING:
    from netc.conversion.verify import ValueDifference, Verification


@click.command(name="verify")
@click.argument("one")
@click.argument("other")
@weights_option(help="Weights of a prototxt; may be repeated.")
@option("--other-weights", multiple=True, metavar="FILE", help="Weights of OTHER, if they differ; may be repeated.")
@option("--input", "input_", metavar="FILE", help="Inputs: a .npz with arrays by name, or a .npy of the only input.")
@option(
    "--batch",
    type=click.IntRange(1),
    help="Batch size of the random input; by default 1, or the size that a form is fixed to.",
)
@option("--seed", type=int, default=0, show_default=True, help="Seed of the random input.")
@option(
    "--tolerance",
    type=float,
    default=1e-4,
    show_default=True,
    help="Allowed relative difference.",
)
@state_options()
@shape_option()
@format_option()
def command(
    one: str,
    other: str,
    weights: tuple[str, ...],
    other_weights: tuple[str, ...],
    input_: str | None,
    batch: int | None,
    seed: int,
    tolerance: float,
    state: dict[str, Any],
    shape: tuple[str, ...],
    style: str,
) -> int:
    """Run the same input through two forms of a net and compare every value.

    A form is a prototxt with weights, a .caffemodel that contains its net, an .onnx file, a .py file of `netc convert`,
    or a .npz with blobs. Without `--input` the inputs come from the .npz, or are random. The exit status is 1 if a
    value differs.
    """
    shapes = parse_shapes(shape)
    from netc.compiler import state_choice
    from netc.conversion.inputs import read_inputs
    from netc.conversion.verify import verify

    choice = state_choice(**state)
    given = None if input_ is None else read_inputs(input_, (one, other), weights, shapes, choice)
    found = verify(
        one,
        other,
        weights=weights,
        other_weights=other_weights or None,
        inputs=given,
        batch=batch,
        seed=seed,
        tolerance=tolerance,
        shapes=shapes,
        state=choice,
    )
    say(json.dumps(_plain(found), indent=2) if style == "json" else _table(found, tolerance))
    return int(not found.agrees)


def _plain(found: Verification) -> dict[str, Any]:
    rows = [{key: _number(value) for key, value in asdict(row).items()} for row in found.differences]
    return {"agrees": found.agrees, "first": found.first.name if found.first else None, "values": rows}


def _number(value: Any) -> Any:
    """Represent NaN and infinities, which JSON lacks, as strings."""
    return value if not isinstance(value, float) or math.isfinite(value) else str(value)


def _table(found: Verification, tolerance: float) -> str:
    width = max(len(row.name) for row in found.differences)
    lines = [f"{'value'.ljust(width)}  {'absolute':>10}  {'relative':>10}"]
    lines += [_line(row, width) for row in found.differences]
    count = len(found.differences)
    if found.first is None:
        agree = "1 value agrees" if count == 1 else f"all {count} values agree"
        lines.append(f"{agree} to {tolerance:g}")
    else:
        differing = sum(row.departs for row in found.differences)
        verb = "differs" if differing == 1 else "differ"
        lines.append(f"{differing} of {counted(count, 'value')} {verb}, first `{found.first.name}`")
    return "\n".join(map(visible, lines))


def _line(row: ValueDifference, width: int) -> str:
    mark = "  differs" if row.departs else ""
    return f"{row.name.ljust(width)}  {row.absolute:10.3g}  {row.relative:10.3g}{mark}  {row.note}".rstrip()
