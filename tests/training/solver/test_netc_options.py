"""Settings of netc's own: averaged weights, mix-up, mixed precision, how the device computes."""

import copy

import numpy as np
import pytest
import torch

from netc import train
from netc.diagnostics import NetcError
from netc.training.log import events
from netc.training.numerics import numerics
from netc.training.recipes.loss_scale import GROWTH_INTERVAL, INITIAL_SCALE
from netc.training.recipes.mix_up import MixUp
from netc.training.solver.executor import StraightLineExecutor
from netc.training.solver.netc_options import NetcOptions
from tests.training.conftest import NET, SOLVER


def weights_of(solver):
    return [blob.data.clone() for blob in solver.net.blobs]


PLAIN = NET.replace('layer { name: "drop" type: "Dropout" bottom: "bn" top: "bn" }', "")

BARE = PLAIN.replace('layer { name: "bn" type: "BatchNorm" bottom: "conv" top: "bn" }', "").replace('"bn"', '"conv"')
"""Without Dropout, which draws in the order of memory, and BatchNorm, under which a bias has no gradient but noise."""


# ---------------------------------------------------------------------- settings


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ('amp: "fp8"', "unknown value `fp8` of `amp`"),
        ('precision: "f32"', "unknown value `f32` of `precision`"),
        ("keep: -1", "`keep` is -1"),
        ("ema_decay: 1", "`ema_decay` is 1: it must be 0 or more and less than 1"),
        ("mix_up: -0.5", "`mix_up` is -0.5"),
        ('rename: "a="', "`rename` is `a=`: it must be OLD=NEW"),
        ("patience: 3", "`patience` without `watch`"),
        ('watch: "accuracy"', "`watch` without a test net"),
    ],
)
def test_errors(settings_from, text, part):
    with pytest.raises(NetcError) as caught:
        settings_from(f'net: "a" base_lr: 1 lr_policy: "fixed"\nnetc_param {{\n{text}\n}}')
    (found,) = caught.value.diagnostics
    assert found.code == "E603"
    assert part in found.message
    assert found.line == 3


def test_options_of_python_and_of_the_file_together(settings_from):
    settings = settings_from('net: "a" base_lr: 1 lr_policy: "fixed" netc_param { keep: 3 amp: "bf16" freeze: "a*" }')
    assert settings.options == NetcOptions(keep=3, amp="bf16", freeze=("a*",))
    changed = settings.with_options(keep=0, ema_decay=0.5, freeze=("b", "c"))
    assert changed.options == NetcOptions(amp="bf16", ema_decay=0.5, freeze=("b", "c"))
    assert changed.fields["netc_param"].values == {"ema_decay": 0.5, "freeze": ["b", "c"], "amp": "bf16"}
    with pytest.raises(TypeError, match="ema"):
        settings.with_options(ema=0.5)
    with pytest.raises(NetcError, match="fp8"):
        settings.with_options(amp="fp8")


def test_options_are_logged(solver_from):
    (first, *_) = solver_from("netc_param { ema_decay: 0.5 }").events
    assert "netc_param {\n  ema_decay: 0.5\n}" in first.text


# ---------------------------------------------------------------------- averaged weights


def test_averaged_weights(solver_from):
    solver = solver_from("netc_param { ema_decay: 0.3 }")
    expected = solver.net.blobs[0].data.clone()
    for step in range(5):
        solver.step(1)
        decay = min(0.3, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * solver.net.blobs[0].data
    before = weights_of(solver)
    with solver.state.weight_average.applied():
        torch.testing.assert_close(solver.net.blobs[0].data, expected)
    assert all(torch.equal(a, b) for a, b in zip(weights_of(solver), before))


def test_tests_use_the_average_and_restore_the_weights(solver_from):
    solver = solver_from("test_iter: 2 test_interval: 100 netc_param { ema_decay: 0.9 }")
    solver.step(4)
    before = weights_of(solver)
    feed = solver.state.tests[0].feeds["digits"]
    state = feed.state()
    (accuracy, loss) = solver.test()
    assert all(torch.equal(a, b) for a, b in zip(weights_of(solver), before))
    plain = solver_from("test_iter: 2 test_interval: 100")
    with solver.state.weight_average.applied(), torch.no_grad():
        for one, other in zip(plain.net.blobs, solver.net.blobs):
            one.tensor.copy_(other.tensor)
    plain.state.tests[0].feeds["digits"].restore(state)
    assert plain.test() == (accuracy, loss)


def test_the_average_is_saved_and_restored(solver_from, work):
    more = "netc_param { ema_decay: 0.5 } snapshot_after_train: false"
    whole = solver_from(more)
    whole.solve()
    first = solver_from(more)
    first.step(4)
    path = first.snapshot()
    assert (work / "small_iter_4.ema.caffemodel").exists()
    second = solver_from(more)
    second.restore(path)
    second.solve()
    with whole.state.weight_average.applied(), second.state.weight_average.applied():
        assert all(torch.equal(a, b) for a, b in zip(weights_of(whole), weights_of(second)))
    (work / "small_iter_4.ema.caffemodel").unlink()
    third = solver_from(more)
    third.restore(path)
    (warning,) = [e for e in third.events if isinstance(e, events.WarningIssued)]
    assert warning.text == "`small_iter_4.solverstate` has no averaged weights: the average restarts"


# ---------------------------------------------------------------------- mix-up


def test_mix_up_is_the_loss_of_both_labels_on_mixed_images(solver_from, work):
    (work / "net.prototxt").write_text(PLAIN)
    solver = solver_from("netc_param { mix_up: 0.7 }")
    net, graph = solver.net, solver.net.graph
    fetches = [name for name, _ in graph.losses]
    mixed = MixUp(graph, fetches, 0.7, net.program)
    assert mixed.labels == ["label"]
    batch = solver.state.train.feeds["digits"].next()
    torch.manual_seed(6)
    share = float(torch.distributions.Beta(0.7, 0.7).sample())
    order = torch.randperm(6)
    images = share * batch[0] + (1 - share) * batch[0][order]
    program = net.program(graph.inputs, fetches)
    twin = copy.deepcopy(net)
    a, b = program(twin, images, batch[1])[0], program(twin, images, batch[1][order])[0]
    torch.manual_seed(6)
    (found,) = mixed(net, *batch)
    torch.testing.assert_close(found, share * a + (1 - share) * b)
    assert 0.05 < share < 0.95
    assert not torch.equal(order, torch.arange(6))


def test_mix_up_does_not_affect_tests_and_runs_batch_norm_once(solver_from):
    solver = solver_from("test_iter: 1 test_interval: 50 netc_param { mix_up: 0.4 }")
    solver.step(1)
    factor = next(b for b in solver.net.blobs if b.layer == "bn" and b.index == 2)
    assert factor.data.item() == 1
    assert solver.state.tests[0].executor._training_program is solver.state.tests[0].executor._program


def test_mix_up_of_a_regression_mixes_targets(solver_from, work):
    (work / "net.prototxt").write_text(
        'layer { name: "d" type: "DummyData" top: "x" top: "y" dummy_data_param { shape { dim: 4 dim: 3 } '
        'data_filler { type: "gaussian" } } }'
        'layer { name: "ip" type: "InnerProduct" bottom: "x" top: "z" inner_product_param { num_output: 3 } }'
        'layer { name: "loss" type: "EuclideanLoss" bottom: "z" bottom: "y" top: "loss" }'
    )
    solver = solver_from("netc_param { mix_up: 1 }")
    mixed = MixUp(solver.net.graph, ["loss"], 1.0, solver.net.program)
    assert mixed.labels == []
    solver.step(2)


def test_a_resumed_run_mixes_as_an_uninterrupted_one(solver_from):
    more = "netc_param { mix_up: 0.4 } snapshot_after_train: false"
    whole, first, second = solver_from(more), solver_from(more), solver_from(more)
    torch.manual_seed(8)
    whole.solve()
    torch.manual_seed(8)
    first.step(3)
    second.restore(first.snapshot())
    second.solve()
    assert all(torch.equal(a, b) for a, b in zip(weights_of(whole), weights_of(second)))


def test_indices_cannot_be_mixed(solver_from, work):
    (work / "net.prototxt").write_text(
        'layer { name: "d" type: "DummyData" top: "x" top: "y" dummy_data_param { shape { dim: 4 } shape { dim: 4 } } }'
        'layer { name: "words" type: "Embed" bottom: "x" top: "z" embed_param { num_output: 3 input_dim: 5 } }'
        'layer { name: "loss" type: "SoftmaxWithLoss" bottom: "z" bottom: "y" top: "loss" }'
    )
    with pytest.raises(NetcError, match="blob `x` cannot be mixed: layer `words` requires exact values") as caught:
        solver_from("netc_param { mix_up: 1 }")
    assert caught.value.diagnostics[0].code == "E611"


# ---------------------------------------------------------------------- mixed precision and memory layout


@pytest.mark.parametrize("amp", ["bf16", "fp16"])
def test_mixed_precision_is_close_and_weights_stay_float32(solver_from, work, amp):
    (work / "net.prototxt").write_text(PLAIN)
    plain, mixed = solver_from(), solver_from(f'netc_param {{ amp: "{amp}" }}')
    if mixed.state.loss_scale:
        mixed.state.loss_scale.executor.scale = 128.0  # at which nothing overflows
    for solver in (plain, mixed):
        solver.step(3)
    for a, b in zip(plain.net.blobs, mixed.net.blobs):
        assert b.tensor.dtype == torch.float32
        torch.testing.assert_close(a.data, b.data, rtol=0.1, atol=0.02)
    assert not torch.equal(plain.net.blobs[0].data, mixed.net.blobs[0].data), "nothing was computed in half precision"


def test_the_loss_scale_shrinks_on_overflow_and_grows_afterwards(solver_from):
    solver = solver_from('netc_param { amp: "fp16" }')
    scale, before = solver.state.loss_scale, weights_of(solver)
    assert scale.value == INITIAL_SCALE
    solver.on_gradients_ready.append(lambda: solver.net.blobs[5].tensor.grad[0, 0].fill_(float("inf")))
    solver.step(1)
    assert scale.value == INITIAL_SCALE / 2
    learnable = [i for i, blob in enumerate(solver.net.blobs) if blob.weight.learnable]
    assert all(torch.equal(solver.net.blobs[i].data, before[i]) for i in learnable)
    assert [e for e in solver.events if isinstance(e, events.UpdateSkipped)] == [
        events.UpdateSkipped(0, INITIAL_SCALE / 2)
    ]
    assert solver.iteration == 1
    solver.on_gradients_ready.clear()
    scale.good_updates = GROWTH_INTERVAL - 1
    solver.step(1)
    assert (scale.value, scale.good_updates) == (INITIAL_SCALE, 0)
    assert not torch.equal(solver.net.blobs[5].data, before[5])
    other = solver_from('netc_param { amp: "fp16" }')
    other.state.loss_scale.adapt(False)
    other.restore(solver.snapshot())
    assert other.state.loss_scale.state() == scale.state()


def test_scaled_gradients_are_unscaled(solver_from, work):
    (work / "net.prototxt").write_text(PLAIN)
    plain, scaled = solver_from(), solver_from()
    scaled.state.train.executor.scale = 512.0
    for solver in (plain, scaled):
        solver.state.train.executor.forward_backward()
    for one, other in zip(plain.net.parameters(), scaled.net.parameters()):
        torch.testing.assert_close(one.grad * 512, other.grad)


@pytest.mark.parametrize("type_name", ["SGD", "Adam"])
def test_channels_last_has_the_same_run_and_files(solver_from, work, type_name):
    (work / "net.prototxt").write_text(BARE)
    more = f'type: "{type_name}" base_lr: 0.001 '
    base = SOLVER.replace("base_lr: 0.05", "")
    plain, turned = solver_from(more, base), solver_from(more + "netc_param { channels_last: true }", base)
    seen = []
    module = turned.net.module("conv")
    module.register_forward_hook(lambda m, inputs, output: seen.append(inputs[0].stride()[1]))
    for solver in (plain, turned):
        torch.manual_seed(2)
        solver.step(3)
    assert set(seen) == {1}
    for a, b in zip(plain.net.blobs, turned.net.blobs):
        torch.testing.assert_close(a.data, b.data, rtol=1e-4, atol=1e-6)
    path = turned.snapshot()
    plain.restore(path)
    for a, b in zip(plain.state.optimizer.history(), turned.state.optimizer.history()):
        np.testing.assert_array_equal(a, b)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_compiled_nets_have_the_same_run(solver_from, work):
    (work / "net.prototxt").write_text(PLAIN)
    plain, compiled = solver_from(), solver_from("netc_param { compile: true }")
    for solver in (plain, compiled):
        solver.step(2)
    for a, b in zip(plain.net.blobs, compiled.net.blobs):
        torch.testing.assert_close(a.data, b.data, rtol=1e-4, atol=1e-6)


# ---------------------------------------------------------------------- how the device computes


@pytest.mark.parametrize(
    ("options", "matmul", "text"),
    [
        (NetcOptions(precision="ieee"), "highest", "ieee"),
        (NetcOptions(precision="tf32", amp="bf16"), "high", "tf32, mixed with bf16"),
        (NetcOptions(precision="bf16"), "medium", "bf16, in convolutions tf32"),
        (NetcOptions(deterministic=True), "highest", "ieee, in convolutions tf32 (PyTorch's default), deterministic"),
    ],
)
def test_precision_is_set_logged_and_restored(options, matmul, text):
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    heard = []
    with numerics(options, heard.append):
        assert torch.get_float32_matmul_precision() == matmul
        assert torch.are_deterministic_algorithms_enabled() == options.deterministic
    assert (torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32) == before
    assert not torch.are_deterministic_algorithms_enabled()
    assert [note.text for note in heard] == [f"Precision of float32 products: {text}"]


def test_train_takes_options_by_name(work):
    (work / "solver.prototxt").write_text(SOLVER)
    run = train("solver.prototxt", iterations=1, ema_decay=0.5, deterministic=True, precision="ieee")
    assert run.settings.options == NetcOptions(ema_decay=0.5, deterministic=True, precision="ieee")
    assert run.state.weight_average.updates == 1
    assert isinstance(run.state.train.executor, StraightLineExecutor)
