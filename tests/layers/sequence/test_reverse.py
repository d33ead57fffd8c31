import numpy as np
import torch

from netc.ir.dims import UNKNOWN
from netc.layers.sequence.reverse import Reverse, ReverseTime
from tests.layers.case import Case, Source, made
from tests.layers.contract import gradient, raises, resizes, round_trip, traces, values
from tests.layers.harness import module_of, run

LENGTHS = ((5, 6, 3), (6,)), ((4, 5, 2, 2), (5,))
TIMES = Source(time_first=True, places_lost=True)
CASES = [
    Case(made("Reverse", 1), ((2, 3, 5),), ((4, 3, 2, 3),), source=Source()),
    Case(made("Reverse", 2), ((2, 3, 5),), ((4, 3, 2, 3),), source=Source(places_lost=True)),
    Case(made("ReverseTime", True), *LENGTHS, integers=(1,), below=5, source=TIMES),
    Case(made("ReverseTime", False), *LENGTHS, integers=(1,), below=5, source=TIMES),
]


def test_reverse():
    x = values(2, 3, 5, 4).numpy()
    for axis in range(4):
        np.testing.assert_array_equal(run(Reverse(axis), x)[0], np.flip(x, axis))
    weights = values(2, 3, 5, 4, seed=4).numpy()
    np.testing.assert_array_equal(gradient(Reverse(1), x, weights), weights[:, ::-1])
    traces(Reverse(1), values(2, 3, 5))
    resizes(Reverse(1), (values(2, 3, 5),), (values(4, 2),))
    assert round_trip("Reverse", axis=2) == Reverse(2)


def in_time(x, lengths, copies):
    """Step by step, as the definition says."""
    top = np.zeros_like(x)
    for n, length in enumerate(lengths):
        for t in range(len(x)):
            if t < length:
                top[length - 1 - t, n] = x[t, n]
            elif copies:
                top[t, n] = x[t, n]
    return top


def test_reverse_time():
    x, lengths = values(5, 4, 3).numpy(), np.array([5, 0, 3, 1])
    for copies in (True, False):
        layer = ReverseTime(copies)
        np.testing.assert_array_equal(run(layer, x, lengths)[0], in_time(x, lengths, copies))
        inputs = torch.from_numpy(x).requires_grad_()
        weights = values(5, 4, 3, seed=4)
        module_of(layer, ((5, 4, 3), (4,)))(inputs, torch.from_numpy(lengths)).backward(weights)
        np.testing.assert_array_equal(inputs.grad, in_time(weights.numpy(), lengths, copies))
    traces(ReverseTime(), torch.from_numpy(x), torch.from_numpy(lengths))
    assert round_trip("ReverseTime", copy_remaining=True) == ReverseTime(True)


def test_mismatches():
    with raises("E103", "`axis` is -1: it must be at least 0"):
        Reverse(-1)
    with raises("E102", "axis 2 of a bottom with 2 axes"):
        Reverse(2).infer(((2, 3),), 1)
    with raises("E102", r"lengths \[3\] for 2 streams"):
        ReverseTime().infer(((5, 2, 3), (3,)), 1)
    with raises("E102", "with at least 2 axes"):
        ReverseTime().infer(((5,), (3,)), 1)
    with raises("E301", "length outside 0 to 5: 6"):
        run(ReverseTime(), values(5, 2), np.array([1, 6]))
    assert repr(ReverseTime().infer(((5, UNKNOWN, 3), (2,)), 1)) == "((5, ?, 3),)"
