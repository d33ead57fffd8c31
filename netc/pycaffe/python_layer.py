"""Layers that users write in Python: the base class, and the Layer that runs them in a net.

Using the Python interface is the permission to import what a net file names.
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from netc.diagnostics import NetcError
from netc.ir.dims import Shape, known
from netc.ir.graph import Graph, Node
from netc.ir.layer import Mode, Shapes, Weight, Weights
from netc.layers.python import Python
from netc.pycaffe.blob import Blob, BlobVec
from netc.pycaffe.mode import TEST, TRAIN
from netc.runtime.lower import Net
from netc.runtime.memory import Memory

_CPU = torch.device("cpu")


class Layer:
    """A layer of a net, and the base of those written in Python.

    A subclass overrides `setup`, `reshape`, `forward` and `backward`, which get lists of blobs. It finds its parameters
    as `param_str`, the phase as `phase`, and keeps weights in `blobs`.
    """

    type: str
    """The layer's type."""
    blobs: BlobVec
    """Its weights."""
    param_str: str
    """A Python layer's parameters: any text of the net file."""
    phase: int
    """TRAIN or TEST."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Layer:
        """Give each layer what its users rely on, whether or not a subclass calls `__init__` of this class."""
        layer = super().__new__(cls)
        layer.type, layer.blobs, layer.param_str, layer.phase = "Python", BlobVec(), "", TEST
        return layer

    def __init__(self, parameter: Any = None) -> None:
        """`parameter` is the LayerParameter that Caffe passes."""

    def setup(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Read `param_str`, check the bottoms, add weights. Nothing by default."""

    def reshape(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Give the tops their shapes; run before each forward pass. Nothing by default."""

    def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Compute `data` of the tops. Raises NotImplementedError unless a subclass does it."""
        raise NotImplementedError(f"{type(self).__name__} has no forward(bottom, top)")

    def backward(self, top: Sequence[Blob], propagate_down: Sequence[bool], bottom: Sequence[Blob]) -> None:
        """Compute `diff` of the bottoms that `propagate_down` asks for. Raises NotImplementedError by default."""
        raise NotImplementedError(f"{type(self).__name__} has no backward(top, propagate_down, bottom)")


class Host:
    """Runs one object of a user's class on blobs in the CPU's memory."""

    def __init__(self, layer: Any) -> None:
        self.layer = layer
        self._bottoms: list[Memory] = []
        self._tops: list[Memory] = []
        self._weights: list[Memory] = []
        self._ready = False

    def shapes(self, bottoms: Shapes, tops: int) -> Shapes:
        """Shapes of the tops, as `setup` (the first time) and `reshape` make them."""
        self._bottoms = [_memory(shape) for shape in bottoms]
        return self._reshape(tops)

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], tops: int) -> tuple[Tensor, ...]:
        """The tops, on the device of the first bottom."""
        with self._placed(bottoms, weights):
            self._reshape(tops)
            self.layer.forward(_blobs(self._bottoms), _blobs(self._tops))
        device = bottoms[0].device if bottoms else _CPU
        return tuple(memory.values.tensor.clone().to(device) for memory in self._tops)

    def backward(
        self,
        bottoms: Sequence[Tensor],
        weights: Sequence[Tensor],
        tops: Sequence[Tensor],
        diffs: Sequence[Tensor],
        wanted: Sequence[bool],
    ) -> tuple[Tensor, ...]:
        """Gradients of the bottoms, zero where they are not wanted, then of the weights."""
        with self._placed(bottoms, weights):
            for memory, top, diff in zip(self._tops, tops, diffs):
                memory.write(top.detach())
                memory.write_diff(diff)
            self.layer.backward(_blobs(self._tops), list(wanted), _blobs(self._bottoms))
        sources = (*bottoms, *weights)
        return tuple(m.diff.to(t.device) for m, t in zip((*self._bottoms, *self._weights), sources))

    @contextlib.contextmanager
    def _placed(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Iterator[None]:
        """Blobs over these tensors; the layer's own, while it runs, are over `weights`, with diffs of zero."""
        self._bottoms = [_memory_of(tensor) for tensor in bottoms]
        self._weights = [_memory_of(tensor) for tensor in weights]
        kept = self.layer.blobs
        if self._ready:
            self.layer.blobs = BlobVec(_blobs(self._weights))
        try:
            yield
        finally:
            if self._ready:
                self.layer.blobs = kept

    def _reshape(self, tops: int) -> Shapes:
        if len(self._tops) != tops:
            self._tops = [_memory((0,)) for _ in range(tops)]
        if not self._ready:
            self.layer.setup(_blobs(self._bottoms), _blobs(self._tops))
            self._ready = True
        self.layer.reshape(_blobs(self._bottoms), _blobs(self._tops))
        return tuple(memory.shape for memory in self._tops)


@dataclass(frozen=True)
class BoundPython(Python):
    """A Python layer with the object that runs it, which also tells its shapes and weights."""

    host: Host | None = field(default=None, compare=False)

    def infer(self, bottoms: Shapes, tops: int) -> tuple[Shape | None, ...]:
        """What `reshape` makes of the tops; unknown where a bottom is."""
        if self.host is None or not all(known(extent) for shape in bottoms for extent in shape):
            return (None,) * tops
        return self.host.shapes(bottoms, tops)

    def weights(self, bottoms: Shapes) -> Weights:
        """The blobs that `setup` added."""
        blobs = self.host.layer.blobs if self.host else ()
        return tuple(Weight(f"blob{index}", blob.shape) for index, blob in enumerate(blobs))

    def to_caffe(self) -> dict[str, Any]:
        """The parameters in the file."""
        return {name: value for name, value in super().to_caffe().items() if name != "host"}

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> tuple[Tensor, ...]:
        """The user's `forward`; its `backward` is what autograd calls."""
        run: Callable[..., tuple[Tensor, ...]] = _Run.apply
        return run(self.host, mode.tops, len(bottoms), *bottoms, *weights)


class _Run(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, host: Host, tops: int, bottoms: int, *tensors: Tensor) -> tuple[Tensor, ...]:
        results = host.forward(tensors[:bottoms], tensors[bottoms:], tops)
        ctx.host, ctx.bottoms, ctx.inputs = host, bottoms, len(tensors)
        ctx.save_for_backward(*tensors, *results)
        return results

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *diffs: Tensor) -> tuple[Tensor | None, ...]:
        saved, cut = ctx.saved_tensors, ctx.bottoms
        inputs, tops = saved[: ctx.inputs], saved[ctx.inputs :]
        wanted = ctx.needs_input_grad[3:]
        gradients = ctx.host.backward(inputs[:cut], inputs[cut:], tops, diffs, wanted[:cut])
        return (None, None, None, *(g if want else None for g, want in zip(gradients, wanted)))


def bind_python_layers(graph: Graph) -> Graph:
    """The graph with an object of the named class in each Python layer.

    Raises NetcError E211 for modules and classes that Python does not find.
    """
    phase = TRAIN if graph.state.phase == "TRAIN" else TEST
    return graph.replace(nodes=tuple(_bound(node, phase) for node in graph.nodes))


def adopt_weights(graph: Graph, net: Net) -> None:
    """Give the weights of Python layers the values that `setup` put there; to be called once, after lowering."""
    for blob in net.blobs:
        layer = graph.by_key[blob.key].layer
        if isinstance(layer, BoundPython) and layer.host and blob.is_owner:
            blob.data.copy_(torch.from_numpy(layer.host.layer.blobs[blob.index].data))


def _bound(node: Node, phase: int) -> Node:
    layer = node.layer
    if not isinstance(layer, Python) or isinstance(layer, BoundPython):
        return node
    instance = _class(layer, node)(None)
    instance.param_str, instance.phase = layer.param_str, phase
    bound = BoundPython(layer.module_name, layer.class_name, layer.param_str, layer.share_in_parallel, Host(instance))
    return replace(node, layer=bound)


def _class(layer: Python, node: Node) -> Any:
    try:
        found = getattr(importlib.import_module(layer.module_name), layer.class_name, None)
    except ModuleNotFoundError as error:
        raise NetcError(
            f"Python module `{error.name}` is not found",
            code="E211",
            span=node.span,
            notes=[f"layer `{node.name}` is class `{layer.class_name}` of module `{layer.module_name}`"],
            help="put its folder on PYTHONPATH",
        ) from error
    if found is None:
        raise NetcError(
            f"Python module `{layer.module_name}` has no class `{layer.class_name}`", code="E211", span=node.span
        )
    return found


def _memory(shape: Shape) -> Memory:
    return Memory(shape, 0.0, _CPU, torch.float32)


def _memory_of(tensor: Tensor) -> Memory:
    return Memory.over(tensor.detach().to(_CPU, torch.float32).contiguous())


def _blobs(memories: Sequence[Memory]) -> list[Blob]:
    return [Blob(memory) for memory in memories]
