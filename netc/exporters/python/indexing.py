"""Layers of `netc/layers/indexing.py` in plain torch."""

from __future__ import annotations

from netc.exporters.python.rules import Code, PythonCall, writes
from netc.layers.indexing import BatchReindex, Filter


@writes(BatchReindex)
def batch_reindex(layer: BatchReindex, call: PythonCall) -> Code:
    """Items by number."""
    return Code(f"{call.x}[{call.bottoms[1]}.long()]")


@writes(Filter)
def filter_(layer: Filter, call: PythonCall) -> Code:
    """The items that the last bottom marks."""
    *items, selector = call.bottoms
    return Code(", ".join(f"{item}[{selector}.flatten() != 0]" for item in items))
