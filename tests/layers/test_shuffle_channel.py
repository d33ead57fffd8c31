import numpy as np

from netc.ir.dims import UNKNOWN
from netc.ir.layer import Cost
from netc.layers.shuffle_channel import ShuffleChannel
from tests.layers.case import Case, Source, made
from tests.layers.contract import raises, resizes, round_trip, traces, values
from tests.layers.harness import run

CASES = [
    Case(made("ShuffleChannel", 3), ((2, 6, 3, 2),), ((3, 9, 2, 5),), source=Source(role="inner")),
    Case(made("ShuffleChannel", 2), ((2, 6),), ((3, 8, 2),), source=Source(role="inner")),
]


def test_order():
    x = np.arange(6.0).reshape(1, 6, 1, 1)
    for stock in (True, False):
        assert run(ShuffleChannel(3), x, stock=stock)[0].reshape(-1).tolist() == [0, 2, 4, 1, 3, 5]
        assert run(ShuffleChannel(2), x, stock=stock)[0].reshape(-1).tolist() == [0, 3, 1, 4, 2, 5]


def test_sizes_traces_and_files():
    resizes(ShuffleChannel(2), (values(2, 4, 3, 5),), (values(3, 8, 2, 2),))
    traces(ShuffleChannel(2), values(2, 4, 3, 5))
    assert round_trip("ShuffleChannel", group=4) == ShuffleChannel(4)
    assert ShuffleChannel().cost((), ((2, 3),)) == Cost()


def test_groups_must_divide_the_channels():
    with raises("E102", "7 channels are not a multiple of `group` 3"):
        ShuffleChannel(3).infer(((2, 7, 3),), 1)
    with raises("E102", "at least 2 axes"):
        ShuffleChannel().infer(((2,),), 1)
    with raises("E103", "group"):
        ShuffleChannel(0).infer(((2, 7),), 1)
    assert repr(ShuffleChannel(3).infer(((2, UNKNOWN, 3),), 1)) == "((2, ?, 3),)"
