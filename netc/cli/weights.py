"""`netc weights FILE [NET]`: List the contents of a weights file."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from typing import Any

import click

from netc.cli.options import format_option, option, parse_shapes, shape_option
from netc.cli.state_options import state_options
from netc.cli.terminal import say, show
from netc.compiler import state_choice
from netc.conversion.embedded_net import write_prototxt
from netc.conversion.weights_report import BlobRow, Listing, list_weights
from netc.diagnostics import counted, visible
from netc.ir.dims import text


@click.command(name="weights")
@click.argument("file")
@click.argument("net", required=False)
@option("--stats", is_flag=True, help="Print statistics: extremes, mean, standard deviation, NaN, all zeros.")
@option("--prototxt", metavar="OUT", help="Write the net in the file, with inputs instead of data layers.")
@option("--dialect", metavar="NAME", help="Fork of Caffe that wrote the file; detected by default.")
@state_options()
@shape_option()
@format_option()
def command(
    file: str,
    net: str | None,
    stats: bool,
    prototxt: str | None,
    dialect: str | None,
    state: dict[str, Any],
    shape: tuple[str, ...],
    style: str,
) -> int:
    """List the layers and blobs of a weights file: .caffemodel, .h5, .safetensors, .pt or .npz.

    With NET, each blob is compared with the net's, and the exit status is 1 if a blob of the net is missing or has
    another shape. With `--prototxt`, the net in the file is written instead; Caffe stores it there, many other
    programs do not.
    """
    if dialect is not None and prototxt is None:
        raise click.UsageError("`--dialect` requires `--prototxt`")
    shapes, choice = parse_shapes(shape), state_choice(**state)
    if prototxt is not None:
        show(write_prototxt(file, prototxt, dialect=dialect, shapes=shapes, state=choice))
        say(f"wrote {prototxt}")
        return 0
    found = list_weights(file, net, stats=stats, shapes=shapes, state=choice)
    say(json.dumps(_plain(found), indent=2) if style == "json" else _table(found))
    return int(not found.fits)


def _plain(found: Listing) -> dict[str, Any]:
    rows = []
    for row in found.rows:
        values = {name: getattr(row, name) for name in ("layer", "type", "index", "file", "net", "dtype", "verdict")}
        numbers = None if row.statistics is None else {k: _number(v) for k, v in asdict(row.statistics).items()}
        rows.append({**values, "statistics": numbers})
    return {"file": found.path, "name": found.name, "values": found.values, "fits": found.fits, "blobs": rows}


def _number(value: float) -> float | str:
    """Represent NaN and infinities, which JSON lacks, as strings."""
    return value if math.isfinite(value) else str(value)


def _table(found: Listing) -> str:
    rows = [_cells(row, index, found.rows) for index, row in enumerate(found.rows)]
    widths = [max(map(len, column)) for column in zip(*rows)] if rows else []
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]
    layers = len({row.layer for row in found.rows if row.file is not None})
    title = f"{found.name or '(unnamed)'}: {counted(layers, 'layer')}, {found.values:,} values"
    return "\n".join([visible(line) for line in (title, *lines)])


def _cells(row: BlobRow, index: int, rows: tuple[BlobRow, ...]) -> list[str]:
    repeated = row.index > 0 and rows[index - 1].layer == row.layer
    first = ["", ""] if repeated else [row.layer, row.type or "-"]
    shape = "-" if row.file is None else text(row.file)
    cells = [*first, shape, row.dtype]
    if row.compared:
        cells += [row.verdict, text(row.net) if row.net is not None and row.verdict != "fits" else ""]
    found = row.statistics
    if found is not None:
        cells += [f"{value:.4g}" for value in (found.min, found.max, found.mean, found.std)] + [row.remark]
    elif any(one.statistics for one in rows):
        cells += [""] * 5
    return cells
