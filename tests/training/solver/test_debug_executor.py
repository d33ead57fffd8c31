"""Node by node: debug lines as in Caffe, the first value that is not finite, and equal results of both executors."""

import math
import re

import pytest
import torch

from netc.diagnostics import NetcError
from netc.training.log import events
from netc.training.log.caffe_log import GlogWriter, number
from tests.training.conftest import NET


def debug_lines(solver):
    return [e.text.strip() for e in solver.events if isinstance(e, events.LogNote) and e.location.startswith("net.cpp")]


def test_computes_the_same_as_straight_line_code(solver_from):
    more = "iter_size: 2 test_iter: 2 test_interval: 2 display: 1 "
    straight, stepwise = solver_from(more), solver_from(more, debug=True)
    for solver in (straight, stepwise):
        torch.manual_seed(9)
        solver.step(4)
    for a, b in zip(straight.net.blobs, stepwise.net.blobs):
        torch.testing.assert_close(a.data, b.data, rtol=1e-5, atol=1e-7)
    for kind in (events.TestFinished, events.IterationDisplayed):
        one, other = ([e for e in s.events if isinstance(e, kind)] for s in (straight, stepwise))
        assert len(one) == len(other) > 0
        for a, b in zip(one, other):
            assert [o.value for o in a.outputs] == pytest.approx([o.value for o in b.outputs], rel=1e-5)


def test_debug_info_logs_what_caffe_logs(solver_from):
    solver = solver_from("display: 2 debug_info: true test_iter: 1 test_interval: 9 test_initialization: false")
    solver.step(1)
    said = debug_lines(solver)
    heads = [line.rpartition(": ")[0] for line in said]
    assert heads[:9] == [
        "[Forward] Layer digits, top blob data data",
        "[Forward] Layer digits, top blob label data",
        "[Forward] Layer conv, top blob conv data",
        "[Forward] Layer conv, param blob 0 data",
        "[Forward] Layer conv, param blob 1 data",
        "[Forward] Layer bn, top blob bn data",
        "[Forward] Layer bn, param blob 0 data",
        "[Forward] Layer bn, param blob 1 data",
        "[Forward] Layer bn, param blob 2 data",
    ]
    assert [head for head in heads if head.startswith("[Backward]")][:-1] == [
        "[Backward] Layer loss, bottom blob ip diff",
        "[Backward] Layer ip, bottom blob bn diff",
        "[Backward] Layer ip, param blob 0 diff",
        "[Backward] Layer ip, param blob 1 diff",
        "[Backward] Layer drop, bottom blob bn diff",
        "[Backward] Layer bn, bottom blob conv diff",
        *[f"[Backward] Layer bn, param blob {index} diff" for index in range(3)],
        "[Backward] Layer conv, param blob 0 diff",
        "[Backward] Layer conv, param blob 1 diff",
    ]
    pattern = r"\[Backward\] All net params \(data, diff\): L1 norm = \(\S+, \S+\); L2 norm = \(\S+, \S+\)"
    assert re.fullmatch(pattern, said[-1])
    solver.step(1)
    assert len(debug_lines(solver)) == len(said), "an iteration that displays nothing tells nothing"
    solver.test()
    assert any("[Forward] Layer accuracy, top blob accuracy" in line for line in debug_lines(solver)[len(said) :])


def test_debug_values_are_mean_absolute_values(solver_from, work, capsys):
    (work / "net.prototxt").write_text(
        'layer { name: "d" type: "DummyData" top: "x" dummy_data_param { shape { dim: 2 dim: 3 } '
        "data_filler { value: -0.5 } } }"
        'layer { name: "ip" type: "InnerProduct" bottom: "x" top: "y" inner_product_param { num_output: 4 '
        "bias_filler { value: -3 } weight_filler { value: 1 } } param { name: 'w' } }"
        'layer { name: "loss" type: "Reduction" bottom: "y" top: "loss" loss_weight: 2 }'
    )
    solver = solver_from("display: 1 debug_info: true")
    solver.step(1)
    assert debug_lines(solver) == [
        "[Forward] Layer d, top blob x data: 0.5",
        "[Forward] Layer ip, top blob y data: 4.5",
        "[Forward] Layer ip, param blob w data: 1",
        "[Forward] Layer ip, param blob 1 data: 3",
        "[Forward] Layer loss, top blob loss data: 36",
        "[Backward] Layer loss, bottom blob y diff: 2",
        "[Backward] Layer ip, param blob 0 diff: 2",
        "[Backward] Layer ip, param blob 1 diff: 4",
        f"[Backward] All net params (data, diff): L1 norm = (24, 40); L2 norm = ({number(math.sqrt(48))}, "
        f"{number(math.sqrt(12 * 4 + 4 * 16))})",
    ]
    (total,) = [e for e in solver.events if isinstance(e, events.LogNote) and "All net" in e.text]
    assert total.severity == "E"


def first_fault(solver):
    with pytest.raises(NetcError) as caught:
        solver.step(1)
    (found,) = caught.value.diagnostics
    assert found.code == "E701"
    return found


def test_the_first_nan_weight(solver_from):
    solver = solver_from(debug=True)
    solver.step(1)
    solver.net.blobs[5].tensor.data[1, 2] = math.nan
    found = first_fault(solver)
    assert found.message == "blob 0 of layer `ip` is nan in 1 of 108 elements"
    assert found.line == 16
    assert found.notes[0].startswith("its bottoms: `bn` ")


def test_the_first_nan_top(solver_from, work):
    log = 'layer { name: "log" type: "Log" bottom: "conv" top: "log" } '
    (work / "net.prototxt").write_text(NET.replace('layer { name: "bn"', log + 'layer { name: "bn"'))
    found = first_fault(solver_from(debug=True))
    assert re.fullmatch(r"top `log` of layer `log` is (nan|-inf) in \d+ of 162 elements", found.message)
    assert re.fullmatch(r"its bottoms: `conv` -\S+ to \S+", found.notes[0])


def test_the_first_nan_gradient(solver_from, work):
    """The square root of 0 is 0, and its slope is infinite."""
    root = 'layer { name: "zero" type: "Power" bottom: "ip" top: "zero" power_param { scale: 0 } } '
    root += 'layer { name: "root" type: "Power" bottom: "zero" top: "root" power_param { power: 0.5 } } '
    text = NET.replace('layer { name: "accuracy"', root + 'layer { name: "accuracy"')
    (work / "net.prototxt").write_text(
        text.replace('bottom: "ip" bottom: "label" top: "loss"', 'bottom: "root" bottom: "label" top: "loss"')
    )
    message = first_fault(solver_from(debug=True)).message
    assert re.fullmatch(r"the gradient of bottom `zero` of layer `root` is \S+ in \d+ of 24 elements", message)


def test_warnings_for_options_that_node_by_node_execution_ignores(solver_from):
    solver = solver_from('netc_param { amp: "bf16" mix_up: 0.2 }', debug=True)
    warnings = [e.text for e in solver.events if isinstance(e, events.WarningIssued)]
    assert warnings == [
        "`amp` is ignored: with `--debug` nets run node by node",
        "`mix_up` is ignored: with `--debug` nets run node by node",
    ]


def test_the_log_has_the_severity(solver_from, tmp_path):
    with open(tmp_path / "log", "w") as stream:
        GlogWriter(stream)(events.LogNote("net.cpp:789", "all", "E"))
    assert (tmp_path / "log").read_text()[0] == "E"
