"""Replaces each SoftmaxWithLoss of a training net by a Softmax, as in a deploy.prototxt."""

from __future__ import annotations

from dataclasses import replace

from netc.ir.graph import Graph, ModuleKeys, Node, Value
from netc.ir.names import UniqueNames
from netc.ir.verify import verify
from netc.layers.cross_entropy import SoftmaxWithLoss
from netc.layers.softmax import Softmax

NAME = "prob"
"""The name of the layer and of its top in Caffe's own deploy nets."""


def losses_to_scores(graph: Graph) -> Graph:
    """Return the graph with a Softmax in place of each SoftmaxWithLoss, named `prob` if that name is unused.

    Scores that several losses read get one Softmax; a loss's top of probabilities keeps its name. Inputs that only
    the losses read (the labels) are removed. A loss that a layer reads is kept, after its Softmax.
    """
    verify(graph)
    values, nodes = dict(graph.values), []
    names = UniqueNames("_", {node.name for node in graph.nodes} | {value.blob for value in values.values()})
    keys = ModuleKeys(node.key for node in graph.nodes)
    done: set[tuple[str, int]] = set()
    for node in graph.nodes:
        if not isinstance(node.layer, SoftmaxWithLoss):
            nodes.append(node)
            continue
        use = (node.bottoms[0], node.layer.axis)
        if use not in done or node.tops[1:]:
            done.add(use)
            nodes.append(softmax := _softmax(node, names, keys))
            values.setdefault(softmax.tops[0], Value(softmax.tops[0], softmax.tops[0], graph.shape(use[0])))
        if graph.readers[node.tops[0]]:
            nodes.append(replace(node, tops=node.tops[:1], loss_weights=node.loss_weights[:1]))
        else:
            del values[node.tops[0]]
    read = {name for node in nodes for name in node.bottoms}
    inputs = tuple(name for name in graph.inputs if name in read)
    kept = {name: value for name, value in values.items() if name in inputs or name not in graph.inputs}
    return verify(graph.replace(nodes=tuple(nodes), values=kept, inputs=inputs))


def _softmax(loss: Node, names: UniqueNames, keys: ModuleKeys) -> Node:
    """Create the layer under an unused name, which is added to `names`."""
    name = names.add(NAME)
    layer = loss.layer
    assert isinstance(layer, SoftmaxWithLoss)
    return replace(
        loss,
        name=name,
        key=keys.add(name),
        layer=Softmax(axis=layer.axis),
        bottoms=loss.bottoms[:1],
        tops=loss.tops[1:] or (name,),
        param_specs=(),
        loss_weights=(),
        propagate_down=(),
    )
