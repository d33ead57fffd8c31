"""Cases that run nets: forward, training step, inference."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from benchmarks.pairs import Pair
from benchmarks.report import Result
from benchmarks.timing import alternate
from netc.compiler import folded
from netc.data.feeds.feed import LayerFeed
from netc.runtime.inference import compile_main, to_channels_last

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

WAYS = ("eager", "folded", "channels-last", "compiled")
"""Optimizations for inference; each includes the previous ones."""
RATE, MOMENTUM, DECAY = 0.001, 0.9, 0.0005


def waiter(device: str) -> Callable[[], Any]:
    """A function that returns when the device is idle."""
    return torch.cuda.synchronize if device == "cuda" else lambda: None


def forward(model: str, batch: int, device: str, rounds: int) -> Result:
    """Inference in eager mode, without gradients; probabilities on both sides."""
    pair = Pair(model, batch, device, train=False)
    pair.check_forward()

    def ours() -> Tensor:
        with torch.no_grad():
            return pair.net(pair.x)["prob"]

    def theirs() -> Tensor:
        with torch.no_grad():
            return pair.by_hand(pair.x).softmax(1)

    timing = alternate(ours, theirs, rounds, wait=waiter(device))
    return Result(f"{model}-forward", timing, 1.03, notes={"batch": batch})


def inference(model: str, way: str, batch: int, device: str, rounds: int) -> Result:
    """Inference with one of WAYS, up to netc.load(..., fold=True, channels_last=True, compile=True)."""
    pair = Pair(model, batch, device, train=False)
    net = pair.net if way == "eager" else folded(pair.net)
    if way in ("channels-last", "compiled"):
        to_channels_last(net)
    if way == "compiled":
        compile_main(net)
    pair.check_forward(net)

    def ours() -> Tensor:
        with torch.no_grad():
            return net(pair.x)["prob"]

    def theirs() -> Tensor:
        with torch.no_grad():
            return pair.by_hand(pair.x).softmax(1)

    timing = alternate(ours, theirs, rounds, wait=waiter(device))
    bar = 1 / 1.25 if way == "compiled" else None
    return Result(f"inference-{model}-{way}", timing, bar, notes={"batch": batch, "way": way})


def step(model: str, batch: int, device: str, rounds: int, bar: float = 1.03, repeat: int = 1) -> Result:
    """A training step: forward, loss, backward, update by SGD with momentum and decay."""
    pair = Pair(model, batch, device, train=True)
    pair.check_steps(netc_step, by_hand_step)
    ours, theirs = netc_step(pair), by_hand_step(pair)
    timing = alternate(ours, theirs, rounds, repeat, waiter(device))
    memory = _memory(pair, ours, theirs)
    return Result(f"{model}-step", timing, bar, memory, {"batch": batch})


def _memory(pair: Pair, ours: Callable[[], Tensor], theirs: Callable[[], Tensor]) -> tuple[int, int]:
    """Bytes stored; on a GPU without the weights and histories of both nets, which are equal."""
    if pair.device.type == "cpu":
        return pair.held(lambda: pair.net(pair.x, pair.label)), pair.held(pair.loss_by_hand)
    for tensor in (*pair.net.parameters(), *pair.by_hand.parameters()):
        tensor.grad = None
    before = torch.cuda.memory_allocated()
    return pair.held(ours) - before, pair.held(theirs) - before


def netc_step(pair: Pair) -> Callable[[], Tensor]:
    """One iteration as netc's solver runs it, on a batch in memory."""
    from netc.training.solver.executor import StraightLineExecutor
    from netc.training.solver.optimizer import CaffeOptimizer
    from netc.training.solver.update_rules.sgd import SGD

    feeds: Mapping[str, LayerFeed] = {"data": _Ready((pair.x,)), "label": _Ready((pair.label,))}
    executor = StraightLineExecutor(pair.net, pair.full_graph, feeds)
    optimizer = CaffeOptimizer(pair.net.blobs, RATE, SGD(momentum=MOMENTUM), weight_decay=DECAY)

    def run() -> Tensor:
        executor.clear_gradients()
        (loss,) = executor.forward_backward()
        optimizer.step()
        return loss

    return run


class _Ready(LayerFeed):
    """A feed that returns the same tensors for every pass."""

    def __init__(self, tops: tuple[Tensor, ...]) -> None:
        self.tops = tops

    def next(self) -> tuple[Tensor, ...]:
        """The tops of the next pass."""
        return self.tops

    def state(self) -> dict[str, Any]:
        """Return an empty state: every pass is the same."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Do nothing."""

    def seek(self, batches: int) -> None:
        """Do nothing: every batch is the same."""

    def close(self) -> None:
        """Do nothing."""


def by_hand_step(pair: Pair) -> Callable[[], Tensor]:
    """The same with torch.optim.SGD."""
    optimizer = torch.optim.SGD(pair.by_hand.parameters(), RATE, momentum=MOMENTUM, weight_decay=DECAY)

    def run() -> Tensor:
        optimizer.zero_grad()
        loss = pair.loss_by_hand()
        loss.backward()
        optimizer.step()
        return loss.detach()

    return run
