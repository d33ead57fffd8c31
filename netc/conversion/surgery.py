"""Changes to trained nets: each function takes a graph with arrays and returns another.

fc_to_conv   fully connected layers become convolutions, so that larger images yield maps of scores
classes      another number of outputs of a layer, which is then filled again
drop         removes layers
rename       renames layers
crop         removes what a blob does not depend on
fold         folds BatchNorm and Scale into the layers before them (passes/fold_batch_norm.py)
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from netc.diagnostics import NetcError, counted, did_you_mean
from netc.ir.dims import differ, text
from netc.ir.graph import Graph, ModuleKeys, Node
from netc.ir.parameter_table import tabulated
from netc.layers.convolution import Convolution
from netc.layers.inner_product import InnerProduct
from netc.passes.arrays import Array, rewired
from netc.passes.drop_identities import drop_identities
from netc.passes.fold_batch_norm import fold_batch_norm
from netc.passes.rebuild import rebuild
from netc.runtime.fillers import fill, generator_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def _rebuilt(model: Graph, changed: Mapping[str, tuple[Array, ...]] | None = None) -> Graph:
    """The model with new names and shapes, and other arrays for the nodes of `changed`; nodes keep their order.

    Raises NetcError where its parts no longer fit.
    """
    graph, changed = rebuild(model), changed or {}
    held = [changed[node.key] if node.key in changed else model.arrays(node) for node in model.nodes]
    return graph.with_arrays({node.key: arrays for node, arrays in zip(graph.nodes, held)})


def node_named(graph: Graph, name: str) -> Node:
    """The first layer of a name. Raises NetcError E805 where there is none."""
    for node in graph.nodes:
        if node.name == name:
            return node
    help = did_you_mean(name, [node.name for node in graph.nodes])
    raise NetcError(f"the net has no layer `{name}`", code="E805", help=help)


def fc_to_conv(model: Graph, names: Sequence[str] = ()) -> Graph:
    """Inner products as convolutions: those named, else all that read an image or the output of a converted layer.

    The numbers stay, read as kernels: (outputs, c h w) becomes (outputs, c, h, w). Raises NetcError E805.
    """
    chosen = {node_named(model, name).key for name in names}
    arrays: dict[str, tuple[Array, ...]] = {}
    nodes = []
    maps: set[str] = set()
    for node in model.nodes:
        plane = _plane(model, node, maps)
        if isinstance(node.layer, InnerProduct) and plane and (node.key in chosen or not names):
            made, arrays[node.key] = _as_convolution(node, model.arrays(node), plane)
            nodes.append(made)
            maps.update(node.tops)
            continue
        nodes.append(node)
        if (
            node.bottoms
            and node.bottoms[0] in maps
            and not any(differ(model.shapes(node.bottoms[:1])[0], top) for top in model.shapes(node.tops))
        ):
            maps.update(node.tops)
    if not maps:
        raise NetcError("no inner product reads an image: there is nothing to convert", code="E805")
    return _rebuilt(model.replace(nodes=tuple(nodes)), arrays)


def _plane(graph: Graph, node: Node, maps: set[str]) -> tuple[int, ...]:
    """Channels, height and width that a node reads; `maps` are vectors that have become maps of one place."""
    shape = graph.shape(node.bottoms[0]) if node.bottoms else None
    if shape is None or len(shape) not in (2, 4) or (len(shape) == 2 and node.bottoms[0] not in maps):
        return ()
    return shape[1:] if len(shape) == 4 else (shape[1], 1, 1)


def _as_convolution(node: Node, blobs: tuple[Array, ...], plane: Sequence[int]) -> tuple[Node, tuple[Array, ...]]:
    layer = node.layer
    assert isinstance(layer, InnerProduct)
    if layer.axis not in (1, -3):
        raise NetcError(f"`{node.name}` keeps more axes than the batch", code="E805", notes=[f"axis {layer.axis}"])
    weight = blobs[0].T if layer.transpose else blobs[0]
    made = Convolution(
        num_output=layer.num_output,
        kernel=tuple(plane[1:]),
        bias_term=layer.bias_term,
        weight_filler=layer.weight_filler,
        bias_filler=layer.bias_filler,
    )
    return replace(node, layer=made), (np.ascontiguousarray(weight).reshape(-1, *plane), *blobs[1:])


def classes(model: Graph, name: str, count: int, rename: str | None = None, seed: int | None = None) -> Graph:
    """Layer `name` with `count` outputs, filled as its fillers say, from `seed`; perhaps under another name.

    A new name keeps a file of the old weights from being copied into it. Raises NetcError E805, and what no longer fits
    after it.
    """
    node = node_named(model, name)
    if not isinstance(node.layer, (InnerProduct, Convolution)):
        raise NetcError(f"`{name}` is a `{node.layer.type}`: it has no `num_output`", code="E805")
    made = replace(node, layer=replace(node.layer, num_output=count), name=rename or name)
    nodes = tuple(made if one is node else one for one in model.nodes)
    index = model.nodes.index(node)
    changed = _rebuilt(model.replace(nodes=nodes), {node.key: ()})
    fresh = changed.nodes[index]
    return changed.with_arrays({fresh.key: _filled(changed, fresh, seed)})


def _filled(graph: Graph, node: Node, seed: int | None) -> tuple[Array, ...]:
    import torch

    generator, blobs = generator_of(seed), []
    for weight in graph.weights(node):
        tensor = torch.empty(weight.shape)
        fill(tensor, weight.filler, weight.shape, generator)
        blobs.append(tensor.numpy())
    return tuple(blobs)


def drop(model: Graph, names: Sequence[str]) -> Graph:
    """The net without these layers: their readers read their bottoms. Raises NetcError E805 where shapes differ."""
    gone = [node_named(model, name) for name in names]
    renamed = {}
    for node in gone:
        if node.tops and (len(node.tops) != 1 or not node.bottoms):
            raise NetcError(
                f"`{node.name}` has {counted(len(node.bottoms), 'bottom')}, {counted(len(node.tops), 'top')}",
                code="E805",
            )
        for top in node.tops:
            before, after = model.shape(node.bottoms[0]), model.shape(top)
            if before is None or after is None or differ(before, after):
                raise NetcError(
                    f"`{node.name}` has bottom {text(before)} and top {text(after)}: it cannot be removed", code="E805"
                )
            renamed[top] = node.bottoms[0]
    kept = [node for node in model.nodes if node not in gone]
    return _rebuilt(rewired(model, kept, renamed))


def rename(model: Graph, names: Mapping[str, str]) -> Graph:
    """The net with layers under other names; blobs keep theirs.

    Raises NetcError E805 for a layer that is not there, and for a name that no prototxt can contain.
    """
    for old, new in names.items():
        node_named(model, old)
        if any("\ud800" <= character <= "\udfff" for character in new):
            raise NetcError(f"`{new}` is not a valid name of a layer: it is not UTF-8", code="E805")
    keys = ModuleKeys()
    nodes, arrays = [], {}
    for node in model.nodes:
        name = names.get(node.name, node.name)
        key = keys.add(name)
        nodes.append(replace(node, name=name, key=key))
        arrays[key] = model.arrays(node)
    return tabulated(model.replace(nodes=tuple(nodes))).with_arrays(arrays)


def crop(model: Graph, blob: str) -> Graph:
    """The net up to a blob, which becomes its only output. Raises NetcError E805 where the net does not have it."""
    graph = model
    if blob not in graph.blobs:
        help = did_you_mean(blob, graph.blobs)
        raise NetcError(f"the net has no blob `{blob}`", code="E805", help=help)
    wanted, kept = {graph.blobs[blob]}, []
    for node in reversed(graph.nodes):
        if wanted & set(node.tops):
            wanted.update(node.bottoms)
            kept.append(node)
    inputs = tuple(name for name in graph.inputs if name in wanted)
    cropped = rewired(graph.replace(inputs=inputs), kept[::-1], {})
    return _rebuilt(cropped)


def fold(model: Graph) -> Graph:
    """The net with BatchNorm and Scale folded, and without dropout."""
    return fold_batch_norm(drop_identities(model))
