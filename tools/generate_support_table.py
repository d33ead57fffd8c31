"""Writes the table of layer types to README.md, between its markers; `--check` only compares it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from netc.layers import layer_classes, registry

if TYPE_CHECKING:
    from netc.ir.layer import Layer

README = Path(__file__).parent.parent / "README.md"
BEGIN, END = "<!-- layers: begin (tools/generate_support_table.py) -->", "<!-- layers: end -->"


def table() -> str:
    """One row per meaning of a layer type: its fork, the field of its parameters, and one sentence of description."""
    rows = ["| layer | Caffe | parameters | what it computes |", "|---|---|---|---|"]
    rows += [_row(layer) for name in sorted(registry()) for layer in layer_classes(name)]
    return "\n".join(rows)


def _row(layer: type[Layer]) -> str:
    sentence = (layer.__doc__ or "").strip().split("\n\n")[0]
    sentence = " ".join(sentence.split()).replace("|", "\\|")
    field = f"`{layer.param_field}`" if layer.param_field else ""
    return f"| {layer.type} | {layer.dialect or 'BVLC'} | {field} | {sentence} |"


def fresh(text: str) -> str:
    """The README with the current table."""
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


def main() -> int:
    text = README.read_text()
    if "--check" in sys.argv:
        return int(text != fresh(text))
    README.write_text(fresh(text))
    return 0


if __name__ == "__main__":
    sys.exit(main())
