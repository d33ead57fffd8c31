"""Average precision against sums written by hand, and a solver that tests a net that detects."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

from netc.diagnostics import NetcError
from netc.training.average_precision import DetectionScores, average_precision
from netc.training.log import events

SCORES = np.array([0.3, 0.9, 0.6, 0.8, 0.7], np.float32)
HITS = np.array([1, 1, 0, 0, 1], bool)
"""In descending order: true, false, true, false, true; of four objects."""


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("Integral", 1 * 0.25 + 2 / 3 * 0.25 + 3 / 5 * 0.25),
        ("MaxIntegral", 1 * 0.25 + 2 / 3 * 0.25 + 3 / 5 * 0.25),
        ("11point", (3 * 1 + 3 * (2 / 3) + 2 * 0.6) / 11),
    ],
)
def test_average_precision(version, expected):
    assert average_precision(SCORES, HITS, 4, version) == pytest.approx(expected)
    assert average_precision(SCORES[:0], HITS[:0], 4, version) == 0
    assert average_precision(SCORES, HITS, 0, version) == 0


def test_the_largest_precision_from_a_recall_on():
    scores, hits = np.array([0.9, 0.8, 0.7], np.float32), np.array([0, 1, 1], bool)
    assert average_precision(scores, hits, 2, "Integral") == pytest.approx(0.5 * 1 / 2 + 0.5 * 2 / 3)
    assert average_precision(scores, hits, 2, "MaxIntegral") == pytest.approx(2 / 3)


def test_recall_is_single_precision():
    """As in SSD, 7 of 10 objects do not reach a recall of 0.7."""
    scores, hits = np.linspace(1, 0.5, 7, dtype=np.float32), np.ones(7, bool)
    assert average_precision(scores, hits, 10, "11point") == pytest.approx(7 / 11)


def test_rows_of_several_batches():
    first, second, whole = DetectionScores(), DetectionScores(), DetectionScores()
    heads = [[-1, 1, 2, -1, -1], [-1, 2, 1, -1, -1]]
    batches = [
        [*heads, [0, 1, 0.9, 1, 0], [0, 2, 0.5, 0, 1], [0, 2, 0.4, 0, 0]],
        [*heads, [0, 1, 0.8, 0, 1], [1, 1, 0.7, 1, 0]],
    ]
    for own, rows in zip((first, second), batches):
        own.add(np.array([[rows]], np.float32))
        whole.add(np.array([[rows]], np.float32))
    merged = first.merge([second])
    assert merged.by_class("Integral") == whole.by_class("Integral")
    assert merged.by_class("Integral") == {1: pytest.approx(1 / 4 + 2 / 3 / 4), 2: 0.0}
    assert merged.mean("Integral") == pytest.approx((1 / 4 + 2 / 3 / 4) / 2)
    assert DetectionScores().mean("11point") == 0
    with pytest.raises(NetcError, match="requires outputs of `DetectionEvaluate`"):
        first.add(np.zeros((1, 3)))


NET = """
layer {{ name: "data" type: "HDF5Data" top: "found" top: "truth" hdf5_data_param {{ source: "{list}" batch_size: 1 }} }}
layer {{ name: "eval" type: "DetectionEvaluate" bottom: "found" bottom: "truth" top: "detection_eval"
  include {{ phase: TEST }} detection_evaluate_param {{ num_classes: 4 }} }}
layer {{ name: "ip" type: "InnerProduct" bottom: "found" top: "ip" include {{ phase: TRAIN }}
  inner_product_param {{ num_output: 1 }} }}
layer {{ name: "loss" type: "EuclideanLoss" bottom: "ip" bottom: "ip" top: "loss" include {{ phase: TRAIN }} }}
layer {{ name: "silence" type: "Silence" bottom: "truth" include {{ phase: TRAIN }} }}
"""


def test_a_solver_logs_the_mean_average_precision(solver_from, work):
    box, far = [0.1, 0.1, 0.5, 0.5], [0.6, 0.6, 0.9, 0.9]
    found = [
        [[0, 1, 0.9, *box], [0, 2, 0.8, *far], [0, 1, 0.7, *far]],
        [[0, 1, 0.6, *box], [0, 2, 0.5, *box], [0, -1, -1, -1, -1, -1, -1]],
    ]
    truth = [[[0, 1, 0, *box, 0], [0, 2, 0, *box, 0]], [[0, 2, 0, *box, 0], [-1] * 8]]
    with h5py.File(work / "rows.h5", "w") as file:
        file["found"], file["truth"] = (np.array(rows, np.float32)[:, None] for rows in (found, truth))
    (work / "list.txt").write_text(str(work / "rows.h5"))
    (work / "net.prototxt").write_text(NET.format(list=work / "list.txt"))
    solver = solver_from(
        "test_iter: 2 test_interval: 10 test_compute_loss: true "
        'eval_type: "detection" ap_version: "11point" show_per_class_result: true'
    )
    (outputs,) = solver.test_all()
    # Class 1: true, false, false of one object; class 2: false, true of two; class 3 has nothing.
    assert outputs == (events.Output("detection_eval", pytest.approx((1 + 6 * 0.5 / 11) / 3)),)
    (finished,) = [event for event in solver.events if isinstance(event, events.TestFinished)]
    assert [(one.blob, one.value) for one in finished.classes] == [("class1", 1.0), ("class2", pytest.approx(3 / 11))]


def test_unknown_settings(solver_from):
    with pytest.raises(NetcError, match="unknown eval_type `segments`"):
        solver_from('eval_type: "segments"')
    with pytest.raises(NetcError, match="unknown ap_version `12point`"):
        solver_from('ap_version: "12point"')
