"""One node's torch module: a stock one if the semantics agree, else a LayerModule that calls its function."""

from __future__ import annotations

import contextlib
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor, nn
from torch.nn.modules.module import _has_any_global_hook

from netc.diagnostics import NetcError, Span
from netc.ir.layer import FileAccess, Layer, Mode, Shapes, Weights
from netc.paths import find
from netc.runtime.dtypes import torch_dtype

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from netc.ir.dims import Shape
    from netc.ir.graph import Node


_NO_CONSTANTS: Mapping[str, Tensor] = MappingProxyType({})


class LayerModule(nn.Module):
    """Holds a layer's blobs and calls its `forward`.

    `weights` are registered under their names, as parameters if they are learnable, else as buffers. With `holder` the
    module uses the weights of that module, as a test net uses the train net's blobs with other parameters. Raises
    NetcError, with the layer's name and position, for values that the layer rejects.
    """

    faults: Tensor | None

    def __init__(
        self,
        layer: Layer,
        weights: Weights,
        tops: int,
        name: str = "",
        span: Span | None = None,
        holder: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.layer, self.tops, self.layer_name, self.span = layer, tops, name, span
        self.note = f"in layer `{name}`" if name else ""
        """The note of a diagnostic that names the layer."""
        self.state: dict[str, Tensor] = {}
        """State that the layer keeps from pass to pass; see `runtime.pass_state`."""
        self.all_sum: Callable[[Tensor], Tensor] | None = None
        self.files: FileAccess = "none"
        self.cpu_code = False
        self.file: str | Path | None = None
        """The file that names the files of the layer, which are also searched for near it."""
        self.constant_names: tuple[str, ...] = ()
        self.weight_names = tuple(weight.name for weight in weights)
        self.views: dict[str, Shape] = {} if holder is None else getattr(holder, "views", {})
        """Shapes in which the layer sees weights that it shares with a layer of other shapes."""
        self.faults, self.fault_name = None, ""
        self.holder = holder
        for weight in weights if holder is None else ():
            tensor = torch.empty(weight.module_shape, dtype=torch_dtype(weight.dtype))
            if weight.learnable:
                self.register_parameter(weight.name, nn.Parameter(tensor))
            else:
                self.register_buffer(weight.name, tensor)

    @classmethod
    def of_node(cls, node: Node, weights: Weights, holder: nn.Module | None = None) -> Self:
        """The module of a node."""
        module = cls(node.layer, weights, len(node.tops), node.name, node.span, holder)
        module.file = node.origin.file
        module.note = node.note()
        return module

    def forward(self, *bottoms: Tensor) -> Any:
        """The tops: one tensor, or a tuple of `tops` tensors."""
        return self.run(bottoms, self.tops)

    def run(self, bottoms: tuple[Tensor, ...], count: int) -> Any:
        """The first `count` tops: one tensor, or a tuple."""
        mode = Mode(
            self.training,
            count,
            self.state,
            None if torch.compiler.is_compiling() else self._check,
            {name: getattr(self, name) for name in self.constant_names} if self.constant_names else _NO_CONSTANTS,
            self.all_sum,
            self.files,
            self.cpu_code and all(bottom.device.type == "cpu" for bottom in bottoms),
            self._find,
        )
        try:
            tops = self.layer.forward(bottoms, self.weights(), mode)
        except NetcError as error:
            raise error.at(self.span, *filter(None, (self.note,))) from None
        if isinstance(tops, Tensor):
            return tops
        return tops[0] if count == 1 else tops[:count]

    def _find(self, name: str) -> Path:
        return find(name, self.file)[0]

    def weights(self) -> list[Tensor]:
        """The layer's blobs in the shapes in which it reads them."""
        holder = self if self.holder is None else self.holder
        parameters, buffers = holder._parameters, holder._buffers
        found = []
        for name in self.weight_names:  # not getattr alone, which searches a module's class first
            tensor: Tensor | None = parameters.get(name)
            tensor = buffers.get(name) if tensor is None else tensor
            found.append(getattr(holder, name) if tensor is None else tensor)
        if self.views:
            found = [w.reshape(self.views.get(name, w.shape)) for name, w in zip(self.weight_names, found)]
        return found

    def _check(self, values: Tensor, bad: Tensor, what: str) -> None:
        """On a CPU raise at once; on other devices keep the largest bad value there, for `fault`."""
        if values.device.type != "cpu":
            worst = torch.where(bad, values.nan_to_num(torch.inf), -torch.inf).amax()  # NaN becomes infinity
            self.faults = worst if self.faults is None else torch.maximum(self.faults, worst)
            self.fault_name = what
        elif bool(bad.any()):
            raise NetcError(f"{what}: {values[bad][0].item():g}", code="E301")

    def fault(self) -> NetcError | None:
        """The error that a range check on the device found since the last call; waits for the device."""
        worst, self.faults = self.faults, None
        if worst is None or worst.item() == -torch.inf:
            return None
        error = NetcError(f"{self.fault_name}: {worst.item():g}", code="E301")
        return error.at(self.span, self.note)

    def extra_repr(self) -> str:
        """The layer's parameters."""
        return repr(self.layer)


@contextlib.contextmanager
def keeping_state(module: nn.Module) -> Iterator[None]:
    """Restore buffers and state of a module that change within the context."""
    buffers = [(buffer, buffer.clone()) for buffer in module.buffers()]
    state = dict(module.state) if isinstance(module, LayerModule) else {}
    try:
        yield
    finally:
        for buffer, before in buffers:
            buffer.copy_(before)
        if isinstance(module, LayerModule):
            module.state = state


class InPlaceReLU(nn.ReLU):
    """torch's module, with a forward method that `overwrite` can call in place."""

    def forward(self, input: Tensor, inplace: bool = False) -> Tensor:
        """The positive part."""
        return nn.functional.relu(input, inplace or self.inplace)


class InPlaceLeakyReLU(nn.LeakyReLU):
    """torch's module, with a forward method that `overwrite` can call in place."""

    def forward(self, input: Tensor, inplace: bool = False) -> Tensor:
        """The positive part, and the negative one times the slope."""
        return nn.functional.leaky_relu(input, self.negative_slope, inplace or self.inplace)


def overwrite(module: nn.Module, bottom: Tensor, producer: nn.Module) -> Any:
    """The module's top, computed in the memory of its bottom, which `producer` returned.

    A replaced module is called as usual, and so is one whose bottom a hook sees, its own or the producer's.
    """
    if not isinstance(module, (InPlaceReLU, InPlaceLeakyReLU)) or has_hooks(module) or has_hooks(producer):
        return module(bottom)
    return module.forward(bottom, inplace=True)  # without hooks this is the call, in half the time


def first_top(module: nn.Module, *bottoms: Tensor) -> Tensor:
    """The first top of a module, whose others nothing reads; a module that was replaced or has hooks computes all."""
    if not isinstance(module, LayerModule) or has_hooks(module):
        top: Tensor = module(*bottoms)[0]
    else:
        top = module.run(bottoms, 1)
    return top


def fused(module: nn.Module, reader: nn.Module, *bottoms: Tensor) -> Any:
    """The top of `reader`, the only reader of the module's top, computed in one call of `module` (`Layer.absorbs`).

    The modules are called separately if one of them was replaced or has hooks.
    """
    watched = has_hooks(module) or has_hooks(reader)
    if isinstance(module, LayerModule) and isinstance(reader, LayerModule) and not watched:
        return module(*bottoms, *reader.weights())
    return reader(module(*bottoms))


def stored(module: nn.Module) -> Tensor:
    """The top of a module whose layer returns its own weight (`Traits.top_is_weight`), without calling it.

    A net of Caffe2 has such a module for each of its parameters. A replaced module is called as usual, and so is one
    with hooks, or whose weight is a buffer.
    """
    found = None if type(module) is not LayerModule or has_hooks(module) else module._parameters.get("weight")
    top: Tensor = module() if found is None else found
    return top


def has_hooks(module: nn.Module) -> bool:
    """Whether hooks are called for a module, its own or those of all modules."""
    own = module._forward_hooks or module._forward_pre_hooks or module._backward_hooks or module._backward_pre_hooks
    return bool(own) or bool(_has_any_global_hook())  # type: ignore[no-untyped-call]


def register_constant(module: nn.Module, name: str, values: Tensor) -> None:
    """Register a layer's constant as a buffer of its module, which may be of any type; not part of a state_dict."""
    module.register_buffer(name, values, persistent=False)
    if isinstance(module, LayerModule) and name not in module.constant_names:
        module.constant_names += (name,)


def module_for(node: Node, bottoms: Shapes, weights: Weights) -> nn.Module:
    """The torch module of a node, its weights not yet filled."""
    stock = node.layer.module(bottoms, len(node.tops))
    if type(stock) is nn.ReLU:
        return InPlaceReLU()
    if type(stock) is nn.LeakyReLU:
        return InPlaceLeakyReLU(stock.negative_slope)
    return stock or LayerModule.of_node(node, weights)
