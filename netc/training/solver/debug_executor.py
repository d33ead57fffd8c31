"""Runs nets node by node to log `debug_info` and to find the first NaN.

Lines and their locations are those of Caffe 1.0 (`net.cpp`, ForwardDebugInfo, BackwardDebugInfo, Backward).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from netc.diagnostics import NetcError, counted
from netc.ir.graph import Graph, Node
from netc.passes.insert_splits import insert_splits
from netc.runtime.memory import memory_key
from netc.runtime.node_executor import NodeExecutor, Source
from netc.training.log.caffe_log import number
from netc.training.log.events import Listener, LogNote, WarningIssued
from netc.training.solver.executor import ExecutorFactory, straight_line_executor, with_feed

if TYPE_CHECKING:
    from netc.data.feeds.feed import LayerFeed
    from netc.runtime.blobs import LayerBlob
    from netc.runtime.lower import Net
    from netc.training.solver.settings import SolverSettings

_Lines = Callable[[NodeExecutor, Node], Iterator[tuple[str, str]]]
"""Yields the location and text of each line of a node."""


class DebugExecutor:
    """Runs a net node by node. Raises NetcError E607 for a data layer without a feed, and E701 with `check`.

    With `check` every top, gradient and weight is checked as it is computed. While `debug_info` is set, Caffe's debug
    lines are logged.
    """

    def __init__(self, net: Net, graph: Graph, feeds: Mapping[str, LayerFeed], listener: Listener, check: bool) -> None:
        sources: dict[str, Source] = {node.key: feed.next for node, feed in with_feed(graph, feeds)}
        self.executor = NodeExecutor(net, insert_splits(graph), sources)
        self.debug_info = False
        self._graph = graph
        self.losses = tuple(graph.values[name].blob for name, _ in graph.losses)
        self.outputs: Sequence[Tensor] = ()
        if check:
            checks = _FiniteChecks(self.executor)
            self.executor.before["forward"].append(checks.weights)
            self.executor.after["forward"].append(checks.tops)
            self.executor.after["backward"].append(checks.gradients)
        self._lines = DebugInfoLogger(self.executor, listener, lambda: self.debug_info)

    def clear_gradients(self) -> None:
        """See Executor."""
        self.executor.clear_gradients()

    def forward(self) -> list[Tensor]:
        """See Executor."""
        self.executor.forward()
        self.outputs = [_value(self.executor, name).clone() for name in self._graph.outputs]
        return [_value(self.executor, name).sum() * weight for name, weight in self._graph.losses]

    def forward_backward(self) -> list[Tensor]:
        """See Executor."""
        losses = self.forward()
        self.executor.backward()
        self._lines.norms()
        return losses


class DebugInfoLogger:
    """Logs the lines of `debug_info` during the passes of an executor, while `enabled` returns True."""

    def __init__(self, executor: NodeExecutor, listener: Listener, enabled: Callable[[], bool]) -> None:
        self.executor, self.listener, self.enabled = executor, listener, enabled
        for direction, lines in (("forward", _forward_lines), ("backward", _backward_lines)):
            executor.after[direction].append(functools.partial(self._log, lines))

    def norms(self) -> None:
        """Log the norms of all weights and gradients, after a complete backward pass."""
        if self.enabled():
            self.listener(LogNote("net.cpp:789", _norms(self.executor.net.blobs), "E"))

    def _log(self, lines: _Lines, index: int) -> None:
        if self.enabled():
            for location, text in lines(self.executor, self.executor.graph.nodes[index]):
                self.listener(LogNote(location, text))


class _FiniteChecks:
    """Raises E701 for the first value that is NaN or infinite."""

    def __init__(self, executor: NodeExecutor) -> None:
        self.executor = executor
        nodes = (node for node in executor.graph.nodes if node.layer.shares_values)
        self._sources = {top: node.bottoms[0] for node in nodes for top in node.tops}
        """The values whose memory the tops of Split layers are, which no file names."""

    def weights(self, index: int) -> None:
        """Check a node's weights before it runs."""
        node = self.executor.graph.nodes[index]
        for blob in self.executor.blobs(node):
            self._check(blob.tensor, node, f"blob {blob.index} of layer `{node.name}`")

    def tops(self, index: int) -> None:
        """Check a node's tops after its forward pass."""
        node, graph = self.executor.graph.nodes[index], self.executor.graph
        for name in node.tops:
            self._check(_value(self.executor, name), node, f"top `{graph.values[name].blob}` of layer `{node.name}`")

    def gradients(self, index: int) -> None:
        """Check a node's gradients after its backward pass."""
        node = self.executor.graph.nodes[index]
        needs = self.executor.needs[node.key]
        for name, need in zip(node.bottoms, needs.bottoms):
            if need:
                what = f"the gradient of bottom `{self._blob(name)}` of layer `{node.name}`"
                self._check(_gradient(self.executor, name), node, what)
        for blob in self.executor.blobs(node):
            if blob.tensor.grad is not None:
                self._check(blob.tensor.grad, node, f"the gradient of blob {blob.index} of layer `{node.name}`")

    def _check(self, tensor: Tensor, node: Node, what: str) -> None:
        bad = ~torch.isfinite(tensor)
        if bad.any():
            value, count = tensor[bad][0].item(), int(bad.sum())
            raise NetcError(
                f"{what} is {value:g} in {count} of {counted(tensor.numel(), 'element')}",
                code="E701",
                span=node.span,
                notes=[self._bottoms(node)] if node.bottoms else [],
            )

    def _bottoms(self, node: Node) -> str:
        ranges = (
            f"`{self._blob(name)}` {number(float(values.amin()))} to {number(float(values.amax()))}"
            for name in node.bottoms
            for values in [_value(self.executor, name)]
            if values.numel()
        )
        return f"its bottoms: {', '.join(ranges)}"

    def _blob(self, value: str) -> str:
        return self.executor.graph.values[self._sources.get(value, value)].blob


def _forward_lines(executor: NodeExecutor, node: Node) -> Iterator[tuple[str, str]]:
    head = f"    [Forward] Layer {node.name}"
    for name in node.tops:
        mean = _mean(_value(executor, name))
        yield "net.cpp:663", f"{head}, top blob {executor.graph.values[name].blob} data: {mean}"
    for blob in executor.blobs(node):
        shown = node.param_spec(blob.index).name or blob.index
        yield "net.cpp:675", f"{head}, param blob {shown} data: {_mean(blob.tensor.detach())}"


def _backward_lines(executor: NodeExecutor, node: Node) -> Iterator[tuple[str, str]]:
    head, needs = f"    [Backward] Layer {node.name}", executor.needs[node.key]
    for name, need in zip(node.bottoms, needs.bottoms):
        if need:
            mean = _mean(_gradient(executor, name))
            yield "net.cpp:691", f"{head}, bottom blob {executor.graph.values[name].blob} diff: {mean}"
    for blob, need in zip(executor.blobs(node), needs.weights):
        if need:
            yield "net.cpp:702", f"{head}, param blob {blob.index} diff: {_mean(_diff(blob))}"


def _norms(blobs: Sequence[LayerBlob]) -> str:
    owners = [blob for blob in blobs if blob.is_owner]
    tensors = [[blob.tensor.detach() for blob in owners], [_diff(blob) for blob in owners]]
    absolute = ", ".join(number(sum(float(t.abs().sum()) for t in each)) for each in tensors)
    squares = ", ".join(number(math.sqrt(sum(float(t.square().sum()) for t in each))) for each in tensors)
    return f"    [Backward] All net params (data, diff): L1 norm = ({absolute}); L2 norm = ({squares})"


def _value(executor: NodeExecutor, name: str) -> Tensor:
    return executor.memory[memory_key(executor.graph, name)].values.tensor.detach()


def _gradient(executor: NodeExecutor, name: str) -> Tensor:
    return executor.memory[memory_key(executor.graph, name)].gradient.tensor


def _diff(blob: LayerBlob) -> Tensor:
    return torch.zeros_like(blob.tensor) if blob.tensor.grad is None else blob.tensor.grad


def _mean(tensor: Tensor) -> str:
    """The mean absolute value; 0 / 0 is what Caffe shows of an empty blob."""
    return number(float(tensor.abs().mean())) if tensor.numel() else "nan"


def executor_for(settings: SolverSettings, listener: Listener, debug: bool) -> ExecutorFactory:
    """Return straight-line executors, or node-by-node ones for `debug` and `debug_info`; warn of ignored options."""
    options = settings.options
    if not (debug or settings.debug_info):
        return straight_line_executor(options)
    for name in ("amp", "compile", "mix_up"):
        if getattr(options, name):
            listener(
                WarningIssued(
                    f"`{name}` is ignored: with `{'--debug' if debug else 'debug_info'}` nets run node by node"
                )
            )
    return lambda net, graph, feeds: DebugExecutor(net, graph, feeds, listener, debug)
