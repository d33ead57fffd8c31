"""`netc train` with Caffe2's plans and training nets."""

from __future__ import annotations

import numpy as np
import pytest

import netc
from netc.cli import main
from netc.init_net import read_weights
from netc.weights.init_net_file import write_init_net
from tests.training.caffe2 import test_fine_tuning as fine_tuning
from tests.training.caffe2.nets import BACKWARD, COUNT, FORWARD, INIT, INPUTS, REFERENCE, UPDATE

from .solver_files import write_solver


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train_net.pbtxt").write_text("\n".join((FORWARD, BACKWARD, COUNT, UPDATE, INPUTS)))
    (tmp_path / "init_net.pbtxt").write_text(INIT)
    x = np.random.default_rng(3).normal(size=(3, 2, 3)).astype(np.float32)
    np.savez(tmp_path / "batches.npz", X=x)
    return x


def blobs(path: str) -> dict[str, np.ndarray]:
    return {layer.name: layer.blobs[0].data for layer in read_weights(path).layers}


def test_a_training_net(files, capsys):
    command = ["train", "train_net.pbtxt", "--init", "init_net.pbtxt", "--inputs", "batches.npz", "--display", "2"]
    assert main([*command, "--output", "trained.pb"]) == 0
    log = capsys.readouterr().err
    trainer = netc.load_trainer("train_net.pbtxt", "init_net.pbtxt")
    losses = [trainer.step({"X": x}) for x in files]
    assert "Iteration 2 (" in log
    assert f"loss = {sum(losses[:2]) / 2:g}" in log
    assert f"loss = {losses[2]:g}" in log
    assert "Optimization Done." in log
    found = blobs("trained.pb")
    assert set(found) == {"W", "b", "M", "it"}
    for name, array in trainer.state().items():
        np.testing.assert_array_equal(found[name], array)


def test_training_continues_from_the_trained_blobs(files, capsys):
    command = ["train", "train_net.pbtxt", "--inputs", "batches.npz"]
    assert main([*command, "--init", "init_net.pbtxt", "--iterations", "2"]) == 0
    assert main([*command, "--init", "train_net_trained_init.pb", "--iterations", "4", "--output", "b.pb"]) == 0
    trainer = netc.load_trainer("train_net.pbtxt", "init_net.pbtxt")
    for index in (0, 1, 0, 1, 2, 0):
        trainer.step({"X": files[index]})
    assert blobs("b.pb")["it"].tolist() == [6]
    np.testing.assert_array_equal(blobs("b.pb")["W"], trainer.state()["W"])


def test_a_plan(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["train", str(REFERENCE / "plan" / "plan.pb"), "--display", "10"]) == 0
    log = capsys.readouterr().err
    assert "Iteration 30 (" in log
    assert "Snapshotting to binary proto file plan_trained_init.pb" in log
    with np.load(REFERENCE / "plan" / "outputs.npz") as recorded:
        np.testing.assert_allclose(blobs("plan_trained_init.pb")["W"], recorded["W"], rtol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train_net.pbtxt", "--gpu", "0"], "`--gpu` does not apply: `train_net.pbtxt` is a Caffe2 net, which has no"),
        (["plan.pb", "--iterations", "3"], "`--iterations` does not apply: the plan `plan.pb` says what runs"),
        (["solver.prototxt", "--init", "x.pb"], "`--init` does not apply: it is for Caffe2's plans and nets"),
        (["train_net.pbtxt"], "the number of iterations is unknown"),
        (["train_net.pbtxt", "--iterations", "1", "--init", "init_net.pbtxt"], "nothing has written or fed `X`"),
        (["init_net.pbtxt", "--iterations", "1"], "computes no gradients of a loss"),
        (["train_net.pbtxt", "--inputs", "uneven.npz"], "does not have the same number of batches"),
    ],
)
def test_what_is_refused(files, tmp_path, capsys, arguments, message):
    write_solver(tmp_path)
    (tmp_path / "plan.pb").write_bytes((REFERENCE / "plan" / "plan.pb").read_bytes())
    np.savez(tmp_path / "uneven.npz", X=files, y=files[:2])
    assert main(["train", *arguments]) != 0
    assert message in capsys.readouterr().err


def test_fine_tuning(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "predict_net.pbtxt").write_text(fine_tuning.PREDICT)
    (tmp_path / "net.prototxt").write_text(fine_tuning.DATA + fine_tuning.PLACE + fine_tuning.LOSS)
    (tmp_path / "solver.prototxt").write_text(fine_tuning.SOLVER)
    write_init_net(tmp_path / "init_net.pb", {"fc_w": fine_tuning.W, "fc_b": fine_tuning.B})
    command = ["train", "predict_net.pbtxt", "--solver", "solver.prototxt"]
    assert main([*command, "--init", "init_net.pb", "--output", "trained.pb"]) == 0
    assert "Iteration 3, Testing net (#0)" in capsys.readouterr().err
    assert not np.allclose(blobs("trained.pb")["fc_w"], fine_tuning.W)
    for arguments, message in (
        ([], "`--init FILE` is required"),
        (["--init", "init_net.pb", "--weights", "x"], "exclude each other"),
        (["--init", "init_net.pb", "--display", "3"], "`--display` does not apply"),
    ):
        assert main([*command, *arguments]) != 0
        assert message in capsys.readouterr().err
