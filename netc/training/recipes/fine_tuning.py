"""Fine-tuning: weights of another net, copied by layer name, and frozen layers."""

from __future__ import annotations

import dataclasses
import fnmatch
from typing import TYPE_CHECKING

from netc import weights as files
from netc.compiler import layers_of
from netc.diagnostics import NetcError, did_you_mean
from netc.init_net import read_weights
from netc.ir.graph import ModuleKeys
from netc.runtime.net_weights import CopyReport, Layers, copy_weights, named_blobs

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from netc.ir.graph import Graph, Node
    from netc.runtime.lower import Net


def start_from(
    net: Net, path: str | Path, rename: Mapping[str, str] | None = None, allow_mismatch: bool = False
) -> CopyReport:
    """Copy a weights file into a net by layer name; `rename` maps layer names of the file to the net's.

    The file has any format of `weights.read_any`, or is an init net of Caffe2. Raises NetcError E401 to E406 for the
    file, E306 for layers whose shapes differ unless `allow_mismatch`, and E610 for a name that the file lacks, or a new
    name that the net lacks.
    """
    rename, file = rename or {}, read_weights(path)
    if isinstance(file, files.StateDict):
        keys = {name.rpartition(".")[0] for name in file.tensors}
        _check_renames(rename, set(map(ModuleKeys.layer, keys)), net, path)
        layers: Layers = layers_of(net.graph, file, {new: old for old, new in rename.items()})
    else:
        _check_renames(rename, {name for name, arrays in file.arrays if arrays}, net, path)
        targets = set(rename.values())
        layers = [(rename.get(name, name), a) for name, a in file.arrays if name in rename or name not in targets]
    return copy_weights(net, layers, str(path), allow_mismatch)


def _check_renames(rename: Mapping[str, str], found: set[str], net: Net, path: str | Path) -> None:
    wanted = [name for name, _ in named_blobs(net)]
    for old, new in rename.items():
        if old not in found:
            raise NetcError(f"`{path}` has no layer `{old}` to rename", code="E610", help=did_you_mean(old, found))
        if new not in wanted:
            fault = f"no layer `{new}` with weights in the net, for `{old}` of `{path}`"
            raise NetcError(fault, code="E610", help=did_you_mean(new, wanted))


def report_table(path: str, report: CopyReport) -> Iterator[str]:
    """Yield a table with the result for each layer, line by line.

    >>> list(report_table("a.caffemodel", CopyReport(("conv1",), ("fc8",), ("new",))))
    ['weights from a.caffemodel: 1 loaded, 1 skipped, 1 missing, 0 mismatched', \
'    loaded      conv1', '    skipped     fc8 (not in the net)', '    missing     new (starts from its fillers)']
    """
    mismatched = len(report.mismatched)
    counts = f"{len(report.loaded)} loaded, {len(report.skipped)} skipped, {len(report.missing)} missing"
    yield f"weights from {path}: {counts}, {mismatched} mismatched"
    for name in report.loaded:
        yield f"    loaded      {name}"
    for name in report.skipped:
        yield f"    skipped     {name} (not in the net)"
    for name in report.missing:
        yield f"    missing     {name} (starts from its fillers)"
    for mismatch in report.mismatched:
        yield f"    mismatched  {str(mismatch).replace('`', '')} (starts from its fillers)"


def freeze(graph: Graph, patterns: Sequence[str]) -> Graph:
    """Return the graph with `lr_mult` and `decay_mult` 0 in the layers that match the shell patterns (`conv*`).

    Frozen BatchNorm layers use their stored statistics and do not update them. Raises NetcError E610 for a pattern that
    matches no layer with weights.
    """
    learnable = [node.name for node in graph.nodes if node.parameters]
    for pattern in patterns:
        if not fnmatch.filter(learnable, pattern):
            raise NetcError(
                f"`freeze`: no layer with weights matches `{pattern}`",
                code="E610",
                notes=[f"layers with weights: {', '.join(f'`{name}`' for name in learnable[:20])}"],
                help=did_you_mean(pattern, learnable),
            )
    if not patterns:
        return graph
    chosen = {node.key for node in graph.nodes if any(fnmatch.fnmatchcase(node.name, pattern) for pattern in patterns)}
    parameters = dict(graph.parameters)
    for name in (name for node in graph.nodes if node.key in chosen for name in node.parameters):
        parameters[name] = dataclasses.replace(parameters[name], lr_mult=0.0, decay_mult=0.0)
    nodes = tuple(_frozen(node) if node.key in chosen else node for node in graph.nodes)
    return graph.replace(nodes=nodes, parameters=parameters)


def _frozen(node: Node) -> Node:
    """The node with statistics that training does not change (BatchNorm)."""
    return dataclasses.replace(node, layer=node.layer.frozen())
