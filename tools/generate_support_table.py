"""Writes the table of layer types to README.md, between its markers; `--check` only compares it."""

from __future__ import annotations

import sys
from pathlib import Path

from netc.layers import registry

README = Path(__file__).parent.parent / "README.md"
BEGIN, END = "<!-- layers: begin (tools/generate_support_table.py) -->", "<!-- layers: end -->"


def table() -> str:
    """One row per layer type: the field of its parameters, and one sentence of description."""
    rows = ["| layer | parameters | what it does |", "|---|---|---|"]
    for name, layer in sorted(registry().items()):
        sentence = (layer.__doc__ or "").strip().split("\n\n")[0].replace("\n", " ")
        sentence = " ".join(sentence.split()).replace("|", "\\|")
        field = f"`{layer.param_field}`" if layer.param_field else ""
        rows.append(f"| {name} | {field} | {sentence} |")
    return "\n".join(rows)


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
