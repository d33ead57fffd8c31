"""Reverse in plain torch; ReverseTime takes the general path."""

from __future__ import annotations

from netc.exporters.python.rules import Code, PythonCall, writes
from netc.layers.sequence.reverse import Reverse


@writes(Reverse, any_extents=True)
def reverse(layer: Reverse, call: PythonCall) -> Code:
    """A reversed copy."""
    return Code(f"{call.x}.flip({layer.axis})")
