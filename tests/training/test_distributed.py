"""Two processes over gloo: what travels between them, and that they train as one with a batch of twice the size."""

from __future__ import annotations

import torch
from torch import nn

from netc.ir.layer import Mode
from netc.layers.batch_norm import BatchNorm
from netc.training import averaging
from netc.training.signals import Request
from netc.training.team import Team
from tests.training.ranks import run_ranks

BATCH = torch.randn(6, 3, 4, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float32)
"""Both ranks' records: rank r of 2 has every second one, from r on."""


def words(team):
    asked = [[Request.NONE, Request.STOP, Request.NONE, Request.NONE], [Request.SNAPSHOT, *[Request.NONE] * 3]]
    return {
        "agreed": [team.agree(request) for request in asked[team.rank]],
        "mean": team.average([torch.tensor([1.0, 2.0]) * team.rank, torch.tensor(4.0 - team.rank)]),
        "none": team.average([]),
        "all": team.gather({"rank": team.rank}),
        "first": team.share(f"from {team.rank}"),
        "leads": team.leads,
    }


def small_net():
    torch.manual_seed(4)
    net = nn.Sequential(nn.Conv2d(3, 5, 3), nn.Flatten(), nn.Linear(30, 7), nn.Linear(7, 2))
    return net.to(memory_format=torch.channels_last)


def gradients(team, passes=1, unused=False):
    """Of the last of two iterations, by parameter; the buckets are so small that there are several."""
    averaging.FIRST = averaging.BUCKET = 200
    net = small_net()
    parameters = [*net.parameters(), *[nn.Parameter(torch.ones(3))] * unused]
    average = averaging.Averaging(parameters, passes)
    for _ in range(2):
        net.zero_grad()
        for part in BATCH[team.rank :: 2].chunk(passes):
            net(part).square().sum().backward()
        average.finish()
    return {"gradients": [p.grad for p in parameters], "buckets": len(average.buckets), "strides": strides(parameters)}


def strides(parameters):
    return [(parameter.grad.stride(), parameter.stride()) for parameter in parameters]


def together():
    net = small_net()
    (net(BATCH).square().sum() / 2).backward()
    return [parameter.grad for parameter in net.parameters()]


def normalised(team):
    """A batch of two sizes through a synchronised BatchNorm with a Scale's factor and addend."""
    from netc.functions.all_sum import all_sum

    return normalise(BATCH[:2] if team.rank == 0 else BATCH[2:], {"all_sum": all_sum})


def normalise(batch, state):
    x = batch.clone().requires_grad_()
    blobs = [torch.full((3,), 0.5), torch.full((3,), 0.25), torch.ones(1)]
    factor, addend = torch.tensor([1.5, 2.0, -1.0]), torch.tensor([0.5, 0.0, 3.0])
    top = BatchNorm(moving_average_fraction=0.9, eps=1e-3).forward([x, factor, addend], blobs, Mode(True, 1, state))
    top.pow(3).sum().backward()
    return {"top": top.detach(), "gradient": x.grad, "blobs": blobs}


def everything(team):
    return {
        "words": words(team),
        "once": gradients(team),
        "twice": gradients(team, passes=3, unused=True),
        "normalised": normalised(team),
    }


class TestTwoRanks:
    """One pair of processes for all of them: starting one takes longer than all that they do."""

    @classmethod
    def setup_class(cls):
        import tempfile
        from pathlib import Path

        with tempfile.TemporaryDirectory() as folder:
            cls.ranks = run_ranks(Path(folder), everything)

    def test_requests_are_agreed_on_and_the_stronger_wins(self):
        for rank in self.ranks:
            assert rank["words"]["agreed"] == [Request.NONE, Request.SNAPSHOT, Request.STOP, Request.NONE]

    def test_values_travel(self):
        for index, rank in enumerate(self.ranks):
            said = rank["words"]
            torch.testing.assert_close(said["mean"], [torch.tensor([0.5, 1.0]), torch.tensor(3.5)])
            assert (said["none"], said["first"], said["leads"]) == ([], "from 0", index == 0)
            assert said["all"] == [{"rank": 0}, {"rank": 1}]

    def test_gradients_are_those_of_one_process_with_both_batches(self):
        for rank in self.ranks:
            assert rank["once"]["buckets"] == 2
            torch.testing.assert_close(rank["once"]["gradients"], together(), rtol=1e-5, atol=1e-5)

    def test_gradients_of_several_passes_travel_once_and_a_missing_one_is_zero(self):
        for rank in self.ranks:
            *some, unused = rank["twice"]["gradients"]
            torch.testing.assert_close(some, together(), rtol=1e-5, atol=1e-5)
            assert unused.tolist() == [0, 0, 0]

    def test_gradients_keep_the_memory_layout_of_their_parameters(self):
        for rank in self.ranks:
            assert all(gradient == parameter for gradient, parameter in rank["once"]["strides"])

    def test_a_synchronised_batch_norm_is_that_of_the_whole_batch(self):
        whole = normalise(BATCH, {})
        for rank, rows in zip(self.ranks, (slice(0, 2), slice(2, 6))):
            part = rank["normalised"]
            torch.testing.assert_close(part["top"], whole["top"][rows], rtol=1e-5, atol=1e-5)
            torch.testing.assert_close(part["gradient"], whole["gradient"][rows], rtol=1e-4, atol=1e-4)
            torch.testing.assert_close(part["blobs"], whole["blobs"], rtol=1e-5, atol=1e-5)


def test_a_process_alone_is_a_team_of_one():
    team = Team()
    assert (team.agree(Request.STOP), team.gather(3), team.share(4), team.leads) == (Request.STOP, [3], 4, True)
