"""Splits NVIDIA's BatchNorm into BVLC's BatchNorm and a Scale, for a Caffe that does not have it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from netc.ir.graph import ModuleKeys
from netc.ir.names import UniqueNames
from netc.ir.verify import verify
from netc.layers.batch_norm import BatchNorm
from netc.layers.nvidia_batch_norm import NvidiaBatchNorm
from netc.layers.scale import Scale

if TYPE_CHECKING:
    from netc.ir.graph import Graph, Node, Value
    from netc.ir.parameters import Parameter

STATISTICS = 3
"""Number of blobs of BVLC's BatchNorm, which come first in NVIDIA's."""


def split_batch_norm(graph: Graph) -> Graph:
    """Return the graph with each BatchNorm that has a learned factor split in two; the results in test are equal.

    The statistics are averages already, so their `scale_factor` becomes 1. The Scale layer is named after the BatchNorm
    and works in place.
    """
    names, keys = UniqueNames("_", (n.name for n in graph.nodes)), ModuleKeys(n.key for n in graph.nodes)
    values, versions = dict[str, "Value"](), UniqueNames(".", graph.values)
    nodes: list[Node] = []
    parameters = dict(graph.parameters)
    middle = {n.tops[0]: versions.add(n.tops[0]) for n in graph.nodes if _is_split(n)}
    for name, value in graph.values.items():
        if name in middle:  # before the last version of its blob
            values[middle[name]] = replace(value, name=middle[name])
        values[name] = value
    for node in graph.nodes:
        if not _is_split(node):
            nodes.append(node)
            continue
        between, name = middle[node.tops[0]], names.add(f"{node.name}_scale")
        factor = node.parameters[STATISTICS - 1]
        parameters[factor] = _one(parameters[factor])
        nodes += _parts(node, between, name, keys.add(name))
    return verify(graph.replace(nodes=tuple(nodes), values=values, parameters=parameters))


def _is_split(node: Node) -> bool:
    return isinstance(node.layer, NvidiaBatchNorm) and node.layer.scale_bias


def _one(parameter: Parameter) -> Parameter:
    array = parameter.array
    return parameter if array is None else replace(parameter, array=np.ones_like(array))


def _parts(node: Node, between: str, name: str, key: str) -> tuple[Node, Node]:
    """The BatchNorm, whose top is the value `between`, and the Scale."""
    layer, held = node.layer, node.parameters
    assert isinstance(layer, NvidiaBatchNorm)
    own = BatchNorm(layer.use_global_stats, layer.moving_average_fraction, layer.eps)
    scale = Scale(filler=layer.scale_filler, bias_term=True, bias_filler=layer.bias_filler)
    specs = node.param_specs[STATISTICS:]
    return (
        replace(node, layer=own, tops=(between,), parameters=held[:STATISTICS], param_specs=()),
        replace(
            node,
            name=name,
            key=key,
            layer=scale,
            bottoms=(between,),
            parameters=held[STATISTICS:],
            param_specs=specs,
            propagate_down=(),
        ),
    )
