"""Formats a summary as text, JSON, CSV and Markdown."""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING, Any

from netc.diagnostics import counted, visible
from netc.ir.dims import known, text

if TYPE_CHECKING:
    from netc.inspection.net_cost import NetCost
    from netc.ir.cost import CostRow
    from netc.ir.receptive_field import ReceptiveFields

HEAD = ("layer", "type", "tops", "field", "parameters", "multiply-adds", "activations", "gradients")
"""Columns of the table; memory in bytes."""
LEFT = 3
"""Number of columns with text, aligned left; the others contain numbers."""
TOTALS = (
    ("parameters", "parameters"),
    ("multiply-adds", "macs"),
    ("other operations", "operations"),
    ("bytes of activations", "activation_bytes"),
    ("bytes of gradients", "gradient_bytes"),
    ("peak bytes of inference", "inference_peak_bytes"),
    ("peak bytes of training", "training_peak_bytes"),
)
"""The totals below the table, with the attributes of NetCost."""


def as_text(summary: NetCost) -> str:
    """Return aligned columns followed by the totals."""
    lines = [HEAD, *(_cells(row) for row in summary.rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(HEAD))]
    table = ["  ".join(_aligned(cell, i, widths[i]) for i, cell in enumerate(line)).rstrip() for line in lines]
    totals = [(label, number(getattr(summary, name))) for label, name in TOTALS]
    left, right = (max(len(pair[i]) for pair in totals) for i in (0, 1))
    return "\n".join([*table, "", _caption(summary), *(f"  {a.ljust(left)}  {b.rjust(right)}" for a, b in totals)])


def _caption(summary: NetCost) -> str:
    size = "?" if summary.batch is None else summary.batch
    return f"total of {counted(len(summary.rows), 'layer')}, {summary.graph.state.phase} net, batch size {size}"


def _aligned(cell: str, column: int, width: int) -> str:
    return cell.ljust(width) if column < LEFT else cell.rjust(width)


def as_markdown(summary: NetCost) -> str:
    """Return a Markdown table followed by the totals."""
    marks = ["---" if i < LEFT else "---:" for i in range(len(HEAD))]
    lines = [HEAD, marks, *([cell.replace("|", "\\|") for cell in _cells(row)] for row in summary.rows)]
    totals = [f"- {label}: {number(getattr(summary, name))}" for label, name in TOTALS]
    return "\n".join([*(f"| {' | '.join(line)} |" for line in lines), "", _caption(summary) + ":", "", *totals])


def as_csv(summary: NetCost) -> str:
    """Return one line per layer with the keys of `as_json`; shapes are written `64x3x7x7`, unknown values are empty."""
    out = io.StringIO()
    plain = [_plain(row) for row in summary.rows]
    writer = csv.DictWriter(out, list(plain[0]) if plain else ["name"], lineterminator="\n")
    writer.writeheader()
    for row in plain:
        writer.writerow({name: _flat(value) for name, value in row.items()})
    return out.getvalue().rstrip("\n")


def _flat(value: Any) -> Any:
    """Format a cell: the numbers of a list, or several shapes separated by spaces."""
    if not isinstance(value, list):
        return visible(value) if isinstance(value, str) else value
    return " ".join(
        "x".join("?" if e is None else str(e) for e in one) if one is not None else "?" for one in _two(value)
    )


def _two(value: list[Any]) -> list[Any]:
    return value if all(one is None or isinstance(one, list) for one in value) else [value]


def as_json(summary: NetCost) -> str:
    """Return `net`, `phase`, `batch`, `rows` and `total` as JSON; unknown values are null."""
    whole = {
        "net": summary.graph.name,
        "phase": summary.graph.state.phase,
        "batch": summary.batch,
        "rows": [_plain(row) for row in summary.rows],
        "total": {name: getattr(summary, name) for _, name in TOTALS},
    }
    return json.dumps(whole, indent=2)


def _plain(row: CostRow) -> dict[str, Any]:
    return {
        "name": row.name,
        "type": row.type,
        "bottoms": [_shape(shape) for shape in row.bottoms],
        "tops": [_shape(shape) for shape in row.tops],
        "parameters": _number(row.parameters),
        "macs": row.macs,
        "operations": row.operations,
        "activation_bytes": row.activation_bytes,
        "gradient_bytes": row.gradient_bytes,
        "receptive_field": None if row.receptive_field is None else [field.size for field in row.receptive_field],
    }


def _shape(shape: tuple[int, ...] | None) -> list[int | None] | None:
    return None if shape is None else [_number(extent) for extent in shape]


def _number(value: int) -> int | None:
    return value if known(value) else None


def _cells(row: CostRow) -> tuple[str, ...]:
    return (
        visible(row.name),
        visible(row.type),
        " ".join(map(text, row.tops)),
        _field(row.receptive_field),
        *(number(value) for value in (row.parameters, row.macs, row.activation_bytes, row.gradient_bytes)),
    )


def number(value: int | None) -> str:
    """Format a number with commas, `?` if unknown.

    >>> number(1234567), number(None)
    ('1,234,567', '?')
    """
    return "?" if value is None or not known(value) else f"{value:,}"


def _field(fields: ReceptiveFields | None) -> str:
    """`11` for a square field, `11x7` for other fields, `-` if there are no spatial axes."""
    if fields is None:
        return "?"
    sizes = [str(field.size) for field in fields]
    return "-" if not sizes else sizes[0] if len(set(sizes)) == 1 else "x".join(sizes)
