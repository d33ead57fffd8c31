"""Static analysis of nets and solvers. Never imports torch and prints nothing.

file_check.py         check: every error of a net, or of a solver and its nets, in every state of the file
net_check.py          all checks of one net file
phase_nets.py         the states of a file, each with its graph and diagnostics
solver_check.py       a solver's settings and its nets
referenced_files.py   files that a net refers to: missing, or with an absolute path
dataflow_warnings.py  warnings about blobs: unused tops, unsafe in-place layers
training_warnings.py  warnings about training: BatchNorm, losses, labels
name_warnings.py      warnings about names that are used only once, and layers that only one phase learns
net_summary.py        summary: a net's cost, layer by layer
net_cost.py           parameters, multiply-adds, memory and receptive fields
summary_table.py      a summary as text, JSON, CSV and Markdown
net_diff.py           diff: semantic comparison of two nets
explanations.py       explain: the page of a code, a layer type or an operator
error_pages.py        the page of each code
layer_pages.py        the documentation of each layer type
operator_pages.py     the documentation of each operator of Caffe2

Warnings of this package, each of which can be disabled (`--ignore`):

    W020  a file that does not exist
    W021  a snapshot directory that does not exist
    W101  an unused top
    W102  an in-place layer that overwrites a blob that another layer needs
    W103  BatchNorm without Scale
    W104  a loss with `loss_weight: 0`
    W105  labels that match the predictions in number but not in shape
    W106  layers that only the train net or only the test net learns
    W107  a stage or parameter name that is used only once
    W108  an absolute path
    W109  a net without layers
    W110  two data layers that change their records at random, each on its own
    W111  a path with a control character
    W119  a batch that is too large for one device
    W120  a Crop layer whose offset Caffe's branch of 2015 computes from the net

Names are imported on first use, so that a check does not import the summary.
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
