import numpy as np
import pytest
import torch

import netc.pycaffe as caffe
from netc.diagnostics import NetcError

NET = """
name: "pair"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 4 dim: 3 } } include { phase: TRAIN } }
layer { name: "label" type: "Input" top: "label" input_param { shape { dim: 4 dim: 2 } } include { phase: TRAIN } }
layer { name: "data" type: "DummyData" top: "data" top: "label" include { phase: TEST }
        dummy_data_param { shape { dim: 5 dim: 3 } shape { dim: 5 dim: 2 } data_filler { value: 1 } } }
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
        inner_product_param { num_output: 2 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "EuclideanLoss" bottom: "ip" bottom: "label" top: "loss" }
"""
SOLVER = """
net: "net.prototxt" base_lr: 0.1 lr_policy: "fixed" max_iter: 6 snapshot_prefix: "snap" random_seed: 5
test_iter: 2 test_interval: 3 test_initialization: false
"""


@pytest.fixture
def solver(tmp_path, monkeypatch):
    """`solver(net=NET, more="", make=caffe.get_solver)`: a solver in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    caffe.set_mode_cpu()

    def make(net=NET, more="", make=caffe.get_solver):
        (tmp_path / "net.prototxt").write_text(net)
        (tmp_path / "solver.prototxt").write_text(SOLVER + more)
        return make("solver.prototxt")

    return make


def feed(made, seed=0):
    random = np.random.default_rng(seed)
    made.net.blobs["data"].data[...] = random.normal(size=(4, 3))
    made.net.blobs["label"].data[...] = random.normal(size=(4, 2))
    return made


def weight(made):
    return made.net.params["ip"][0].data.copy()


def test_a_step_changes_the_weights_by_their_diff(solver):
    made = feed(solver())
    before = weight(made)
    made.step(1)
    assert made.iter == 1
    update = made.net.params["ip"][0].diff
    assert abs(update).max() > 1e-3
    np.testing.assert_allclose(weight(made), before - update, rtol=1e-6)
    x, t = made.net.blobs["data"].data, made.net.blobs["label"].data
    gradient = (x @ before.T - t).T @ x / 4
    np.testing.assert_allclose(update, 0.1 * gradient, rtol=1e-4, atol=1e-6)


def test_values_written_between_steps_are_used(solver):
    made = feed(solver())
    made.step(1)
    for blob in made.net.params["ip"]:
        blob.data[...] = 0
    made.net.blobs["label"].data[...] = 3
    made.step(1)
    assert made.net.blobs["loss"].data == 9
    np.testing.assert_allclose(made.net.params["ip"][1].data, [0.3, 0.3], rtol=1e-6)


def test_training_reduces_the_loss(solver):
    made = feed(solver())
    made.step(1)
    first = float(made.net.blobs["loss"].data)
    made.step(30)
    assert float(made.net.blobs["loss"].data) < 0.7 * first


def test_test_nets_use_the_train_nets_weights(solver):
    made = feed(solver())
    (test,) = made.test_nets
    made.step(2)
    np.testing.assert_array_equal(test.params["ip"][0].data, weight(made))
    test.forward()
    expected = np.ones((5, 3)) @ weight(made).T + made.net.params["ip"][1].data
    np.testing.assert_allclose(test.blobs["ip"].data, expected, rtol=1e-5)


def test_tests_are_run_when_they_are_due(solver):
    made = feed(solver())
    runs = []
    made.test_nets[0].before_forward(lambda index: runs.append(made.iter) if index == 0 else None)
    made.step(5)
    assert runs == [3, 3]


def test_callbacks_run_before_and_after_the_passes(solver):
    made = feed(solver())
    seen = []
    made.add_callback(
        lambda: seen.append(("start", made.net.params["ip"][1].diff.any())),
        lambda: seen.append(("gradients", made.net.params["ip"][1].diff.any())),
    )
    made.step(2)
    assert [what for what, _ in seen] == ["start", "gradients"] * 2
    assert [bool(any_) for what, any_ in seen if what == "gradients"] == [True, True]
    assert not seen[0][1]


def test_a_callback_may_change_gradients(solver):
    made = feed(solver())
    before = weight(made)

    def stop():
        made.net.params["ip"][0].diff[...] = 0

    made.add_callback(lambda: None, stop)
    made.step(1)
    np.testing.assert_array_equal(weight(made), before)


def test_solve_stops_at_max_iter_and_snapshots(solver, tmp_path):
    made = feed(solver())
    made.solve()
    assert made.iter == made.param.max_iter == 6
    assert (tmp_path / "snap_iter_6.caffemodel").exists()


@pytest.mark.parametrize("ending", ["", 'snapshot_format: HDF5 momentum: 0.9 type: "Adam"'])
def test_an_interrupted_run_continues_exactly(solver, ending, tmp_path):
    whole = feed(solver(more=ending))
    whole.step(3)
    whole.snapshot()
    state = next(path.name for path in tmp_path.glob("snap_iter_3.solverstate*"))
    whole.step(3)
    resumed = feed(solver(more=ending))
    resumed.solve(state)
    assert resumed.iter == 6
    np.testing.assert_array_equal(weight(resumed), weight(whole))


@pytest.mark.parametrize(
    "cls",
    [
        caffe.SGDSolver,
        caffe.NesterovSolver,
        caffe.AdaGradSolver,
        caffe.RMSPropSolver,
        caffe.AdaDeltaSolver,
        caffe.AdamSolver,
    ],
)
def test_each_class_is_its_type(solver, cls):
    by_class = feed(solver(make=cls))
    by_type = feed(solver(more=f'type: "{cls.type}"'))
    assert type(by_type) is cls
    by_class.step(3)
    by_type.step(3)
    np.testing.assert_array_equal(weight(by_class), weight(by_type))


def test_another_net_may_share_the_weights(solver):
    made = feed(solver())
    deploy = caffe.Net("net.prototxt", caffe.TEST)
    made.share_weights(deploy)
    made.step(2)
    np.testing.assert_array_equal(deploy.params["ip"][0].data, weight(made))


def test_memory_data_feeds_a_solver(solver):
    head = """
    layer { name: "memory" type: "MemoryData" top: "data" top: "unused" include { phase: TRAIN }
            memory_data_param { batch_size: 2 channels: 3 height: 1 width: 1 } }
    layer { name: "target" type: "DummyData" top: "label" include { phase: TRAIN }
            dummy_data_param { shape { dim: 2 dim: 2 } data_filler { value: 1 } } }
    """
    rest = NET[NET.index('layer { name: "data" type: "DummyData"') :]
    made = solver(net=head + rest)
    with pytest.raises(NetcError, match="set_input_arrays"):
        made.step(1)
    made.net.set_input_arrays(np.ones((4, 3, 1, 1), np.float32), np.zeros(4, np.float32))
    made.step(40)
    assert made.net.blobs["loss"].data < 1e-2


def test_a_python_layer_in_a_solver(solver, tmp_path, monkeypatch):
    (tmp_path / "solver_layers.py").write_text(
        """
import netc.pycaffe as caffe

class Half(caffe.Layer):
    def reshape(self, bottom, top):
        top[0].reshape(1)

    def forward(self, bottom, top):
        top[0].data[...] = ((bottom[0].data - bottom[1].data) ** 2).sum() / 8

    def backward(self, top, propagate_down, bottom):
        assert propagate_down == [True, False]
        bottom[0].diff[...] = (bottom[0].data - bottom[1].data) / 4 * top[0].diff[0]
"""
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    python = 'type: "Python" loss_weight: 1 python_param { module: "solver_layers" layer: "Half" }'
    one = feed(solver(net=NET.replace('type: "EuclideanLoss"', python)))
    other = feed(solver())
    other.net.params["ip"][0].data[...] = one.net.params["ip"][0].data
    for made in (one, other):
        made.step(3)
    np.testing.assert_allclose(weight(one), weight(other), rtol=1e-5)


def test_a_solver_logs_as_caffe_does(solver, capsys):
    made = feed(solver(more="display: 1 debug_info: true"))
    made.step(2)
    caffe.log("done")
    lines = [line.split("] ", 1)[1] for line in capsys.readouterr().err.splitlines() if "] " in line]
    assert lines[-1] == "done"
    assert any(line.startswith("Iteration 1 (") for line in lines)
    for start in ("    [Forward] Layer ip, top blob ip data: ", "    [Backward] Layer ip, param blob 0 diff: "):
        assert sum(line.startswith(start) for line in lines) == 2
    assert sum(line.startswith("    [Backward] All net params (data, diff): L1 norm") for line in lines) == 2


def test_the_log_level_can_be_set(solver, capsys):
    try:
        caffe.init_log(1)
        feed(solver(more="display: 1")).step(2)
        assert capsys.readouterr().err == ""
    finally:
        caffe.init_log()


def test_the_learning_rate_can_be_read_and_changed(solver):
    made = feed(solver())
    assert (made.lr, made.base_lr, made.param.base_lr) == (pytest.approx(0.1), pytest.approx(0.1), pytest.approx(0.1))
    made.param.base_lr = 0.02
    assert (made.lr, made.base_lr) == (pytest.approx(0.02), 0.02)
    before = weight(made)
    made.step(1)
    np.testing.assert_allclose(before - weight(made), made.net.params["ip"][0].diff, rtol=1e-4, atol=1e-7)
    with pytest.raises(AttributeError, match="`max_iter` cannot be set"):
        made.param.max_iter = 3


def test_an_update_by_hand_is_that_of_a_step(solver):
    stepped, by_hand = feed(solver()), feed(solver())
    stepped.step(1)
    by_hand.net.clear_param_diffs()
    by_hand.net.forward()
    by_hand.net.backward()
    by_hand.apply_update()
    np.testing.assert_allclose(weight(by_hand), weight(stepped), rtol=1e-6)
    assert by_hand.iter == stepped.iter == 1


def test_a_group_of_one_process_trains_as_none(solver):
    alone, joined = feed(solver()), feed(solver())
    group = caffe.NCCL(joined, caffe.NCCL.new_uid())
    try:
        group.bcast()
        joined.add_callback(group)
        for made in (alone, joined):
            made.step(2)
    finally:
        torch.distributed.destroy_process_group()
    np.testing.assert_array_equal(weight(joined), weight(alone))
