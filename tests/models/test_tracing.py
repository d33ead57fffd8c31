"""Every model exports with torch.export, and compiles without a graph break, to what it gives itself."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

import netc

MODELS = Path(__file__).parents[2] / "models"
NAMES = sorted(path.parent.name for path in MODELS.glob("*/deploy.prototxt"))
QUICK = {"alexnet_gap", "cifar10_full", "cifar10_quick", "lenet"}
SLOW = {"googlenet", "resnet50"}
ALL = bool(os.environ.get("NETC_ALL_MODELS"))
"""The other models take two minutes, and some GB."""


def marked(name: str):
    slow = [] if name in QUICK else [pytest.mark.slow]
    skip = pytest.mark.skipif(name not in QUICK | SLOW and not ALL, reason="set NETC_ALL_MODELS=1")
    return pytest.param(name, marks=[*slow, skip])


@pytest.mark.slow
@pytest.mark.parametrize("name", [marked(name) for name in NAMES])
def test_traces(name):
    net = netc.load(MODELS / name / "deploy.prototxt", seed=1)
    (shape,) = net.graph.shapes(net.graph.inputs)
    x = torch.rand(1, *shape[1:], generator=torch.Generator().manual_seed(2))
    torch._dynamo.reset()
    with torch.no_grad():
        expected = net(x)
        torch.testing.assert_close(torch.export.export(net, (x,)).module()(x), expected)
        torch.testing.assert_close(torch.compile(net, fullgraph=True, backend="eager")(x), expected)


@pytest.mark.parametrize("name", sorted(QUICK))
def test_folded_for_inference(name):
    path = MODELS / name / "deploy.prototxt"
    plain, faster = netc.load(path, seed=1), netc.load(path, seed=1, fold=True, channels_last=True)
    (shape,) = plain.graph.shapes(plain.graph.inputs)
    x = torch.rand(3, *shape[1:], generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        torch.testing.assert_close(faster(x), plain(x), rtol=1e-4, atol=1e-6)
        torch.export.export(faster, (x,))
