"""Puts a net between the data layers and the losses of another one: a Caffe2 net into the net of a solver."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from netc.diagnostics import NetcError
from netc.ir.gradients import bottoms_without_gradient
from netc.ir.graph import ModuleKeys
from netc.ir.names import UniqueNames
from netc.ir.parameters import ParamSpec
from netc.layers.operators.blobs import StoredBlob

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from netc.ir.graph import Graph, Node

FIXED = ParamSpec(lr_mult=0.0, decay_mult=0.0)


def insert_net(outer: Graph, inner: Graph) -> Graph:
    """Return `outer` with `inner` in it; neither has shapes yet.

    Inputs of `inner` are the blobs of these names of `outer`. Input layers of `outer` with tops that `inner` computes
    are replaced by them. Stored blobs of `inner` become parameters that a solver learns, unless all that operators read
    of them has no gradient (means and variances). Raises NetcError E100 for an input that `outer` lacks, and if it
    reads nothing of `inner`.
    """
    computed = {inner.values[top].blob: top for node in inner.nodes if not node.layer.is_data for top in node.tops}
    names, keys = UniqueNames(".", outer.values), ModuleKeys(node.key for node in outer.nodes)
    replaced = [node for node in outer.nodes if _is_replaced(node, outer, computed)]
    if not replaced:
        raise NetcError(
            "the solver's net reads no output of the Caffe2 net",
            help='add an Input layer with a top of that name: layer { name: "pred" type: "Input" top: "pred" }',
        )
    fed = {value.blob: value.name for value in outer.values.values()}
    inputs = [top for node in inner.nodes if node.layer.is_data for top in node.tops]
    if missing := [blob for top in inputs if (blob := inner.values[top].blob) not in fed]:
        listed = ", ".join(f"`{blob}`" for blob in missing)
        raise NetcError(f"the Caffe2 net reads {listed}, which neither the solver's net nor the init net has")
    renamed = {top: fed[inner.values[top].blob] for top in inputs}
    own = {name: names.add(name) for name in inner.values if name not in renamed}
    renamed.update(own)
    middle = [
        replace(
            node,
            key=keys.add(node.name),
            bottoms=tuple(renamed[name] for name in node.bottoms),
            tops=tuple(renamed[name] for name in node.tops),
            param_specs=(FIXED,) if _is_fixed(inner, node) else node.param_specs,
        )
        for node in inner.nodes
        if not node.layer.is_data
    ]
    links = {top: renamed[computed[outer.values[top].blob]] for node in replaced for top in node.tops}
    before, after = _divided(outer, replaced)
    rest = [replace(node, bottoms=tuple(links.get(name, name) for name in node.bottoms)) for node in after]
    values = {name: value for name, value in outer.values.items() if name not in links}
    values.update((new, replace(inner.values[old], name=new)) for old, new in own.items())
    return outer.replace(nodes=(*before, *middle, *rest), values=values)


def _is_replaced(node: Node, outer: Graph, computed: Mapping[str, str]) -> bool:
    tops = [outer.values[top].blob for top in node.tops]
    return node.layer.fed_by == "input" and bool(tops) and all(blob in computed for blob in tops)


def _is_fixed(graph: Graph, node: Node) -> bool:
    """Whether no reader of a stored blob has a gradient for it."""
    if not isinstance(node.layer, StoredBlob):
        return False
    readers = [(r, i) for r in graph.readers[node.tops[0]] for i, name in enumerate(r.bottoms) if name in node.tops]
    return all(index in bottoms_without_gradient(reader) for reader, index in readers)


def _divided(outer: Graph, replaced: Iterable[Node]) -> tuple[list[Node], list[Node]]:
    """The nodes that do not depend on those that are replaced, and those that do; the replaced ones are left out."""
    left_out = {node.key for node in replaced}
    dependent = {top for node in replaced for top in node.tops}
    before, after = [], []
    for node in outer.nodes:
        if node.key in left_out:
            continue
        if dependent.isdisjoint(node.bottoms):
            before.append(node)
        else:
            dependent.update(node.tops)
            after.append(node)
    return before, after
