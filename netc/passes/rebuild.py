"""Restores consistency of a changed graph: names of values and modules, shapes and the parameter table."""

from __future__ import annotations

from dataclasses import replace

from netc.ir.graph import Graph, ModuleKeys, Node, Value
from netc.ir.names import UniqueNames
from netc.ir.shapes import infer
from netc.ir.verify import verify


def rebuild(graph: Graph) -> Graph:
    """Return the graph with new names and shapes, as if its layers were read from a file.

    Values are renamed by blob and version (`conv1`, `conv1.1`), keys are derived from layer names, shapes and
    parameters are inferred; parameters have no arrays. The names of layers and blobs are kept. Raises NetcError with
    every layer that has become invalid, at its line.
    """
    renamed: dict[str, str] = {}
    values: dict[str, Value] = {}
    keys, versions = ModuleKeys(), UniqueNames(".")
    nodes: list[Node] = []
    for name in graph.inputs:
        _version(graph.values[name], values, renamed, versions)
    for node in graph.nodes:
        bottoms = tuple(renamed[name] for name in node.bottoms)
        for top in node.tops:
            _version(replace(graph.values[top], shape=None), values, renamed, versions)
        key = keys.add(node.name)
        tops = tuple(renamed[name] for name in node.tops)
        nodes.append(replace(node, key=key, bottoms=bottoms, tops=tops, parameters=()))
    inputs = tuple(renamed[name] for name in graph.inputs)
    inferred, report = infer(graph.replace(nodes=tuple(nodes), values=values, inputs=inputs, parameters={}))
    report.raise_errors()
    return verify(inferred)


def _version(value: Value, values: dict[str, Value], renamed: dict[str, str], versions: UniqueNames) -> None:
    """Add the next version of a value's blob."""
    name = versions.add(value.blob)
    values[name] = replace(value, name=name)
    renamed[value.name] = name
