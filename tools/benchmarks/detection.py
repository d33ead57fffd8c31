"""Cases of detection: SSD300 as a whole, its DetectionOutput and its MultiBoxLoss.

The reference is PyTorch by hand with torchvision's `nms`; without torchvision the whole net and DetectionOutput are
compared with a copy of themselves in which suppression is netc's.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from handwritten_ssd import SSD300, detect
from torch import Tensor

from benchmarks.pairs import MODELS, copy_weights, randomize
from benchmarks.report import Result
from benchmarks.timing import alternate
from netc.compiler import graph_of, read_net
from netc.ir.graph import State
from netc.ir.layer import Mode
from netc.layers.detection.detection_output import DetectionOutput
from netc.layers.detection.multibox_loss import MultiBoxLoss
from netc.passes.data_to_inputs import data_to_inputs
from netc.runtime.fillers import generator_of
from netc.runtime.lower import lower

if TYPE_CHECKING:
    from collections.abc import Callable

BOXES, CLASSES = 8732, 21
OUTPUT = DetectionOutput(
    CLASSES, nms_threshold=0.45, top_k=400, keep_top_k=200, code_type="CENTER_SIZE", confidence_threshold=0.01
)


def cases(rounds: int) -> dict[str, Callable[[], Result]]:
    """Every case by name, on a CPU."""
    return {
        "ssd300-forward": partial(whole, rounds),
        "ssd300-output": partial(output, 5 * rounds),
        "ssd300-loss": partial(loss, 2 * rounds),
    }


def whole(rounds: int) -> Result:
    """The deployed net of models/ssd, with random weights whose scores are as different as trained ones."""
    definition = read_net(MODELS / "ssd" / "ssd300_vgg16_deploy.prototxt")
    graph = graph_of(definition, State("TEST"), shapes={"data": (1, 3, 300, 300)})
    net, other = lower(data_to_inputs(graph), generator_of(1)).eval(), SSD300().eval()
    randomize(net)
    copy_weights(net, other)
    x = torch.rand(1, 3, 300, 300, generator=torch.Generator().manual_seed(1)).sub_(0.5)

    def ours() -> Tensor:
        with torch.no_grad():
            return net(x)["detection_out"][0, 0]

    def theirs() -> Tensor:
        with torch.no_grad():
            return other(x)

    _same(ours(), theirs())
    return Result("ssd300-forward", alternate(ours, theirs, rounds), 1.03, notes={"boxes": len(ours())})


def output(rounds: int) -> Result:
    """Scores of which half are candidates."""
    codes, scores, priors = _predictions(1)
    bottoms, mode = [codes, scores.softmax(2).flatten(1), priors], Mode(False, 1)

    def ours() -> Tensor:
        return OUTPUT.forward(bottoms, (), mode)[0, 0]

    def theirs() -> Tensor:
        return detect(bottoms[0], bottoms[1].reshape(1, -1, CLASSES), priors)

    _same(ours(), theirs())
    return Result("ssd300-output", alternate(ours, theirs, rounds), None, notes={"limit_ms": 25})


def loss(rounds: int) -> Result:
    """Forward and backward of eight images with three objects each; the other side reads the scores only."""
    codes, scores, priors = (part.requires_grad_(index < 2) for index, part in enumerate(_predictions(8)))
    generator = torch.Generator().manual_seed(3)
    chosen = priors[0, 0].reshape(-1, 4)[torch.randint(BOXES, (24,), generator=generator)].detach()
    images = torch.arange(24).div(3, rounding_mode="floor")
    head = torch.stack((images, torch.randint(1, CLASSES, (24,), generator=generator), images * 0), 1)
    truth = torch.cat((head, chosen + 0.005, images[:, None] * 0), 1)[None, None]
    layer, mode = MultiBoxLoss(CLASSES, code_type="CENTER_SIZE"), Mode(True, 1)

    def ours() -> Any:
        return layer.forward([codes, scores.flatten(1), priors, truth], (), mode).backward()

    def theirs() -> Any:
        return (scores.logsumexp(2).sum() + codes.square().sum()).backward()

    return Result("ssd300-loss", alternate(ours, theirs, rounds), None, notes={"limit_ms": 60})


def _predictions(images: int) -> tuple[Tensor, Tensor, Tensor]:
    """Codes, scores (n, p, c) and priors at random."""
    generator = torch.Generator().manual_seed(2)
    corner, size = (torch.rand(BOXES, 2, generator=generator) for _ in range(2))
    boxes = torch.cat((corner - size * 0.15 - 0.02, corner + size * 0.15 + 0.02), 1).flatten()
    priors = torch.stack((boxes, torch.tensor([0.1, 0.1, 0.2, 0.2]).repeat(BOXES)))[None]
    codes = torch.randn(images, BOXES * 4, generator=generator) * 0.3
    return codes, torch.randn(images, BOXES, CLASSES, generator=generator), priors


def _same(ours: Tensor, theirs: Tensor) -> None:
    """Raises ValueError if detections differ."""
    if ours.shape != theirs.shape or not torch.allclose(ours, theirs, rtol=1e-3, atol=1e-4):
        raise ValueError(f"detections differ: {tuple(ours.shape)} and {tuple(theirs.shape)}")
