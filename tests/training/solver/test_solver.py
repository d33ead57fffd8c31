"""The loop: what happens when, what is reported, and what stops it."""

import math
import re

import numpy as np
import pytest
import torch

from netc.diagnostics import NetcError
from netc.training.log import events
from netc.training.log.caffe_log import lines
from tests.data.databases import record, write
from tests.training.conftest import NET

REGRESSION = """
name: "regression"
layer {
  name: "d" type: "DummyData" top: "x" top: "y"
  dummy_data_param { shape { dim: 4 dim: 3 } data_filler { type: "gaussian" } }
}
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "z" inner_product_param { num_output: 3 } }
layer { name: "loss" type: "EuclideanLoss" bottom: "z" bottom: "y" top: "loss" loss_weight: 0.5 }
"""


def reported(solver, kind):
    return [event for event in solver.events if isinstance(event, kind)]


def order(solver, *kinds):
    return [(type(e).__name__, e.iteration) for e in solver.events if isinstance(e, kinds)]


def test_the_order_of_a_run(solver_from):
    solver = solver_from("max_iter: 4 display: 2 test_iter: 2 test_interval: 2 snapshot: 3".replace("max_iter: 4", ""))
    solver.state.settings = solver.settings.with_values(max_iter=4)
    solver.solve()
    kinds = (
        events.TestStarted,
        events.TestFinished,
        events.IterationDisplayed,
        events.LearningRateDisplayed,
        events.SnapshotStarted,
        events.FinalLoss,
    )
    assert order(solver, *kinds, events.RunFinished) == [
        ("TestStarted", 0), ("TestFinished", 0), ("IterationDisplayed", 0), ("LearningRateDisplayed", 0),
        ("TestStarted", 2), ("TestFinished", 2), ("IterationDisplayed", 2), ("LearningRateDisplayed", 2),
        ("SnapshotStarted", 3), ("SnapshotStarted", 3), ("SnapshotStarted", 4), ("SnapshotStarted", 4),
        ("FinalLoss", 4), ("TestStarted", 4), ("TestFinished", 4), ("RunFinished", 4),
    ]  # fmt: skip


def test_each_event_is_logged_once(solver_from):
    solver = solver_from("display: 4 test_iter: 1 test_interval: 8")
    solver.solve()
    texts = [text.split("\n")[0] for event in solver.events for _, text in lines(event)]
    numbers = [text for text in texts if not text.startswith(("Iteration", "    ", "data layer"))]
    assert numbers == [
        "Initializing solver from parameters: ",
        "Creating training net from net file: net.prototxt",
        "Creating test net (#0) specified by net file: net.prototxt",
        "Solver scaffolding done.",
        "Solving small",
        "Learning Rate Policy: fixed",
        "Snapshotting to binary proto file small_iter_8.caffemodel",
        "Snapshotting solver state to binary proto file small_iter_8.solverstate",
        "Optimization Done.",
    ]
    assert any(text.startswith("    Train net output #0: loss = ") for text in texts)
    assert any(text.startswith("    Test net output #1: loss = ") for text in texts)


def test_the_settings_are_logged_as_text(solver_from):
    (first, *_) = solver_from().events
    for line in ('net: "net.prototxt"', "base_lr: 0.05", 'lr_policy: "fixed"', "solver_mode: CPU"):
        assert line in first.text.splitlines()


def test_training_converges(solver_from, work):
    (work / "net.prototxt").write_text(REGRESSION.replace('top: "y"', "").replace('bottom: "y"', 'bottom: "x"'))
    solver = solver_from()
    solver.step(200)
    np.testing.assert_allclose(solver.net.blobs[0].data.numpy(), np.eye(3), atol=0.15)


def test_iter_size_is_one_larger_batch(solver_from, work):
    """Two batches of 3 and one of 6, over the same records, have the same gradients."""
    net = NET.replace('layer { name: "drop" type: "Dropout" bottom: "bn" top: "bn" }', "")
    net = net.replace('layer { name: "bn" type: "BatchNorm" bottom: "conv" top: "bn" }', "").replace('"bn"', '"conv"')
    net = net.replace("crop_size: 5 mirror: true", "")
    (work / "net.prototxt").write_text(net)
    one = solver_from("clip_gradients: 0.2")
    (work / "net.prototxt").write_text(net.replace("batch_size: 6", "batch_size: 3"))
    two = solver_from("iter_size: 2 clip_gradients: 0.4")  # Caffe clips the sum
    for solver in (one, two):
        solver.step(5)
    for a, b in zip(one.net.blobs, two.net.blobs):
        torch.testing.assert_close(a.data, b.data, rtol=1e-4, atol=1e-6)
    assert one.state.loss.value() == pytest.approx(two.state.loss.value(), rel=1e-4)
    assert len(reported(one, events.GradientsClipped)) == len(reported(two, events.GradientsClipped)) == 5


def test_a_frozen_layer_does_not_change_and_needs_no_gradient(solver_from, work):
    frozen = NET.replace("lr_mult: 1", "lr_mult: 0").replace("lr_mult: 2", "lr_mult: 0")
    (work / "net.prototxt").write_text(frozen)
    solver = solver_from()
    before = [blob.data.clone() for blob in solver.net.blobs]
    solver.step(3)
    conv, bias, mean, _, _, weight, _ = [not torch.equal(b.data, old) for b, old in zip(solver.net.blobs, before)]
    assert (conv, bias, mean, weight) == (False, False, True, True)
    assert solver.net.blobs[0].tensor.grad is None


def test_test_nets_share_weights_and_are_in_test_mode(solver_from):
    solver = solver_from("test_iter: 3 test_interval: 100")
    assert solver.test_nets[0].blobs[0].tensor is solver.net.blobs[0].tensor
    solver.step(2)
    before = [blob.data.clone() for blob in solver.net.blobs]
    means = solver.test()
    assert all(torch.equal(blob.data, old) for blob, old in zip(solver.net.blobs, before)), "BatchNorm was in training"
    assert [output.blob for output in means] == ["accuracy", "loss"]
    assert [output.loss_weight for output in means] == [0, 1]
    assert solver.net.training
    assert all(module.training for module in solver.net.modules())


def test_a_test_is_the_mean_of_its_batches(solver_from, work):
    """The 20 records come round after 10 batches of 6, so that 10 batches are the mean over all of them."""
    (work / "net.prototxt").write_text(NET.replace("mirror: true", ""))  # which is random in tests too
    solver = solver_from("test_iter: 10 test_interval: 100 test_compute_loss: true")
    first, second = solver.test(), solver.test()
    assert [a.value for a in first] == pytest.approx([b.value for b in second])
    test = solver.state.tests[0]
    test.net.eval()
    passes = [[float(loss) for loss in test.executor.forward()] for _ in range(10)]
    assert first[1].value == pytest.approx(np.mean(passes), rel=1e-5)
    assert reported(solver, events.TestFinished)[0].loss == pytest.approx(first[1].value)


def test_test_nets_with_their_own_states(solver_from, work):
    net = NET.replace('name: "accuracy"', 'name: "accuracy" include { stage: "b" }').replace(
        "include { phase: TEST }", ""
    )
    (work / "net.prototxt").write_text(net)
    solver = solver_from('test_iter: 1 test_iter: 2 test_interval: 9 test_state { } test_state { stage: "b" }')
    assert [net.outputs for net in solver.test_nets] == [("loss",), ("accuracy", "loss")]
    assert len(solver.test_all()) == 2


@pytest.mark.parametrize("nets", ['train_net: "net.prototxt"', 'net: "net.prototxt"'])
def test_train_and_test_nets_in_separate_files(solver_from, work, nets):
    (work / "other.prototxt").write_text(NET.replace('"small"', '"other"'))
    base = f'{nets} test_net: "other.prototxt" base_lr: 0.1 lr_policy: "fixed" '
    solver = solver_from(base=base + "test_iter: 1 test_interval: 5")
    assert (solver.net.graph.name, [net.graph.name for net in solver.test_nets]) == ("small", ["other"])


def test_nets_inside_the_solver(solver_from):
    base = (
        f'train_net_param {{ {NET} }} test_net_param {{ {NET} state {{ level: 3 }} }} base_lr: 0.1 lr_policy: "fixed" '
    )
    solver = solver_from(base=base + "test_iter: 1 test_interval: 5")
    assert solver.test_nets[0].graph.state.level == 3
    texts = [note.text for note in reported(solver, events.LogNote)]
    assert "Creating training net specified in train_net_param." in texts
    assert "Creating test net (#0) specified by test_net_param" in texts
    solver.step(1)


def test_average_loss_and_the_displayed_numbers(solver_from):
    single = solver_from("display: 1")
    single.step(5)
    averaged = solver_from("display: 1 average_loss: 3")
    averaged.step(5)
    losses = [event.loss for event in reported(single, events.IterationDisplayed)]
    means = [np.mean(losses[max(0, at - 2) : at + 1]) for at in range(5)]
    assert [event.loss for event in reported(averaged, events.IterationDisplayed)] == pytest.approx(means)
    for event, loss in zip(reported(single, events.IterationDisplayed), losses):
        assert event.outputs == (events.Output("loss", loss, 1.0),)
    assert [event.iterations for event in reported(single, events.IterationDisplayed)] == [0, 1, 1, 1, 1]


def test_loss_weights(solver_from, work):
    (work / "net.prototxt").write_text(REGRESSION)
    solver = solver_from("display: 1")
    feed = solver.state.train.feeds["d"]
    state = feed.state()
    solver.step(1)
    (shown,) = reported(solver, events.IterationDisplayed)
    (output,) = shown.outputs
    assert shown.loss == pytest.approx(0.5 * output.value)
    feed.restore(state)
    _, y = feed.next()  # the net starts at zero, so that its output is zero
    assert output.value == pytest.approx(float((y**2).sum()) / 8, rel=1e-5)
    torch.testing.assert_close(solver.state.optimizer.history()[1] / 0.05, -0.5 * y.sum(0) / 4, rtol=1e-4, atol=1e-6)


def test_slow_data_is_reported(solver_from):
    solver = solver_from("display: 2")
    statistics = solver.state.train.feeds["digits"].source.statistics
    solver.step(2)
    statistics.restart()
    solver.on_start.append(lambda: statistics.count(6, 1e9))
    solver.step(2)
    mentioned = [note.text for note in reported(solver, events.LogNote) if "data layer" in note.text]
    assert re.fullmatch(r"data layer limits: \d+ images/s", mentioned[-1])
    assert statistics.waited < 1e9 * 2, "counted afresh since the last display"


def test_callbacks(solver_from):
    solver, seen = solver_from(), []
    solver.on_start.append(lambda: seen.append(solver.net.blobs[0].tensor.grad is None))
    solver.on_gradients_ready.append(lambda: seen.append(solver.net.blobs[0].tensor.grad is None))
    solver.step(2)
    assert seen == [True, False] * 2


def test_nan_stops_the_run_before_the_update(solver_from):
    solver = solver_from()
    solver.step(2)
    before = solver.net.blobs[0].data.clone()
    solver.net.blobs[-1].tensor.data[0] = math.nan
    with pytest.raises(NetcError, match="the loss is nan in iteration 2: blob `loss`") as caught:
        solver.step(1)
    assert caught.value.diagnostics[0].code == "E701"
    assert torch.equal(solver.net.blobs[0].data, before)
    assert solver.iteration == 2


def test_a_label_out_of_range_stops_the_run(solver_from, work):
    write(work / "records", [record(np.zeros((2, 7, 7), np.uint8), 9)])  # in place of the first record
    with pytest.raises(NetcError, match="outside 0 to 3: 9") as caught:
        solver_from().step(1)
    assert caught.value.diagnostics[0].code == "E301"
    assert "in layer `loss`" in caught.value.diagnostics[0].notes


def test_errors_before_the_first_iteration(solver_from, work):
    with pytest.raises(NetcError, match="`max_iter` is missing"):
        solver_from(base='net: "net.prototxt" base_lr: 1 lr_policy: "fixed"').solve()
    with pytest.raises(NetcError, match="does not exist"):
        solver_from("snapshot: 1", base='net: "net.prototxt" base_lr: 1 lr_policy: "fixed" snapshot_prefix: "no/x"')
    with pytest.raises(NetcError, match=r"cannot read `none\.prototxt`"):
        solver_from(base='net: "none.prototxt" base_lr: 1 lr_policy: "fixed"')
    (work / "net.prototxt").write_text(NET.replace('source: "records"', 'source: "nothing"'))
    with pytest.raises(NetcError, match="nothing") as caught:
        solver_from()
    assert caught.value.diagnostics[0].code == "E501"
    (work / "net.prototxt").write_text(
        'layer { name: "data" type: "Input" top: "x" input_param { shape { dim: 2 dim: 2 } } }'
        'layer { name: "ip" type: "InnerProduct" bottom: "x" top: "y" inner_product_param { num_output: 2 } }'
    )
    with pytest.raises(NetcError, match="`data` has no data: `Input`") as caught:
        solver_from()
    assert caught.value.diagnostics[0].code == "E607"


def test_weights_to_start_from(solver_from, work):
    first = solver_from()
    first.step(3)
    first.snapshot()
    net = work / "net.prototxt"
    net.write_text(net.read_text().replace('name: "ip"', 'name: "ip-new"'))
    solver = solver_from('test_iter: 1 test_interval: 9 weights: "small_iter_3.caffemodel"')
    assert torch.equal(solver.net.blobs[0].data, first.net.blobs[0].data)
    train, test = reported(solver, events.FinetuningLoaded)
    assert (train.loaded, train.skipped, train.missing) == (("conv", "bn"), ("ip",), ("ip-new",))
    assert (train.test_net, test.test_net) == (None, 0)
    net.write_text(net.read_text().replace('name: "ip-new"', 'name: "ip"').replace("num_output: 4", "num_output: 7"))
    with pytest.raises(NetcError, match=r"`ip`: \[4,27\] \[4\] in the file, \[7,27\] \[7\] in the net"):
        solver_from('weights: "small_iter_3.caffemodel"')


def test_a_seed_determines_everything(solver_from):
    one, same = solver_from(), solver_from("".join([]))
    for solver in (one, same):
        torch.manual_seed(solver.seed)
        solver.step(3)
    other = solver_from(base='net: "net.prototxt" base_lr: 0.05 lr_policy: "fixed" random_seed: 4')
    assert all(torch.equal(a.data, b.data) for a, b in zip(one.net.blobs, same.net.blobs))
    assert not torch.equal(one.net.blobs[0].data, other.net.blobs[0].data)
