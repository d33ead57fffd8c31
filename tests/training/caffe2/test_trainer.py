"""Caffe2's training nets: what Caffe2 itself computed, and rules by hand."""

from __future__ import annotations

import numpy as np
import pytest

import netc
from netc.diagnostics import NetcError

from .nets import BACKWARD, COUNT, FORWARD, INIT, INPUTS, REFERENCE, UPDATE, source

X = np.array([[1.0, 2.0, -1.0], [0.5, 0.0, 1.0]], np.float32)
TOTAL = 'op { input: "X_grad" output: "n" type: "SumElements" }'


@pytest.fixture
def init(tmp_path):
    path = tmp_path / "init_net.pbtxt"
    path.write_text(INIT)
    return path


def arrays(path) -> dict[str, np.ndarray]:
    with np.load(path) as file:
        return dict(file.items())


def same(found, expected, rtol=1e-4, atol=1e-6):
    np.testing.assert_allclose(found, expected, rtol=rtol, atol=atol * max(1.0, float(np.abs(expected).max())))


@pytest.mark.parametrize("case", ["resbn_sgd", "lenet_rmsprop", "lenet_adam", "lenet_sgd_clipnorm"])
def test_recorded_runs(case):
    folder = REFERENCE / case
    trainer = netc.load_trainer(folder / "train_net.pb", folder / "init_given.pb")
    inputs, losses = arrays(folder / "inputs.npz"), next(iter(arrays(folder / "losses.npz").values()))
    for step, expected in enumerate(losses):
        same(trainer.step({name: array[step] for name, array in inputs.items()}), expected)
    state = trainer.state()
    for name, expected in arrays(folder / "state_5.npz").items():
        same(state[name], expected, rtol=1e-3)
        assert state[name].dtype == expected.dtype


def test_recorded_gradients_and_rates():
    folder = REFERENCE / "resbn_sgd"
    trainer = netc.load_trainer(folder / "train_net.pb", folder / "init_given.pb")
    recorded, inputs = arrays(folder / "blobs_after_step.npz"), arrays(folder / "inputs.npz")
    for step in range(2):
        trainer.step({name: array[step] for name, array in inputs.items()})
        for name in ("SgdOptimizer_0_lr_cpu", *(["c1_w_grad", "last_b_grad", "c2_bn_s_grad"] if step == 0 else [])):
            same(trainer.blob(name), recorded[f"step{step + 1}__{name}"])


def test_a_step_by_hand(init):
    trainer = netc.load_trainer(source(FORWARD, BACKWARD, COUNT, UPDATE, INPUTS), init)
    w, m = np.array([[0.1, -0.2, 0.3]]), np.zeros((1, 3))
    for iteration in (1, 2, 3):
        y = X @ w.T + 0.1
        gradient = (2 * y).T @ X
        same(trainer.step({"X": X}), (y**2).sum())
        m = 0.1 * 0.5**iteration * gradient + 0.9 * m
        w = w - m
        state = trainer.state()
        same(state["W"], w)
        same(state["M"], m)
        same(state["b"], [0.1])
        assert state["it"].tolist() == [iteration]
        same(trainer.blob("W_grad"), m)
        same(trainer.blob("b_grad"), (2 * y).sum(0))
        same(trainer.blob("y"), y**2)
        assert set(state) == {"W", "b", "M", "it"}


def test_a_net_without_updates_computes_gradients_only(init):
    trainer = netc.load_trainer(source(FORWARD, BACKWARD), init)
    same(trainer.step({"X": X}), trainer.step({"X": X}))
    same(trainer.blob("W_grad"), (2 * (X @ np.array([[0.1, -0.2, 0.3]]).T + 0.1)).T @ X)
    with pytest.raises(NetcError, match="unknown blob `X_grad`"):
        trainer.blob("X_grad")


def test_the_gradient_of_an_input_is_computed_if_an_operator_reads_it(init):
    trainer = netc.load_trainer(source(FORWARD, BACKWARD, TOTAL), init)
    trainer.step({"X": X})
    w = np.array([[0.1, -0.2, 0.3]])
    same(trainer.blob("n"), (2 * (X @ w.T + 0.1) @ w).sum())


def test_the_gradient_of_a_blob_that_is_overwritten_is_that_of_its_first_version(init):
    trainer = netc.load_trainer(source(FORWARD, BACKWARD, TOTAL.replace("X_grad", "y_grad")), init)
    trainer.step({"X": X})
    same(trainer.blob("n"), (2 * (X @ np.array([[0.1, -0.2, 0.3]]).T + 0.1)).sum())


def test_a_sparse_update_reads_the_gradient_of_the_rows(tmp_path):
    path = tmp_path / "init.pbtxt"
    zeros = " ".join(["floats: 0"] * 6)
    fill = 'type: "GivenTensorFill" arg {{ name: "shape" ints: 3 ints: 2 }} arg {{ name: "values" {} }} }}'
    path.write_text(
        f'op {{ output: "E" {fill.format("floats: 1 floats: 2 floats: 3 floats: 4 floats: 5 floats: 6")} '
        f'op {{ output: "H" {fill.format(zeros)} '
        'op { output: "it" type: "GivenTensorInt64Fill" arg { name: "shape" ints: 1 } arg { name: "values" ints: 0 } }'
    )
    net = """
    op { input: "E" input: "rows" output: "e" type: "Gather" }
    op { input: "e" output: "e2" type: "Sqr" }
    op { input: "e2" output: "loss" type: "SumElements" }
    op { input: "loss" output: "loss_autogen_grad" type: "ConstantFill" arg { name: "value" f: 1.0 } }
    op { input: "e2" input: "loss_autogen_grad" output: "e2_grad" type: "SumElementsGradient" is_gradient_op: true }
    op { input: "e" input: "e2_grad" output: "e_grad" type: "SqrGradient" is_gradient_op: true }
    """
    update = """
    op { input: "E" input: "H" input: "rows" input: "e_grad" input: "LR" output: "E" output: "H" type: "SparseAdagrad" }
    """
    trainer = netc.load_trainer(source(net, COUNT.replace("0.1", "-0.1"), update), path)
    assert trainer.step({"rows": np.array([2, 0], np.int32)}) == 1 + 4 + 25 + 36
    same(trainer.state()["H"], [[4, 16], [0, 0], [100, 144]])
    same(trainer.state()["E"], np.array([[1, 2], [3, 4], [5, 6]]) - 0.05 * np.array([[1, 1], [0, 0], [1, 1]]))


def test_gradients_start_with_the_value_of_the_constant(init):
    text = BACKWARD.replace("f: 1.0", "f: -3.0")
    trainer = netc.load_trainer(source(FORWARD, text), init)
    trainer.step({"X": X})
    same(trainer.blob("b_grad"), -3 * (2 * (X @ np.array([[0.1, -0.2, 0.3]]).T + 0.1)).sum(0))


def test_sums_of_partial_gradients_are_left_out(init):
    forward = f"""{FORWARD}
    op {{ input: "W" output: "n" type: "SumSqrElements" }}
    op {{ input: "loss" input: "n" output: "both" type: "Add" }}
    """
    backward = """
    op { input: "both" output: "both_autogen_grad" type: "ConstantFill" arg { name: "value" f: 1.0 } }
    op { input: "W" input: "both_autogen_grad" output: "_W_grad_autosplit_1" type: "SumSqrElementsGradient" }
    op { input: "X" input: "W" input: "y_grad" output: "_W_grad_autosplit_0" output: "b_grad" type: "FCGradient" }
    op { input: "_W_grad_autosplit_0" input: "_W_grad_autosplit_1" output: "W_grad" type: "Sum" }
    """
    trainer = netc.load_trainer(source(forward, backward, COUNT, UPDATE), init)
    w = np.array([[0.1, -0.2, 0.3]])
    same(trainer.step({"X": X}), ((X @ w.T + 0.1) ** 2).sum() + (w**2).sum())
    same(trainer.state()["W"], w - 0.05 * ((2 * (X @ w.T + 0.1)).T @ X + 2 * w))


def test_operators_before_the_loss_that_read_updated_blobs_see_the_old_ones(init):
    extra = 'op { input: "W" output: "kept" type: "Sqr" }'
    trainer = netc.load_trainer(source(extra, FORWARD, BACKWARD, COUNT, UPDATE, extra.replace("kept", "new")), init)
    trainer.step({"X": X})
    same(trainer.blob("kept"), np.array([[0.1, -0.2, 0.3]]) ** 2)
    same(trainer.blob("new"), trainer.state()["W"] ** 2)


def test_inputs_of_the_init_net_need_not_be_fed(tmp_path):
    path = tmp_path / "init.pbtxt"
    fill = 'op { output: "X" type: "GivenTensorFill" arg { name: "shape" ints: 1 ints: 3 } arg { name: "values" floats: 1 floats: 2 floats: 3 } }'  # noqa: E501
    path.write_text(INIT + fill)
    trainer = netc.load_trainer(source(FORWARD, BACKWARD, COUNT, UPDATE), path)
    same(trainer.step(), (0.1 - 0.4 + 0.9 + 0.1) ** 2)
    trainer.step({"X": 2 * X[:1]})
    same(trainer.state()["X"], 2 * X[:1])


@pytest.mark.parametrize(
    ("parts", "message", "code"),
    [
        ((FORWARD,), "computes no gradients of a loss", "E100"),
        ((FORWARD, BACKWARD, UPDATE.replace("W_grad", "y_w"), INPUTS), "`y_w` is not an external input", "E011"),
        ((FORWARD, BACKWARD.replace("W_grad", "dW"), UPDATE.replace("W_grad", "dW")), "does not say of which", "E011"),
        ((FORWARD, BACKWARD, COUNT, UPDATE.replace("Momentum", "Momentun")), "unknown operator", "E010"),
        ((FORWARD.replace('"W"', '"it"'), BACKWARD), "has type int64", "E107"),
        ((FORWARD, BACKWARD, COUNT, UPDATE.replace("M", "b").replace("bom", "Mom")), "elements", "E102"),
    ],
)
def test_errors_of_the_net(init, parts, message, code):
    with pytest.raises(NetcError, match=message) as caught:
        netc.load_trainer(source(*parts), init)
    assert caught.value.diagnostics[0].code == code


def test_errors_of_a_step(init):
    trainer = netc.load_trainer(source(FORWARD, BACKWARD, COUNT, UPDATE, INPUTS), init)
    with pytest.raises(NetcError, match="nothing has written or fed `X`"):
        trainer.step()
    with pytest.raises(NetcError, match="`Y` is not an input of the net"):
        trainer.step({"X": X, "Y": X})
    with pytest.raises(NetcError, match="expects 3"):
        trainer.step({"X": X[:, :2]})
    assert trainer.state()["it"].tolist() == [0]
    trainer.step({"X": X})
    assert trainer.state()["it"].tolist() == [1]


def test_a_loaded_training_net_takes_gradients_as_inputs(init):
    net = netc.load(source(FORWARD, BACKWARD, COUNT, UPDATE, INPUTS), weights=init)
    assert net.inputs == ("X", "W_grad")
    found = net.run({"X": X, "W_grad": np.ones((1, 3), np.float32)}, ["W", "loss"])
    same(found["W"], np.array([[0.1, -0.2, 0.3]]) - 0.05)


def test_checking_a_training_net_finds_nothing(tmp_path):
    path = tmp_path / "train_net.pbtxt"
    path.write_text("\n".join((FORWARD, BACKWARD, COUNT, UPDATE, INPUTS)))
    assert netc.check(path) == []
