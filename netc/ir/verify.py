"""What holds for every graph; run before and after each pass and in the tests."""

from __future__ import annotations

from netc.ir.graph import Graph


def verify(graph: Graph) -> Graph:
    """The graph itself, if it is sound.

    Raises AssertionError, with the node, for a value used before it is assigned, assigned twice or unlisted, for
    a repeated key, or for counts that a layer does not take: faults of the program, not of a file.
    """
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
    unassigned = set(graph.values) - assigned
    assert not unassigned, f"values that nothing assigns: {sorted(unassigned)}"
    return graph


def _assign(graph: Graph, name: str, assigned: set[str], by: str) -> None:
    assert name in graph.values, f"{by!r} assigns {name!r}, which the graph does not list"
    assert name not in assigned, f"{by!r} assigns {name!r} a second time"
    assigned.add(name)
