"""Replaces losses by the scores that they compute: SoftmaxWithLoss by Softmax, as in a deploy.prototxt."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from netc.ir.graph import Graph, ModuleKeys, Node, Value
from netc.ir.names import UniqueNames
from netc.ir.verify import verify

if TYPE_CHECKING:
    from netc.ir.layer import Layer

NAME = "prob"
"""The name of the layer and of its top in Caffe's own deploy nets."""


def losses_to_scores(graph: Graph) -> Graph:
    """Return the graph with the layer of the score in place of each loss, named `prob` if that name is unused.

    A SoftmaxWithLoss becomes a Softmax, a SigmoidCrossEntropyLoss a Sigmoid; see `Layer.score_layer`. Scores that
    several losses read get one layer; a loss's top of probabilities keeps its name. Inputs that only the losses read
    (the labels) are removed. A loss that a layer reads is kept, after its score.
    """
    verify(graph)
    values, nodes = dict(graph.values), []
    names = UniqueNames("_", {node.name for node in graph.nodes} | {value.blob for value in values.values()})
    keys = ModuleKeys(node.key for node in graph.nodes)
    done: set[tuple[str, Layer]] = set()
    for node in graph.nodes:
        score = node.layer.score_layer()
        if score is None:
            nodes.append(node)
            continue
        use = (node.bottoms[0], score)
        if use not in done or node.tops[1:]:
            done.add(use)
            nodes.append(made := _score(node, score, names, keys))
            values.setdefault(made.tops[0], Value(made.tops[0], made.tops[0], graph.shape(use[0])))
        if graph.readers[node.tops[0]]:
            nodes.append(replace(node, tops=node.tops[:1], loss_weights=node.loss_weights[:1]))
        else:
            del values[node.tops[0]]
    read = {name for node in nodes for name in node.bottoms}
    inputs = tuple(name for name in graph.inputs if name in read)
    kept = {name: value for name, value in values.items() if name in inputs or name not in graph.inputs}
    return verify(graph.replace(nodes=tuple(nodes), values=kept, inputs=inputs))


def _score(loss: Node, score: Layer, names: UniqueNames, keys: ModuleKeys) -> Node:
    """Create the layer under an unused name, which is added to `names`."""
    name = names.add(NAME)
    return replace(
        loss,
        name=name,
        key=keys.add(name),
        layer=score,
        bottoms=loss.bottoms[:1],
        tops=loss.tops[1:] or (name,),
        param_specs=(),
        loss_weights=(),
        propagate_down=(),
    )
