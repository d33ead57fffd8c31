"""What can be said of a net without running it. Never imports torch, prints nothing.

checking.py    check: every fault of a net, or of a solver and its nets, in every state that the file names
nets.py        all that is asked of one net file
runs.py        the states of a file, each with its graph and findings
files.py       the files that a net names: missing here, or under an absolute path
solvers.py     a solver's settings and its nets
wiring.py      warnings about blobs: a top that nothing uses, an unsafe in-place layer
learning.py    warnings about layers that learn, or tell how well: BatchNorm, losses, labels
naming.py      warnings about names that nothing else mentions, and layers that only one phase learns
costs.py       summary: parameters, multiply-adds, memory and receptive fields, layer by layer
tables.py      a summary as text, JSON, CSV and Markdown
differences.py diff: two nets compared by meaning
explanations.py explain: the page of a code or of a layer type
error_pages.py the page of each code
layer_pages.py the documentation of each layer type

Warnings that come from here, each of which can be switched off (`--ignore`):

    W020  a file that is named and not here
    W021  a folder for snapshots that is not here
    W101  a top that nothing uses
    W102  an in-place layer that overwrites what another needs
    W103  BatchNorm without Scale
    W104  a loss with `loss_weight: 0`
    W105  labels whose shape is not the loss's, though their number is
    W106  layers that only the train net or only the test net learns
    W107  a stage or a name that nothing else mentions
    W108  an absolute path
    W109  a net without layers

Names are imported on first use: a check needs no table.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from netc.inspection.explanations import explain
    from netc.inspection.file_check import check
    from netc.inspection.layer_pages import layer_documentation
    from netc.inspection.net_diff import NetDifference, diff
    from netc.inspection.net_summary import Summary, summary

__all__ = ["NetDifference", "Summary", "check", "diff", "explain", "layer_documentation", "summary"]

_HOME = {
    "NetDifference": "net_diff",
    "Summary": "net_summary",
    "check": "file_check",
    "diff": "net_diff",
    "explain": "explanations",
    "layer_documentation": "layer_pages",
    "summary": "net_summary",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'netc.inspection' has no attribute {name!r}")
    return getattr(importlib.import_module(f"netc.inspection.{_HOME[name]}"), name)
