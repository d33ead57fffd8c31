"""Invariants of every graph, checked before and after each pass and in tests."""

from __future__ import annotations

from netc.ir.dims import differ, product
from netc.ir.dtypes import ITEM_BYTES
from netc.ir.graph import Graph, Node

REPORT = (
    "this is a bug in netc, not an error in your files: please report it to netc's maintainers, with this text, the "
    "command, the output of `netc --version` and the prototxt"
)


def verify(graph: Graph) -> Graph:
    """Return the graph itself if it is valid.

    Raises AssertionError, with the node, for a value that is read before it is assigned, assigned twice or not listed,
    for a repeated key, for counts that a layer does not accept, for a parameter that no node refers to or the graph
    does not list, and for an array or a blob that does not match its parameter: these are bugs in netc, and a note
    says how to report them.
    """
    try:
        _verify(graph)
    except AssertionError as error:
        error.add_note(REPORT)
        raise
    return graph


def _verify(graph: Graph) -> None:
    assigned: set[str] = set()
    for name in graph.inputs:
        _assign(graph, name, assigned, "input")
    keys: set[str] = set()
    for node in graph.nodes:
        assert node.key not in keys, f"key {node.key!r} is used twice"
        keys.add(node.key)
        for name in node.bottoms:
            assert name in assigned, f"{node.key!r} reads {name!r} before it is assigned"
        for name in node.tops:
            _assign(graph, name, assigned, node.key)
        assert len(node.loss_weights) in (0, len(node.tops)), f"{node.key!r}: loss weights do not match its tops"
        assert len(node.propagate_down) in (0, len(node.bottoms)), f"{node.key!r}: propagate_down does not match"
    for name, value in graph.values.items():
        assert value.dtype in ITEM_BYTES, f"the value {name!r} has the unknown type {value.dtype!r}"
    unassigned = set(graph.values) - assigned
    assert not unassigned, f"values that nothing assigns: {sorted(unassigned)}"
    _verify_parameters(graph)


def _verify_parameters(graph: Graph) -> None:
    for node in graph.nodes:
        unlisted = [name for name in node.parameters if name not in graph.parameters]
        assert not unlisted, f"{node.key!r} names the parameter {unlisted[0]!r}, which the graph does not list"
    unnamed = set(graph.parameters) - {name for node in graph.nodes for name in node.parameters}
    assert not unnamed, f"parameters that no node names: {sorted(unnamed)}"
    for name, entry in graph.parameters.items():
        assert entry.name == name, f"the parameter {entry.name!r} is listed as {name!r}"
        assert entry.dtype in ITEM_BYTES, f"the parameter {name!r} has the unknown type {entry.dtype!r}"
        if entry.array is not None:
            assert entry.array.shape == entry.shape, f"the array of {name!r} is {entry.array.shape}, not {entry.shape}"
    for node in graph.nodes if graph.parameters else ():
        _verify_blobs(graph, node)


def _verify_blobs(graph: Graph, node: Node) -> None:
    """A node's blobs and parameters agree in number and in elements; shared ones also in shape, unless permissive."""
    weights = graph.weights(node)
    assert len(weights) == len(node.parameters), f"{node.key!r} has {len(weights)} blobs, but names {node.parameters}"
    for index, (weight, entry) in enumerate(zip(weights, graph.parameters_of(node))):
        fits = not differ(weight.shape, entry.shape)
        views = node.param_spec(index).permissive and not differ(product(weight.shape), product(entry.shape))
        assert fits or views, f"{node.key!r} reads {entry.name!r} of shape {entry.shape} as {weight.shape}"
        assert weight.dtype == entry.dtype, f"{node.key!r} reads {entry.name!r} of {entry.dtype} as {weight.dtype}"


def _assign(graph: Graph, name: str, assigned: set[str], by: str) -> None:
    assert name in graph.values, f"{by!r} assigns {name!r}, which the graph does not list"
    assert name not in assigned, f"{by!r} assigns {name!r} a second time"
    assigned.add(name)
