"""Plans: what Caffe2 itself computed, and the rules of steps."""

from __future__ import annotations

import numpy as np
import pytest

import netc
from netc import weights
from netc.diagnostics import NetcError, Source
from netc.frontends import read_plan
from netc.init_net import read_weights
from netc.training.caffe2.plan_run import PlanRun
from netc.training.caffe2.run import run_plan

from .nets import REFERENCE

NETS = """
network { name: "init"
  op { output: "it" type: "GivenTensorInt64Fill" arg { name: "shape" ints: 1 } arg { name: "values" ints: 0 } }
  op { output: "end" type: "GivenTensorInt64Fill" arg { name: "shape" ints: 1 } arg { name: "values" ints: 3 } }
  op { output: "lock" type: "CreateMutex" }
}
network { name: "count" op { input: "lock" input: "it" output: "it" type: "AtomicIter" } external_input: "lock" external_input: "it" }
network { name: "ask" op { input: "it" input: "end" output: "stop" type: "GE" } external_input: "it" external_input: "end" }
"""  # noqa: E501
START = 'execution_step { name: "start" network: "init" } '


def plan(*steps: str, nets: str = NETS):
    found = read_plan(Source("plan.pbtxt", nets + START + " ".join(steps)))
    assert found is not None
    return found


def iterations(*steps: str) -> int:
    run = PlanRun(plan(*steps))
    run.run()
    return int(run.workspace["it"])


@pytest.mark.parametrize("name", ["plan.pb", "plan.pbtxt"])
def test_the_recorded_plan(name, tmp_path):
    found = read_plan(REFERENCE / "plan" / name)
    assert found is not None
    run = run_plan(found, output=tmp_path / "out.pb")
    with np.load(REFERENCE / "plan" / "outputs.npz") as recorded:
        for blob, expected in recorded.items():
            np.testing.assert_allclose(run.workspace[blob], expected, rtol=1e-5, atol=1e-7)
    written = {layer.name: layer.blobs[0].data for layer in read_weights(tmp_path / "out.pb").layers}
    assert set(written) == {"W", "b", "X", "Yt", "ONE", "ITER"}
    np.testing.assert_array_equal(written["W"], run.workspace["W"])
    assert written["ITER"].tolist() == [30]


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        ('{ network: "count" }', 1),
        ('{ network: "count" num_iter: 4 }', 4),
        ('{ network: "count" num_iter: 0 }', 0),
        ('{ network: "count" network: "count" num_iter: 2 }', 4),
        ('{ substep { network: "count" num_iter: 2 } substep { network: "count" } num_iter: 3 }', 9),
        ('{ network: "count" network: "ask" should_stop_blob: "stop" }', 3),
        ('{ substep { network: "count" } substep { network: "ask" } should_stop_blob: "stop" }', 3),
        ("{ num_iter: 5 }", 0),
    ],
)
def test_how_often_steps_run(step, expected):
    ask = 'execution_step { network: "ask" } '
    assert iterations(ask if "should_stop" in step else "", f"execution_step {step}") == expected


def test_a_step_runs_again_after_its_stop_unless_it_runs_only_once():
    step = 'execution_step { network: "count" network: "ask" should_stop_blob: "stop" only_once: %s } '
    ask = 'execution_step { network: "ask" } '
    assert iterations(ask, step % "true", step % "true") == 3
    assert iterations(ask, step % "false", step % "false") == 4


@pytest.mark.parametrize(
    ("step", "message", "code"),
    [
        ('network: "cuont"', "runs the net `cuont`, which the plan does not have", "E100"),
        ('network: "count" substep { network: "count" }', "has both nets and steps", "E100"),
        ('network: "count" num_iter: 1 should_stop_blob: "stop"', "both `num_iter` and `should_stop_blob`", "E100"),
        ('network: "count" report_net: "ask"', "`report_net` of step `s` is not supported", "E106"),
        ('network: "count" num_concurrent_instances: 2', "`num_concurrent_instances` of step", "E106"),
    ],
)
def test_steps_with_errors(step, message, code):
    found = plan(f'execution_step {{ name: "s" {step} }}')
    assert [d.code for d in found.report.errors] == [code]
    with pytest.raises(NetcError, match=message):
        PlanRun(found)


def test_a_plan_with_two_nets_of_a_name():
    with pytest.raises(NetcError, match="several nets of the name `count`"):
        PlanRun(plan(nets=NETS + 'network { name: "count" }'))


@pytest.mark.parametrize(("blob", "message"), [("none", "nothing has written `none`"), ("it", "int64 with 1 elements")])
def test_stop_blobs_that_are_none(blob, message):
    with pytest.raises(NetcError, match=message):
        iterations(f'execution_step {{ network: "count" should_stop_blob: "{blob}" }}')


@pytest.mark.parametrize("name", ["plan.pb", "plan.pbtxt"])
def test_checking_a_plan(name):
    assert netc.check(REFERENCE / "plan" / name) == []


def test_checking_a_plan_with_errors():
    text = NETS.replace('"AtomicIter"', '"AtomicIterr"') + START + 'execution_step { name: "s" network: "cuont" }'
    found = netc.check(Source("plan.pbtxt", text))
    assert [(d.code, d.span.line if d.span else None) for d in found] == [("E100", None), ("E010", 7)]


def test_other_files_are_no_plans(tmp_path):
    path = tmp_path / "net.prototxt"
    path.write_text('name: "n" layer { name: "a" type: "ReLU" bottom: "x" top: "y" }')
    assert read_plan(path) is None
    path.write_text('op { input: "x" output: "y" type: "Relu" }')
    assert read_plan(path) is None
    weights.write_blob(path, np.zeros((1, 2), np.float32))
    with pytest.raises(NetcError, match="is a binary file"):
        read_plan(path)


def test_a_damaged_plan():
    text = Source("plan.pbtxt", 'network { name: "a" op { type: } } execution_step { }')
    found = read_plan(text)
    assert found is not None
    assert found.report.errors


def test_a_truncated_plan(tmp_path):
    data = (REFERENCE / "plan" / "plan.pb").read_bytes()
    path = tmp_path / "plan.pb"
    path.write_bytes(data[:-3])
    with pytest.raises(NetcError, match=r"truncated|damaged") as caught:
        read_plan(path)
    assert caught.value.diagnostics[0].code == "E403"
