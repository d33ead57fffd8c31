"""Two processes over gloo: what travels between them, and that they train as one with a batch of twice the size."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from netc.diagnostics import Source
from netc.frontends.caffe.read import read_solver
from netc.ir.layer import Mode
from netc.layers.batch_norm import BatchNorm
from netc.training.distributed import gradient_averaging as averaging
from netc.training.distributed.world import World
from netc.training.log import events
from netc.training.solver.settings import settings_of
from netc.training.solver.signals import Request
from netc.training.solver.solver import Solver
from tests.data.databases import record, write
from tests.training.distributed.ranks import run_ranks

NET = """
name: "small"
layer {
  name: "digits" type: "Data" top: "data" top: "label"
  data_param { source: "records" batch_size: BATCH backend: LMDB }
  transform_param { scale: 0.01 crop_size: 5 mirror: true }
}
layer {
  name: "conv" type: "Convolution" bottom: "data" top: "conv"
  param { lr_mult: 1 } param { lr_mult: 2 decay_mult: 0 }
  convolution_param { num_output: 3 kernel_size: 3 weight_filler { type: "gaussian" std: 0.2 } }
}
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer {
  name: "ip" type: "InnerProduct" bottom: "conv" top: "ip"
  inner_product_param { num_output: 4 weight_filler { type: "gaussian" std: 0.2 } }
}
layer { name: "accuracy" type: "Accuracy" bottom: "ip" bottom: "label" top: "accuracy" include { phase: TEST } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
"""
SOLVER = """
net: "BATCH.prototxt" base_lr: 0.05 momentum: 0.9 weight_decay: 0.01 lr_policy: "fixed" clip_gradients: 0.8
iter_size: 2 max_iter: 5 random_seed: 3 solver_mode: CPU
snapshot_prefix: "PREFIX" snapshot: 3 snapshot_after_train: false
test_iter: 2 test_interval: 4 display: 1
"""


NORM = 'layer { name: "bn" type: "BatchNorm" bottom: "conv" top: "conv" }\nlayer { name: "relu"'


def make_solver(batch, world=None, prefix="small", norm=False):
    net = NET.replace("BATCH", str(batch))
    Path(f"{batch}.prototxt").write_text(net.replace('layer { name: "relu"', NORM) if norm else net)
    text = SOLVER + "netc_param { sync_batch_norm: true }" * norm
    text = text.replace("BATCH", str(batch)).replace("PREFIX", f"{prefix}{batch}")
    fields, report = read_solver(Source("solver.prototxt", text))
    report.raise_errors()
    reported = []
    return Solver(settings_of(fields), listener=reported.append, world=world or World()), reported


def trained(world=None, batch=3, snapshot=None, norm=False):
    """What is left of a run: weights, what was reported, and files written by this process."""
    solver, reported = make_solver(batch, world, "resumed" if snapshot else "norm" if norm else "small", norm)
    with solver:
        if snapshot:
            solver.restore(snapshot)
        solver.solve()
        warned = [event.text for event in reported if isinstance(event, events.WarningIssued)]
        tested = [event.outputs for event in reported if isinstance(event, events.TestFinished)]
        return {"weights": [blob.tensor.detach() for blob in solver.net.blobs], "warned": warned, "tested": tested}


def write_records(folder):
    images = np.random.default_rng(1).integers(0, 256, (20, 2, 7, 7), dtype=np.uint8)
    write(folder / "records", [record(image, index % 4) for index, image in enumerate(images)])


pytestmark = pytest.mark.slow

BATCH = torch.randn(6, 3, 4, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float32)
"""Both ranks' records: rank r of 2 has every second one, from r on."""


def words(world):
    asked = [[Request.NONE, Request.STOP, Request.NONE, Request.NONE], [Request.SNAPSHOT, *[Request.NONE] * 3]]
    return {
        "agreed": [world.agree(request) for request in asked[world.rank]],
        "mean": world.average([torch.tensor([1.0, 2.0]) * world.rank, torch.tensor(4.0 - world.rank)]),
        "none": world.average([]),
        "all": world.gather({"rank": world.rank}),
        "first": world.share(f"from {world.rank}"),
        "main": world.is_main,
    }


def small_net():
    torch.manual_seed(4)
    net = nn.Sequential(nn.Conv2d(3, 5, 3), nn.Flatten(), nn.Linear(30, 7), nn.Linear(7, 2))
    return net.to(memory_format=torch.channels_last)


def gradients(world, passes=1, unused=False):
    """Of the last of two iterations, by parameter; the buckets are so small that there are several."""
    averaging.FIRST_BUCKET_BYTES = averaging.BUCKET_BYTES = 200
    net = small_net()
    parameters = [*net.parameters(), *[nn.Parameter(torch.ones(3))] * unused]
    average = averaging.GradientAveraging(parameters, passes)
    for _ in range(2):
        net.zero_grad()
        for part in BATCH[world.rank :: 2].chunk(passes):
            net(part).square().sum().backward()
        average.finish()
    return {"gradients": [p.grad for p in parameters], "buckets": len(average.buckets), "strides": strides(parameters)}


def strides(parameters):
    return [(parameter.grad.stride(), parameter.stride()) for parameter in parameters]


def together():
    net = small_net()
    (net(BATCH).square().sum() / 2).backward()
    return [parameter.grad for parameter in net.parameters()]


def normalised(world):
    """A batch of two sizes through a synchronised BatchNorm with a Scale's factor and addend."""
    from netc.training.distributed.all_sum import all_sum

    return normalise(BATCH[:2] if world.rank == 0 else BATCH[2:], all_sum)


def normalise(batch, all_sum=None):
    x = batch.clone().requires_grad_()
    blobs = [torch.full((3,), 0.5), torch.full((3,), 0.25), torch.ones(1)]
    factor, addend = torch.tensor([1.5, 2.0, -1.0]), torch.tensor([0.5, 0.0, 3.0])
    top = BatchNorm(moving_average_fraction=0.9, eps=1e-3).forward(
        [x, factor, addend], blobs, Mode(True, 1, all_sum=all_sum)
    )
    top.pow(3).sum().backward()
    return {"top": top.detach(), "gradient": x.grad, "blobs": blobs}


def everything(world):
    """What all tests look at: starting processes takes longer than all that they do."""
    seed = torch.randint(1 << 30, ()).item()  # of this process alone
    return {
        "seeds": world.gather(seed),
        "trained": trained(world),
        "resumed": trained(world, snapshot="small3_iter_3.solverstate"),
        "norm": trained(world, norm=True),
        "words": words(world),
        "once": gradients(world),
        "twice": gradients(world, passes=3, unused=True),
        "normalised": normalised(world),
    }


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """One pair of processes for all tests, then one process for comparison."""
    folder = tmp_path_factory.mktemp("ranks")
    write_records(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        ranks = run_ranks(folder, everything)
        content = json.loads(Path("small3_iter_3.netc.json").read_text())
        changed = trained(batch=6, snapshot="small3_iter_3.solverstate")
        return SimpleNamespace(
            ranks=ranks, content=content, changed=changed, alone=trained(batch=6), norm=trained(batch=6, norm=True)
        )


def test_requests_are_agreed_on_and_the_highest_priority_wins(world):
    for rank in world.ranks:
        assert rank["words"]["agreed"] == [Request.NONE, Request.SNAPSHOT, Request.STOP, Request.NONE]


def test_values_are_shared_between_processes(world):
    for index, rank in enumerate(world.ranks):
        said = rank["words"]
        torch.testing.assert_close(said["mean"], [torch.tensor([0.5, 1.0]), torch.tensor(3.5)])
        assert (said["none"], said["first"], said["main"]) == ([], "from 0", index == 0)
        assert said["all"] == [{"rank": 0}, {"rank": 1}]


def test_gradients_are_those_of_one_process_with_both_batches(world):
    for rank in world.ranks:
        assert rank["once"]["buckets"] == 2
        torch.testing.assert_close(rank["once"]["gradients"], together(), rtol=1e-5, atol=1e-5)


def test_gradients_of_several_passes_are_sent_once_and_a_missing_one_is_zero(world):
    for rank in world.ranks:
        *some, unused = rank["twice"]["gradients"]
        torch.testing.assert_close(some, together(), rtol=1e-5, atol=1e-5)
        assert unused.tolist() == [0, 0, 0]


def test_gradients_keep_the_memory_layout_of_their_parameters(world):
    for rank in world.ranks:
        assert all(gradient == parameter for gradient, parameter in rank["once"]["strides"])


def test_a_synchronized_batch_norm_normalizes_by_the_whole_batch(world):
    whole = normalise(BATCH)
    for rank, rows in zip(world.ranks, (slice(0, 2), slice(2, 6))):
        part = rank["normalised"]
        torch.testing.assert_close(part["top"], whole["top"][rows], rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(part["gradient"], whole["gradient"][rows], rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(part["blobs"], whole["blobs"], rtol=1e-5, atol=1e-5)


def test_two_processes_train_as_one_with_twice_the_batch(world):
    for rank in world.ranks:
        torch.testing.assert_close(rank["trained"]["weights"], world.alone["weights"], rtol=1e-5, atol=1e-5)
    assert all(torch.equal(a, b) for a, b in zip(*[rank["trained"]["weights"] for rank in world.ranks]))


def test_two_processes_train_as_one_with_a_synchronized_batch_norm(world):
    for rank in world.ranks:
        torch.testing.assert_close(rank["norm"]["weights"], world.norm["weights"], rtol=1e-4, atol=1e-5)


def test_only_rank_0_logs_the_results_of_a_test(world):
    assert len(world.ranks[0]["trained"]["tested"]) == len(world.alone["tested"]) == 2


def test_a_stopped_and_resumed_run_is_bit_identical(world):
    for rank in world.ranks:
        assert rank["resumed"]["warned"] == []
        for whole, resumed in zip(rank["trained"]["weights"], rank["resumed"]["weights"]):
            assert torch.equal(whole, resumed)


def test_another_number_of_processes_is_reported_and_the_data_continue(world):
    assert (world.content["world_size"], len(world.content["random"])) == (2, 2)
    assert "2 processes" in " ".join(world.changed["warned"])
    torch.testing.assert_close(world.changed["weights"], world.alone["weights"], rtol=1e-5, atol=1e-5)


def test_a_single_process_is_a_world_of_one():
    world = World()
    assert (world.agree(Request.STOP), world.gather(3), world.share(4), world.is_main) == (Request.STOP, [3], 4, True)
