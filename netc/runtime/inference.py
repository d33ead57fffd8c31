"""Faster nets for inference: rebuilt from a rewritten graph, in channels-last memory, compiled."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from netc.runtime.blobs import write_array
from netc.runtime.lower import Net, new_module
from netc.runtime.straight_line import Program, compile_program

if TYPE_CHECKING:
    from netc.ir.graph import Graph


def rebuilt(net: Net, before: Graph, after: Graph) -> Net:
    """The net of `after`, a graph that a pass returned for `before` (the net's graph with arrays), in eval().

    Layers whose parameters changed get new modules; the others keep theirs, including their state.
    """
    modules, fresh = {}, set()
    for node in after.nodes:
        modules[node.key] = net.module(node.key)
        if any(after.parameters[name] is not before.parameters.get(name) for name in node.parameters):
            like = next(iter((*net.module(node.key).parameters(), *net.module(node.key).buffers())))
            modules[node.key] = new_module(after, node).to(like.device, like.dtype)
            fresh.add(node.key)
    found = Net(after.without_arrays(), modules).eval()
    found.report = net.report
    for blob in found.blobs:
        if blob.key in fresh:
            write_array(blob, after.parameters[blob.parameter.name])
    return found


def to_channels_last(net: Net) -> None:
    """Store the kernels of 2-D convolutions channels-last; outputs have the same format, and only strides change."""
    for module in net.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
            module.weight.data = module.weight.data.contiguous(memory_format=torch.channels_last)


def compile_main(net: Net) -> None:
    """Compile the program from the net's inputs to its outputs with torch.compile, on its first call."""
    feeds, fetches = net.graph.inputs, net.graph.outputs
    constants = not any(node.layer.carries_state for node in net.graph.nodes)  # each pass would be compiled again
    net.replace_program(feeds, fetches, Compiled(feeds, fetches, constants))


class Compiled:
    """A program that torch compiles, with weights as constants: their layouts and expressions are computed once.

    It computes no gradients: in train(), for inputs that require a gradient, and while it is traced, the plain program
    runs. It is compiled again after weights were written, moved or converted. It does not detect values written through
    `.data` or NumPy, which bypass torch's version counters.
    """

    def __init__(self, feeds: tuple[str, ...], fetches: tuple[str, ...], constants: bool) -> None:
        self.feeds, self.fetches, self.constants = feeds, fetches, constants
        self._plain: Program | None = None
        self._compiled: Program | None = None
        self._compiled_weights: list[tuple[Tensor, int, int]] = []

    def __reduce__(self) -> tuple[Any, ...]:
        """A copy compiles on its own first call."""
        return Compiled, (self.feeds, self.fetches, self.constants)

    def __call__(self, net: Net, *tensors: Tensor) -> tuple[Tensor, ...]:
        """The fetches."""
        learns = net.training or (torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors))
        if learns or torch.compiler.is_compiling():
            self._plain = self._plain or compile_program(net.graph, self.feeds, self.fetches)
            return self._plain(net, *tensors)
        from torch._inductor import config

        if self._compiled is None or not self._weights_unchanged(net):
            # New code, because torch caches compiled code per function, and weights are constants in it.
            self._compiled = torch.compile(compile_program(net.graph, self.feeds, self.fetches))
            self._compiled_weights = [(held, held.data_ptr(), held._version) for held in _held(net)]
        with torch.no_grad(), config.patch(freezing=self.constants):
            return self._compiled(net, *tensors)

    def _weights_unchanged(self, net: Net) -> bool:
        """Whether the net's weights are those in the compiled code."""
        now = _held(net)
        return len(now) == len(self._compiled_weights) and all(
            held is known and held.data_ptr() == place and held._version == version
            for held, (known, place, version) in zip(now, self._compiled_weights)
        )


def _held(net: Net) -> list[Tensor]:
    """Parameters and buffers. Every call compares them, and this is several times faster than `parameters()`."""
    held: list[Tensor | None] = []
    for module in map(net.module, net._modules):
        inner = module.modules() if module._modules else (module,)
        held += (tensor for one in inner for tensor in (*one._parameters.values(), *one._buffers.values()))
    return [tensor for tensor in held if tensor is not None]
