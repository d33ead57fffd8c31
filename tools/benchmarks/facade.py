"""What `forward()` of a pycaffe net costs beyond the same net as a module, on the CPU."""

from __future__ import annotations

import statistics
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch

import netc
import netc.pycaffe as caffe
from benchmarks.report import Result
from benchmarks.timing import alternate

if TYPE_CHECKING:
    from collections.abc import Callable

MODELS = Path(__file__).parents[2] / "models"
EXTRA = 0.2e-3
"""The limit of the additional seconds of a pass of LeNet."""


def cases(rounds: int, batch: int) -> dict[str, Callable[[], Result]]:
    """The cases by name; LeNet runs on one image, where the additional time weighs most."""
    return {
        "pycaffe-lenet": partial(forward, "lenet", 1, 4 * rounds, 20, None),
        "pycaffe-alexnet": partial(forward, "alexnet", batch, rounds, 1, 1.02),
    }


def forward(model: str, batch: int, rounds: int, repeat: int, bar: float | None) -> Result:
    """Time `net.forward()` and a call of the module, alternately. Without `bar` the limit is EXTRA."""
    caffe.set_mode_cpu()
    with tempfile.TemporaryDirectory() as folder:
        weights = str(Path(folder) / "w.caffemodel")
        file = str(MODELS / model / "deploy.prototxt")
        net = caffe.Net(file, caffe.TEST)
        net.save(weights)
        module = netc.load(file, weights).eval()
    (name,) = net.inputs
    net.blobs[name].reshape(batch, *net.blobs[name].shape[1:])
    net.blobs[name].data[...] = torch.randn(net.blobs[name].shape).numpy()
    images = torch.from_numpy(net.blobs[name].data)
    (scores,) = net.forward().values()
    with torch.no_grad():
        torch.testing.assert_close(torch.from_numpy(scores), *module(images).values())
        timing = alternate(net.forward, lambda: module(images), rounds, repeat)
    extra = statistics.median(ours - theirs for ours, theirs in zip(timing.ours, timing.theirs))
    limit = 1 + EXTRA / statistics.median(timing.theirs) if bar is None else bar
    return Result(f"pycaffe-{model}", timing, limit, notes={"batch": batch, "extra_ms": extra * 1e3})
