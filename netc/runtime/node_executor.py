"""The node-by-node executor: Caffe's forward and backward over a net's own modules.

Every node reads its bottoms from the memory of their blobs and writes its tops there, so that a program can stop
between two nodes, change values, and continue. Gradients are computed one node at a time; a Split layer sums those of a
value that several nodes read. Gradients of weights accumulate in `.grad` until they are cleared.

Layers written in Python run on the memory of their blobs itself: what they write into a bottom, or into the gradient of
a weight, stays as they wrote it.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from netc.diagnostics import NetcError
from netc.ir.gradients import gradient_needs
from netc.ir.layer_host import HostedCode
from netc.runtime.array_blobs import Blob, WeightStorage
from netc.runtime.blobs import resized
from netc.runtime.hosted_node import HostedNode
from netc.runtime.memory import Memory, SharedMemory, memories, memory_key
from netc.runtime.modules import InPlaceLeakyReLU, InPlaceReLU, LayerModule, keeping_state
from netc.runtime.plain_node import PlainNode, check_weights, is_new

if TYPE_CHECKING:
    from netc.ir.graph import Graph, Node
    from netc.runtime.blobs import LayerBlob
    from netc.runtime.lower import Net

Source = Callable[[], Sequence[Tensor | None]]
"""Returns the tops of a data layer for the next pass; None for a top that does not change."""


@dataclass(frozen=True, eq=False)
class _Run:
    """Results of the forward pass of a node that its backward pass needs."""

    bottoms: tuple[Tensor, ...]
    tops: tuple[Tensor, ...]


class NodeExecutor:
    """Runs a net node by node.

    `graph` has a Split layer after each value that is used more than once (`passes.insert_splits`); ValueError if one
    is missing. It may have data layers in addition to the net's nodes. Their tops are read from `sources`, by node key;
    those of a data layer without a source stay as they are.
    """

    def __init__(self, net: Net, graph: Graph, sources: Mapping[str, Source] | None = None) -> None:
        self.net = net
        self.graph = graph
        self._check_splits()
        self.sources = dict(sources or {})
        self.needs = gradient_needs(self.graph)
        self.place = _place(net, (torch.device("cpu"), torch.float32))
        """Device and precision of the blobs: those of the weights, if there are any."""
        self.memory = memories(self.graph, *self.place)
        self._moved = self.place
        self._no_loss = torch.zeros((), device=self.place[0], dtype=self.place[1])
        self._memories = {name: self.memory[memory_key(graph, name)] for name in graph.values}
        self._first_weight = next((blob for blob in net.blobs if blob.tensor.is_floating_point()), None)
        self.before: dict[str, list[Callable[[int], None]]] = {"forward": [], "backward": []}
        """Called with a node's index before it runs."""
        self.after: dict[str, list[Callable[[int], None]]] = {"forward": [], "backward": []}
        """Called with a node's index after it has run."""
        stock = ((node.key, net.module(node.key)) for node in net.graph.nodes)
        self._stock = {key: module for key, module in stock if not isinstance(module, LayerModule)}
        """torch's own modules: they return a new tensor or their input, never a part of it or a weight."""
        self._overwriting = dict(self._in_place_nodes())
        self._with_loss = {index for index, node in enumerate(graph.nodes) if any(node.loss_weights)}
        self._blobs: dict[str, list[LayerBlob]] = {node.key: [] for node in self.graph.nodes}
        for blob in net.blobs:
            self._blobs[blob.key].append(blob)
        self.training = self.graph.state.phase == "TRAIN"
        """The mode of the modules in a pass; a net that shares the modules may have set another."""
        self._shared: list[tuple[NodeExecutor, LayerBlob, LayerBlob]] = []
        self._runs: dict[str, _Run] = {}
        last = {memory_key(self.graph, name): name for name in self.graph.values}
        self._overwritten = set(self.graph.values) - set(last.values())
        for node in self.graph.nodes:
            if node.layer.shares_values and node.bottoms[0] in self._overwritten:
                self._overwritten.update(node.tops)
        self._hosted = {
            node.key: self._hosting(node) for node in self.graph.nodes if isinstance(node.layer, HostedCode)
        }
        self._steps = [self._step(node) for node in self.graph.nodes]

    # ------------------------------------------------------------------ passes

    def forward(self, start: int = 0, end: int | None = None) -> Tensor:
        """Run the nodes `start` to `end`, both included (default: all); returns the sum of their losses."""
        self._move()
        self._set_mode()
        loss, steps, before, after = self._no_loss, self._steps, self.before["forward"], self.after["forward"]
        with torch.no_grad():
            for index in self._range(start, end):
                for callback in before:
                    callback(index)
                steps[index]()
                if index in self._with_loss:
                    node = self.graph.nodes[index]
                    for top, weight in zip(node.tops, node.loss_weights):
                        loss = loss + weight * self._of(top).values.tensor.sum() if weight else loss
                for callback in after:
                    callback(index)
        return loss

    def backward(self, start: int | None = None, end: int = 0) -> None:
        """Run the nodes `start` (default: the last) down to `end`, both included, for gradients.

        Callbacks run for every node, as in Caffe, also for those without a gradient to compute. Each node starts from
        the `diff` of its tops. A node that has not run forward computes its gradient on the blobs as they are.
        """
        self._move()
        for index in reversed(self._range(end, start)):
            node = self.graph.nodes[index]
            for callback in self.before["backward"]:
                callback(index)
            if self.needs[node.key].layer:
                self._backward(node)
            for callback in self.after["backward"]:
                callback(index)

    @property
    def has_losses(self) -> bool:
        """Whether `forward` returns anything but zero."""
        return bool(self._with_loss)

    def to(self, device: torch.device) -> None:
        """Move net and blobs to another device; results of earlier forward passes are lost for backward."""
        self._runs.clear()
        self.net.to(device)
        self.place = (device, self.place[1])
        self._move()

    def share(self, other: NodeExecutor) -> None:
        """Share another net's weights in layers of the same name, not their gradients (ShareTrainedLayersWith).

        Raises NetcError E204 for a layer whose blobs have other shapes there.
        """
        theirs = {node.name: other.blobs(node) for node in reversed(other.graph.nodes)}
        for node in self.graph.nodes:
            mine, given = self.blobs(node), theirs.get(node.name)
            if given is None:
                continue
            if [blob.shape for blob in mine] != [blob.shape for blob in given]:
                raise NetcError(
                    f"layer `{node.name}` has weights of other shapes in the other net", code="E204", span=node.span
                )
            self._shared += [(other, *pair) for pair in zip(mine, given)]
        self._link()

    def clear_gradients(self) -> None:
        """Set the gradients of all weights to zero."""
        for blobs in self._blobs.values():
            for blob in blobs:
                if blob.tensor.grad is not None:
                    blob.tensor.grad.zero_()

    def blobs(self, node: Node) -> list[LayerBlob]:
        """The blobs of a node, in Caffe's order."""
        return self._blobs[node.key]

    def index(self, name: str) -> int:
        """The index of the first layer of that name. Raises NetcError E302 if there is none."""
        for index, node in enumerate(self.graph.nodes):
            if node.name == name:
                return index
        raise NetcError(f"the net has no layer `{name}`", code="E302")

    # ------------------------------------------------------------------ one node

    def _forward(self, node: Node) -> None:
        if node.layer.is_data:
            source = self.sources.get(node.key)
            for name, top in zip(node.tops, source() if source else ()):
                if top is not None:
                    self._write(name, top, own=False)
            return
        if node.layer.shares_values:
            self._share(node)
        elif node.key in self._hosted:
            self._hosted[node.key].forward()
        else:
            bottoms = tuple(self._bottom(node, name) for name in node.bottoms)
            for name, top in zip(node.tops, self._run(node, bottoms)):
                self._write(name, top, own=is_new(top, bottoms, self._blobs[node.key]))

    def _step(self, node: Node) -> Callable[[], None]:
        """The function that runs a node forward."""
        key, layer = node.key, node.layer
        special = layer.is_data or layer.shares_values or key in self._hosted
        if special or self.needs[key].layer or len(node.tops) != 1:
            return functools.partial(self._forward, node)
        (name,) = node.tops
        dtype, bottoms = self.graph.values[name].dtype, tuple(map(self._of, node.bottoms))
        stock, producer = self._stock.get(key), self._overwriting.get(key)
        return PlainNode(
            node, key, self.net._modules, bottoms, self._of(name), dtype, self._blobs[key], stock, producer
        ).forward

    def _share(self, node: Node) -> None:
        """Copy the bottom to the tops that do not share its memory, which are overwritten in place."""
        for name in node.tops:
            if not isinstance(self._of(name), SharedMemory):
                self._write(name, self._of(node.bottoms[0]).values.tensor, own=False)

    def _run(self, node: Node, bottoms: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """The tops of a node; gradients are recorded if its backward pass needs them. Called without recording."""
        if resized.any:
            check_weights(node, self._blobs[node.key])
        module, needs = self.net.module(node.key), self.needs[node.key]
        if not needs.layer:
            result = module(*bottoms)
            return (result,) if isinstance(result, Tensor) else tuple(result)
        with torch.enable_grad():
            for bottom, need in zip(bottoms, needs.bottoms):
                bottom.requires_grad_(need)
            result = module(*bottoms)
        tops = (result,) if isinstance(result, Tensor) else tuple(result)
        self._runs[node.key] = _Run(bottoms, tops)
        return tops

    def _bottom(self, node: Node, name: str) -> Tensor:
        """The blob's tensor; if gradients are recorded, a new one that shares its memory.

        It is a copy if an in-place layer overwrites what backward needs.
        """
        values = self._of(name).values
        if not self.needs[node.key].layer:
            return values.tensor
        copied = values.lent and name in self._overwritten
        return values.tensor.detach().clone() if copied else values.tensor.detach()

    def _backward(self, node: Node) -> None:
        if node.layer.shares_values:
            self._sum(node)
            return
        if node.key in self._hosted:
            self._hosted[node.key].backward(self.needs[node.key].bottoms)
            return
        run = self._runs.get(node.key) or self._run_as_is(node)
        needs = self.needs[node.key]
        weights = [blob.tensor for blob, need in zip(self._blobs[node.key], needs.weights) if need]
        weights = [weight for weight in weights if weight.requires_grad]
        bottoms = [bottom for bottom, need in zip(run.bottoms, needs.bottoms) if need]
        gradients = self._gradients(node, run, [*bottoms, *weights])
        for weight, gradient in zip(weights, gradients[len(bottoms) :]):
            _accumulate(weight, gradient, replace=node.layer.top_is_blob)
        given = iter(gradients[: len(bottoms)])
        for position, need in enumerate(needs.bottoms):
            if need:
                self._of(node.bottoms[position]).write_diff(next(given), own=True)

    def _run_as_is(self, node: Node) -> _Run:
        """The forward pass of a node on the blobs as they are, without an effect on its tops or its state."""
        module = self.net.module(node.key)
        with keeping_state(module), torch.no_grad():
            self._run(node, tuple(self._bottom(node, name) for name in node.bottoms))
        return self._runs.pop(node.key)

    def _sum(self, node: Node) -> None:
        """Sum the gradients of the tops of a Split (`split_layer.cpp`); one that was never written is zero."""
        tops = [memory for memory in map(self._of, node.tops) if memory.has_gradient or memory.weight]
        bottom = self._of(node.bottoms[0])
        if not tops:
            bottom.write_diff(torch.zeros_like(bottom.gradient.tensor), own=True)
        elif len(tops) == 1:
            bottom.write_diff(tops[0].gradient.tensor, own=not tops[0].gradient.lent)
        else:
            bottom.write_diff(functools.reduce(torch.add, (memory.gradient.tensor for memory in tops)), own=True)

    def _gradients(self, node: Node, run: _Run, inputs: list[Tensor]) -> list[Tensor]:
        pairs = [(top, self._top_gradient(name)) for name, top in zip(node.tops, run.tops) if top.requires_grad]
        if not pairs or not inputs:
            return [torch.zeros_like(tensor) for tensor in inputs]
        outputs, diffs = zip(*pairs)
        found = torch.autograd.grad(outputs, inputs, diffs, retain_graph=True, allow_unused=True)
        return [torch.zeros_like(i) if g is None else g for i, g in zip(inputs, found)]

    def _top_gradient(self, name: str) -> Tensor:
        """The gradient of a top; a copy if it is lent, since layers may return it as the gradient of a bottom."""
        gradient = self._of(name).gradient
        return gradient.tensor.clone() if gradient.lent else gradient.tensor

    def _in_place_nodes(self) -> Iterator[tuple[str, str]]:
        """Yield the nodes that run in the memory of their blob, with the node that wrote it.

        They are declared in place, no gradient is recorded, and the other node keeps no reference to its top.
        """
        writers = {top: node for node in self.graph.nodes for top in node.tops if node.layer.overwritable}
        for node in self.graph.nodes:
            if not isinstance(self._stock.get(node.key), (InPlaceReLU, InPlaceLeakyReLU)):
                continue
            bottom, top = node.bottoms[0], node.tops[0]
            if self._of(bottom) is self._of(top) and bottom in writers and not self.needs[node.key].layer:
                yield node.key, writers[bottom].key

    def _hosting(self, node: Node) -> HostedNode:
        """Connect the object of a layer written in Python to the memory of its blobs."""
        assert isinstance(node.layer, HostedCode)
        host = node.layer.host
        host.adopt([WeightStorage(blob) for blob in self._blobs[node.key]])
        return HostedNode(
            node, host, *([Blob(self._of(name)) for name in names] for names in (node.bottoms, node.tops))
        )

    def _check_splits(self) -> None:
        uses = Counter(name for node in self.graph.nodes for name in node.bottoms)
        uses.update(name for name, _ in self.graph.losses)
        shared = [name for name, count in uses.items() if count > 1]
        if shared:
            raise ValueError(f"no Split layer after {', '.join(shared)}")

    # ------------------------------------------------------------------ memory

    def _of(self, value: str) -> Memory:
        return self._memories[value]

    def _write(self, value: str, tensor: Tensor, own: bool) -> None:
        """Store what a layer or a source returned, converted to the type that the graph declares."""
        self._of(value).write(tensor, own, self.graph.values[value].dtype)

    def _move(self) -> None:
        """Move the blobs to the net's device."""
        tensor = None if self._first_weight is None else self._first_weight.tensor
        self.place = _place(self.net, self.place) if tensor is None else (tensor.device, tensor.dtype)
        if self._moved != self.place:
            for memory in self.memory.values():
                memory.move(*self.place)
            self._moved = self.place
            self._no_loss = torch.zeros((), device=self.place[0], dtype=self.place[1])
        self._link()

    def _set_mode(self) -> None:
        """Set the mode of the modules, which another executor of the same modules may have changed."""
        for module in self.net._modules.values():
            if module is not None and module.training != self.training:
                self.net.train(self.training)
                return

    def _link(self) -> None:
        """Share the memory of shared weights, again after one of the nets moved to another device."""
        for other, mine, theirs in self._shared:
            if theirs.tensor.device != self.place[0]:
                other.to(self.place[0])
            if mine.tensor.data_ptr() != theirs.tensor.data_ptr():
                mine.tensor.data = theirs.tensor.data

    def _range(self, first: int, last: int | None) -> range:
        return range(first, len(self.graph.nodes) if last is None else last + 1)


def _place(net: Net, otherwise: tuple[torch.device, torch.dtype]) -> tuple[torch.device, torch.dtype]:
    tensors = (tensor for tensor in (*net.parameters(), *net.buffers()) if tensor.is_floating_point())
    first = next(tensors, None)
    return otherwise if first is None else (first.device, first.dtype)


def _accumulate(weight: Tensor, gradient: Tensor, replace: bool) -> None:
    if weight.grad is None:
        weight.grad = torch.zeros_like(weight)
    elif replace:
        weight.grad.zero_()
    weight.grad.add_(gradient)
