"""A net of netc and the same net in handwritten PyTorch, with equal weights, compared before timing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import handwritten
import torch
from torch import Tensor, nn

from netc.compiler import graph_of, read_net
from netc.diagnostics import Source
from netc.ir.graph import Graph, State
from netc.passes.data_to_inputs import data_to_inputs
from netc.runtime.fillers import generator_of
from netc.runtime.lower import Net, lower

MODELS = Path(__file__).parent.parent.parent / "models"
BY_HAND: dict[str, type[handwritten.LeNet | handwritten.AlexNet | handwritten.GoogLeNet | handwritten.ResNet50]] = {
    "lenet": handwritten.LeNet,
    "alexnet": handwritten.AlexNet,
    "googlenet": handwritten.GoogLeNet,
    "resnet50": handwritten.ResNet50,
}
LOSS = """
layer { name: "label" type: "Input" top: "label" input_param { shape { dim: %d } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "%s" bottom: "label" top: "loss" }
"""


Stepper = Callable[["Pair"], Callable[[], Tensor]]
"""Creates a function that runs a training step of one net of a pair and returns the loss."""


class Pair:
    """Both nets of a model on a device, and a batch for them; `train` appends the loss to the deployed net."""

    def __init__(self, model: str, batch: int, device: str, train: bool) -> None:
        self.device = torch.device(device)
        self.by_hand = BY_HAND[model]().to(self.device).train(train)
        generator = torch.Generator().manual_seed(1)
        self.size: tuple[int, int, int] = BY_HAND[model].size
        self.x = torch.rand(batch, *self.size, generator=generator).sub_(0.5).to(self.device)
        self.label = torch.randint(0, 10, (batch,), generator=generator).to(self.device)
        self.full_graph = _graph(model, (batch, *self.size), train)
        self.net = lower(data_to_inputs(self.full_graph), generator_of(1)).train(train)
        randomize(self.net)
        self.net.to(self.device)
        copy_weights(self.net, self.by_hand)
        self._spread_scores()

    def _spread_scores(self) -> None:
        """Scale the last layer to scores with a standard deviation of 1: probabilities of large ones are all 0 or 1."""
        train = self.by_hand.training
        learned = [blob.tensor for blob in self.net.blobs if blob.weight.learnable]
        with torch.no_grad():
            spread = self.by_hand.eval()(self.x).std()
            for tensor in (*learned[-2:], *list(self.by_hand.parameters())[-2:]):
                tensor.div_(spread)
        self.by_hand.train(train)

    def check_forward(self, net: Net | None = None) -> None:
        """Raises ValueError if probabilities of netc's net, or of one derived from it, differ from the other's."""
        with torch.no_grad():
            ours, theirs = (net or self.net)(self.x)["prob"], self.by_hand(self.x).softmax(1)
        _same("outputs", ours, theirs)

    def check_steps(self, ours: Stepper, theirs: Stepper, steps: int = 3) -> None:
        """Raises ValueError if losses of the first steps differ; both use the same random numbers in dropout.

        In float64, because after a step or two in float32 a different order of rounding affects the loss.
        """
        self._to(torch.float64)
        run_ours, run_theirs = ours(self), theirs(self)
        for step in range(steps):
            torch.manual_seed(step)
            loss = run_ours()
            torch.manual_seed(step)
            _same(f"losses of step {step}", loss, run_theirs(), 1e-6)
        self._to(torch.float32)

    def _to(self, dtype: torch.dtype) -> None:
        self.x = self.x.to(dtype)
        for net in (self.net, self.by_hand):
            net.to(dtype)
            net.zero_grad()

    def loss_by_hand(self) -> Tensor:
        """Forward, to the loss."""
        return nn.functional.cross_entropy(self.by_hand(self.x), self.label)

    def held(self, forward: Callable[[], Any]) -> int:
        """Bytes that a forward pass stores for the backward pass; on a GPU the peak of memory in both passes."""
        if self.device.type == "cuda":
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
            forward()
            torch.cuda.synchronize()
            return torch.cuda.max_memory_allocated()
        kept: dict[int, int] = {}

        def note(tensor: Tensor) -> Tensor:
            storage = tensor.untyped_storage()
            kept[storage.data_ptr()] = storage.nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            result = forward()
        own = {p.untyped_storage().data_ptr() for p in (*self.net.parameters(), *self.by_hand.parameters())}
        del result
        return sum(size for place, size in kept.items() if place not in own)


def _graph(model: str, shape: tuple[int, ...], train: bool) -> Graph:
    path = MODELS / model / "deploy.prototxt"
    source = Source(str(path), path.read_text())
    if train:
        head, _, last = source.text.rpartition("layer {")
        scores = last.split('bottom: "')[1].split('"')[0]
        source = Source(source.name, head + LOSS % (shape[0], scores))
    net = read_net(source)
    net.report.raise_errors()
    return graph_of(net, State("TRAIN" if train else "TEST"), shapes={"data": shape})


def randomize(net: Net) -> None:
    """Fill weights by He initialization and BatchNorm statistics at random, so that outputs of nets differ."""
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for blob in net.blobs:
            tensor, name = blob.tensor, blob.weight.name
            if name == "scale_factor":
                tensor.fill_(1)
            elif not blob.weight.learnable or blob.tensor.dim() == 1:
                tensor.copy_(
                    torch.rand(tensor.shape, generator=generator) * 0.1 + (0 if name in ("mean", "bias") else 1)
                )
            else:
                tensor.copy_(torch.randn(tensor.shape, generator=generator) * (2 / tensor[0].numel()) ** 0.5)


def copy_weights(net: Net, by_hand: nn.Module) -> None:
    """Copy netc's weights to the other net, in order. Raises ValueError if counts or shapes differ."""
    learned = [blob.tensor for blob in net.blobs if blob.weight.learnable]
    fixed = [blob.tensor for blob in net.blobs if not blob.weight.learnable and blob.weight.name != "scale_factor"]
    buffers = [b for b in by_hand.buffers() if b.is_floating_point()]
    with torch.no_grad():
        for mine, others in ((learned, list(by_hand.parameters())), (fixed, buffers)):
            if [t.shape for t in mine] != [t.shape for t in others]:
                counts = [sum(t.numel() for t in side) for side in (mine, others)]
                raise ValueError(f"netc has {counts[0]:,} elements in {len(mine)} blobs, the other {counts[1]:,}")
            for tensor, other in zip(mine, others):
                other.copy_(tensor)


def _same(what: str, ours: Tensor, theirs: Tensor, tolerance: float = 1e-4) -> None:
    difference = float((ours - theirs).abs().max())
    if not difference <= tolerance * float(theirs.abs().max()):
        raise ValueError(f"{what} differ by {difference:g}")
