"""`netc verify ONE OTHER`: two forms of one net, value by value."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from netc.cli.output import option, parse_shapes

if TYPE_CHECKING:
    from netc.conversion.verify import ValueDifference, Verification


@click.command(name="verify")
@click.argument("one")
@click.argument("other")
@option("--weights", multiple=True, metavar="FILE", help="Weights of a prototxt; may be repeated.")
@option("--other-weights", multiple=True, metavar="FILE", help="Weights of OTHER, where they are not the same.")
@option("--input", "input_", metavar="FILE", help="A .npz with the inputs by name, or a .npy of the only one.")
@option("--batch", type=click.IntRange(1), default=1, show_default=True, help="Items of the random input.")
@option("--seed", type=int, default=0, show_default=True, help="Of the random input.")
@option("--tolerance", type=float, default=1e-4, show_default=True, help="Relative to the largest value.")
@option("--shape", multiple=True, metavar="BLOB=N,C,H,W", help="Shape of a blob that only data would tell.")
@option("--format", "format_", type=click.Choice(["text", "json"]), default="text", help="How values are printed.")
def command(
    one: str,
    other: str,
    weights: tuple[str, ...],
    other_weights: tuple[str, ...],
    input_: str | None,
    batch: int,
    seed: int,
    tolerance: float,
    shape: tuple[str, ...],
    format_: str,
) -> int:
    """Run the same input through two of: a prototxt with weights, .onnx, a .py of `netc convert`, a .npz of blobs.

    Without `--input` a dump's own inputs are taken, or random numbers. Exit status 1 where a value departs.
    """
    shapes = parse_shapes(shape)
    from netc.conversion.inputs import read_inputs
    from netc.conversion.verify import verify

    given = None if input_ is None else read_inputs(input_, (one, other), weights, shapes)
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
    )
    click.echo(json.dumps(_plain(found), indent=2) if format_ == "json" else _table(found, tolerance))
    return int(not found.agrees)


def _plain(found: Verification) -> dict[str, Any]:
    rows = [{key: _number(value) for key, value in asdict(row).items()} for row in found.differences]
    return {"agrees": found.agrees, "first": found.first.name if found.first else None, "values": rows}


def _number(value: Any) -> Any:
    """JSON has no NaN and no infinity."""
    return value if not isinstance(value, float) or math.isfinite(value) else str(value)


def _table(found: Verification, tolerance: float) -> str:
    width = max(len(row.name) for row in found.differences)
    lines = [f"{'value'.ljust(width)}  {'absolute':>10}  {'relative':>10}"]
    lines += [_line(row, width) for row in found.differences]
    count = len(found.differences)
    if found.first is None:
        lines.append(f"all {count} values agree to {tolerance:g}")
    else:
        departing = sum(row.departs for row in found.differences)
        lines.append(f"{departing} of {count} values depart, first `{found.first.name}`")
    return "\n".join("".join(c if c.isprintable() else "?" for c in line) for line in lines)


def _line(row: ValueDifference, width: int) -> str:
    mark = "  departs" if row.departs else ""
    return f"{row.name.ljust(width)}  {row.absolute:10.3g}  {row.relative:10.3g}{mark}  {row.note}".rstrip()
