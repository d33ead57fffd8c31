import numpy as np

from netc.layers.sequence.continuation_indicator import ContinuationIndicator
from tests.layers.case import Case, Source, made
from tests.layers.contract import raises, round_trip
from tests.layers.harness import run

REQUIRED = {
    "ContinuationIndicator": "time_step: 3 batch_size: 2",
}
CASES = [
    Case(made("ContinuationIndicator", 3, 2), (), (), source=Source(own_gradient="none")),
]


def test_markers():
    np.testing.assert_array_equal(run(ContinuationIndicator(3, 2))[0], [[0, 0], [1, 1], [1, 1]])
    np.testing.assert_array_equal(run(ContinuationIndicator(1, 2), np.ones((4, 3)))[0], [[0, 0]])


def test_files(net_from):
    assert round_trip("ContinuationIndicator", time_step=4, batch_size=3) == ContinuationIndicator(4, 3)
    for name in ("time_step", "batch_size"):
        with raises("E103", f"`{name}` is 0: it must be positive"):
            round_trip("ContinuationIndicator", **{"time_step": 1, "batch_size": 1, name: 0})
    text = (
        'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 4 dim: 2 dim: 3 } } }'
        'layer { name: "c" type: "ContinuationIndicator" top: "c" '
        "continuation_indicator_param { time_step: 4 batch_size: 2 } }"
        'layer { name: "l" type: "LSTM" bottom: "x" bottom: "c" top: "l" recurrent_param { num_output: 5 } }'
    )
    net = net_from(text)
    assert net.graph.shape("l") == (4, 2, 5)
