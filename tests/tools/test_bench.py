"""tools/bench.py compares before it times, and counts as it says."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

TOOLS = Path(__file__).resolve().parents[2] / "tools"


@pytest.fixture(autouse=True)
def _path(monkeypatch):
    monkeypatch.setattr(sys, "path", [str(TOOLS), *sys.path])


@pytest.fixture
def pair():
    from benchmarks.pairs import Pair

    return Pair("lenet", 4, "cpu", train=False)


def test_equal_nets_pass(pair):
    pair.check_forward()


def test_other_outputs_are_refused(pair):
    with torch.no_grad():
        pair.by_hand.layers[0].weight[0, 0, 0, 0] += 0.5
    with pytest.raises(ValueError, match="outputs differ by"):
        pair.check_forward()


def test_a_net_made_of_the_pairs_is_compared_too(pair):
    from netc.compiler import folded

    other = folded(pair.net)
    pair.check_forward(other)
    with torch.no_grad():
        other.module("conv1").weight *= 1.1
    with pytest.raises(ValueError, match="outputs differ by"):
        pair.check_forward(other)


def test_scores_are_spread_so_that_a_difference_shows(pair):
    with torch.no_grad():
        assert pair.by_hand(pair.x).std().item() == pytest.approx(1, rel=1e-3)


def test_each_way_of_inference_is_a_case():
    import bench

    names = [name for name in bench.cases("cpu", 1, 1) if name.startswith("inference-")]
    assert len(names) == 3 * 4
    assert "inference-resnet50-channels-last" in names


def test_other_parameters_are_refused(pair):
    from benchmarks import pairs

    with pytest.raises(ValueError, match="netc has 431,080 elements in 8 blobs, the other 430,580"):
        pairs.copy_weights(pair.net, torch.nn.Sequential(*list(pair.by_hand.layers)[1:], torch.nn.Linear(1, 10)))


def test_other_losses_are_refused():
    from benchmarks.pairs import Pair

    pair = Pair("lenet", 4, "cpu", train=True)
    ours = lambda p: lambda: p.net(p.x, p.label)["loss"].detach()
    pair.check_steps(ours, lambda p: lambda: p.loss_by_hand().detach())
    with pytest.raises(ValueError, match="losses of step 0 differ by"):
        pair.check_steps(ours, lambda p: lambda: 1.001 * p.loss_by_hand().detach())


def test_what_autograd_holds_is_counted_once():
    from benchmarks.pairs import Pair

    pair = Pair("lenet", 4, "cpu", train=True)
    x = torch.ones(3, 5, requires_grad=True)
    assert pair.held(lambda: x.exp().exp()) == 2 * 3 * 5 * 4
    assert pair.held(lambda: (lambda y: y * y.sin())(x.exp())) == 2 * 3 * 5 * 4


@pytest.mark.slow
def test_the_ratio_is_the_median_of_the_rounds():
    from benchmarks.report import Result
    from benchmarks.timing import Timing, alternate

    timing = Timing((1.0, 2.0, 9.0), (1.0, 4.0, 3.0))
    assert (timing.ratio, timing.ratios) == (1.0, [0.5, 1.0, 3.0])
    assert Result("x", timing, 0.9, (110, 100)).row()[-2:] == ("0.90 MISSED", "0.0 / 0.0 = 1.100")
    calls = []
    alternate(lambda: calls.append("a"), lambda: calls.append("b"), 3)
    assert "".join(calls) == "baabbaab", "the first round is thrown away, who begins changes"
