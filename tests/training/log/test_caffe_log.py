import io
from datetime import datetime

import pytest

from netc.diagnostics import Diagnostic
from netc.training.log import events
from netc.training.log.caffe_log import GlogWriter, lines

NOW = datetime(2026, 1, 2, 3, 4, 5, 67)
OUTPUTS = (events.Output("accuracy", 0.9444444), events.Output("loss", 2.409951, 1.0), events.Output("aux", 2.0, 0.3))


def written(*happened):
    stream = io.StringIO()
    writer = GlogWriter(stream, lambda: NOW)
    writer.process = 748
    for event in happened:
        writer(event)
    return stream.getvalue()


def test_prefix():
    assert (
        written(events.LogNote("caffe.cpp:197", "Use CPU.")) == "I0102 03:04:05.000067   748 caffe.cpp:197] Use CPU.\n"
    )
    assert written(events.WarningIssued("no GPU")).startswith("W0102 03:04:05.000067   748 ")


@pytest.mark.parametrize(
    ("event", "wanted"),
    [
        (
            events.RunStarted("LeNet", "inv", 0, 10),
            [("solver.cpp:289", "Solving LeNet"), ("solver.cpp:290", "Learning Rate Policy: inv")],
        ),
        (
            events.IterationDisplayed(10, 1.921064, 0.265, 10, 10, OUTPUTS[1:]),
            [
                ("solver.cpp:239", "Iteration 10 (37.7358 iter/s, 0.265s/10 iters), loss = 1.92106"),
                ("solver.cpp:258", "    Train net output #0: loss = 2.40995 (* 1 = 2.40995 loss)"),
                ("solver.cpp:258", "    Train net output #1: aux = 2 (* 0.3 = 0.6 loss)"),
            ],
        ),
        (events.LearningRateDisplayed(10, 1e-5), [("sgd_solver.cpp:112", "Iteration 10, lr = 1e-05")]),
        (events.LearningRateStepped(7, 2), [("sgd_solver.cpp:47", "MultiStep Status: Iteration 7, step = 2")]),
        (
            events.GradientsClipped(1, 12.5, 5, 0.4),
            [
                (
                    "sgd_solver.cpp:96",
                    "Gradient clipping: scaling down gradients (L2 norm 12.5 > 5) by scale factor 0.4",
                )
            ],
        ),
        (events.TestStarted(100, 1), [("solver.cpp:347", "Iteration 100, Testing net (#1)")]),
        (
            events.TestFinished(100, 0, OUTPUTS[:1], 0.25),
            [
                ("solver.cpp:397", "Test loss: 0.25"),
                ("solver.cpp:414", "    Test net output #0: accuracy = 0.944444"),
            ],
        ),
        (
            events.TestFinished(100, 0, OUTPUTS[:1], None, (events.Output("class1", 0.5),)),
            [("solver.cpp:531", "class1: 0.5"), ("solver.cpp:414", "    Test net output #0: accuracy = 0.944444")],
        ),
        (
            events.SnapshotStarted(1, "a.caffemodel", "model", False),
            [("solver.cpp:464", "Snapshotting to binary proto file a.caffemodel")],
        ),
        (
            events.SnapshotStarted(1, "a.solverstate", "state", False),
            [("sgd_solver.cpp:284", "Snapshotting solver state to binary proto file a.solverstate")],
        ),
        (
            events.SnapshotStarted(1, "a.solverstate.h5", "state", True),
            [("sgd_solver.cpp:296", "Snapshotting solver state to HDF5 file a.solverstate.h5")],
        ),
        (events.RestoreStarted("a"), [("solver.cpp:296", "Restoring previous solver status from a")]),
        (events.FinetuningStarted("a"), [("solver.cpp:72", "Finetuning from a")]),
        (
            events.FinetuningLoaded("a", ("x",), ("y",), ("z",)),
            [("net.cpp:744", "Ignoring source layer y"), ("net.cpp:744", "No weights for layer z in a")],
        ),
        (events.FinalLoss(300, 0.02630541), [("solver.cpp:327", "Iteration 300, loss = 0.0263054")]),
        (events.RunFinished(300), [("solver.cpp:332", "Optimization Done.")]),
        (events.RunFinished(300, stopped_early=True), [("solver.cpp:309", "Optimization stopped early.")]),
    ],
)
def test_caffes_lines(event, wanted):
    assert list(lines(event)) == wanted


def test_the_first_line_has_no_speed():
    ((_, text),) = lines(events.IterationDisplayed(0, 1.0, 0.0, 0, 10, ()))
    assert text == "Iteration 0 (0 iter/s, 0s/10 iters), loss = 1"


def test_a_rendered_diagnostic_keeps_its_lines():
    found = Diagnostic("W603", "jumps", notes=("a\x1bb",)).render()
    assert "\n" in found
    assert written(events.WarningIssued(found, rendered=True)).endswith(f"] {found}\n")
    assert r"\x0a" in written(events.WarningIssued(found))
