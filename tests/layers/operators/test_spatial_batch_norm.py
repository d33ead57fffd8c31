import numpy as np
import pytest

import netc
from netc.diagnostics import Source
from tests.layers.operators.nets import OneOperator, close, numbers, refused, run, text

X, DY = numbers(4, 3, 2, 5), numbers(4, 3, 2, 5, seed=9)
FACTOR, ADDEND, MEAN = (numbers(3, seed=seed) for seed in (2, 3, 4))
VARIANCE = np.abs(numbers(3, seed=5)) + 0.5
INPUTS = (FACTOR, ADDEND, MEAN, VARIANCE)
OUTPUTS = ("Y", "D", "E", "M", "R")


def nhwc(x):
    return np.ascontiguousarray(np.moveaxis(x, 1, -1))


def planes(values, axes):
    return values.astype(np.float64).reshape(-1, *(1,) * (axes - 2))


@pytest.mark.parametrize("order", ["NCHW", "NHWC"])
@pytest.mark.parametrize("shape", [(4, 3), (4, 3, 5), (4, 3, 2, 5), (2, 3, 2, 2, 3)], ids=str)
def test_given_moments(order, shape):
    x, dy = numbers(*shape), numbers(*shape, seed=9)
    root = planes(1 / np.sqrt(VARIANCE + 1e-5), len(shape))
    hat = (x - planes(MEAN, len(shape))) * root
    y = hat * planes(FACTOR, len(shape)) + planes(ADDEND, len(shape))
    axes = (0, *range(2, len(shape)))
    arrange = nhwc if order == "NHWC" else np.asarray
    operator = OneOperator("SpatialBN", arrange(x), *INPUTS, is_test=1, order=order)
    close(operator.run()[0], arrange(y), 1e-4)
    dx, dfactor, daddend = operator.gradients(arrange(dy), wrt=[0, 1, 2])
    close(dx, arrange(dy * root * planes(FACTOR, len(shape))), 1e-4)
    close(dfactor, (dy * hat).sum(axes), 1e-4, 1e-5)
    close(daddend, dy.sum(axes), 1e-4, 1e-5)
    close(run("SpatialBN", arrange(x), *INPUTS, outputs=("A",), is_test=1, order=order), arrange(y), 1e-4)


@pytest.mark.parametrize("order", ["NCHW", "NHWC"])
@pytest.mark.parametrize("train", [False, True])
def test_moments_of_the_batch(order, train):
    arrange = nhwc if order == "NHWC" else np.asarray
    operator = OneOperator(
        "SpatialBN", arrange(X), *INPUTS, outputs=OUTPUTS, is_test=0, order=order, momentum=0.75, epsilon=0.01
    )
    operator.net.train(train)
    wide, g = X.astype(np.float64), DY.astype(np.float64)
    axes = (0, 2, 3)
    mean, variance = wide.mean(axes), wide.var(axes)
    root = planes(1 / np.sqrt(variance + 0.01), 4)
    hat = (wide - planes(mean, 4)) * root
    expected = (
        arrange(hat * planes(FACTOR, 4) + planes(ADDEND, 4)),
        0.75 * MEAN + 0.25 * mean,
        0.75 * VARIANCE + 0.25 * variance,
        mean,
        root.reshape(3),
    )
    for found, one in zip(operator.run(), expected):
        close(found, one, 1e-4)
    dx, dfactor, daddend = operator.gradients(arrange(DY), wrt=[0, 1, 2])
    dhat = g * planes(FACTOR, 4)
    middle = dhat.mean(axes, keepdims=True) + hat * (dhat * hat).mean(axes, keepdims=True)
    close(dx, arrange(root * (dhat - middle)), 1e-4, 1e-5)
    close(dfactor, (g * hat).sum(axes), 1e-4, 1e-5)
    close(daddend, g.sum(axes), 1e-4, 1e-5)


def test_the_default_momentum():
    operator = OneOperator("SpatialBN", X, *INPUTS, outputs=OUTPUTS, is_test=0)
    close(operator.run()[1], 0.9 * MEAN + 0.1 * X.mean((0, 2, 3)))


def test_one_element_and_none():
    one = OneOperator("SpatialBN", X[:1, :, :1, :1], *INPUTS, outputs=OUTPUTS, is_test=0)
    y, mean, variance, _, root = one.run()
    close(y.reshape(3), ADDEND)
    close(mean, 0.9 * MEAN + 0.1 * X[0, :, 0, 0])
    close(variance, 0.9 * VARIANCE)
    close(root, np.full(3, 1e-5**-0.5), 1e-4)
    y, mean, variance, *saved = OneOperator("SpatialBN", X[:0], *INPUTS, outputs=OUTPUTS, is_test=0).run()
    assert y.shape == (0, 3, 2, 5)
    close(mean, MEAN)
    close(variance, VARIANCE)
    close(np.stack(saved), np.zeros((2, 3)))


def test_moments_of_several_batches():
    """Two batches with their common sums are one batch, in both directions."""
    ops = [
        text("ChannelStats", ["X0"], ["S0", "Q0"]),
        text("ChannelStats", ["X1"], ["S1", "Q1"]),
        text("Sum", ["S0", "S1"], ["S"]),
        text("Sum", ["Q0", "Q1"], ["Q"]),
    ]
    for i in (0, 1):
        names = [f"X{i}", "F", "A", f"D{i}", f"E{i}", "S", "Q"]
        outputs = [f"Y{i}", f"D{i}", f"E{i}", f"M{i}", f"R{i}"]
        ops.append(text("SpatialBN", names, outputs, is_test=0, num_batches=2))
    net = netc.load(Source("net.pbtxt", "\n".join(op.split(" external_input")[0] for op in ops)))
    halves = {"X0": X[:2], "X1": X[2:], "F": FACTOR, "A": ADDEND}
    running = {f"{name}{i}": value for i in (0, 1) for name, value in (("D", MEAN), ("E", VARIANCE))}
    found = net.run({**halves, **running}, ["Y0", "Y1", "D0", "E1", "R0"])
    whole = OneOperator("SpatialBN", X, *INPUTS, outputs=OUTPUTS, is_test=0)
    y, mean, variance, _, root = whole.run()
    close(np.concatenate([found["Y0"], found["Y1"]]), y, 1e-4, 1e-5)
    close(found["D0"], mean)
    close(found["E1"], variance)
    close(found["R0"], root, 1e-4)
    upstream = {"Y0": DY[:2], "Y1": DY[2:]}
    gradients = net.gradients({**halves, **running}, upstream, ["X0", "X1", "F", "A"])
    dx, dfactor, daddend = whole.gradients(DY, wrt=[0, 1, 2])
    close(np.concatenate([gradients["X0"], gradients["X1"]]), dx, 1e-4, 1e-5)
    close(gradients["F"], dfactor, 1e-4, 1e-5)
    close(gradients["A"], daddend, 1e-4, 1e-5)


REFUSED = [
    ({}, ("Y",), INPUTS, "E101", "requires the argument `is_test`"),
    ({"is_test": 0}, ("Y",), INPUTS, "E020", "expects 5 outputs, got 1"),
    ({"is_test": 1}, OUTPUTS, INPUTS, "E020", "expects 1 output, got 5"),
    (
        {"is_test": 0},
        ("Y", "D2", "E", "M", "R"),
        INPUTS,
        "E023",
        "output 1 of `SpatialBN` must have the blob of input 3",
    ),
    (
        {"is_test": 0},
        ("Y", "D", "E2", "M", "R"),
        INPUTS,
        "E023",
        "output 2 of `SpatialBN` must have the blob of input 4",
    ),
    ({"is_test": 1, "epsilon": 0.0}, ("Y",), INPUTS, "E103", "`epsilon` is 0"),
    ({"is_test": 1, "momentum": 1.5}, ("Y",), INPUTS, "E103", "`momentum` is 1.5"),
    ({"is_test": 1, "order": "CHW"}, ("Y",), INPUTS, "E103", "`order` is `CHW`"),
    ({"is_test": 1}, ("Y",), (*INPUTS, MEAN), "E102", "expects 5 or 7 inputs, got 6"),
    ({"is_test": 0, "num_batches": 2}, OUTPUTS, INPUTS, "E020", "expects 7 inputs, got 5"),
    ({"is_test": 1}, ("Y",), (FACTOR[:2], *INPUTS[1:]), "E102", "input 1 of `SpatialBN` has shape [2]"),
]


@pytest.mark.parametrize(("arguments", "outputs", "inputs", "code", "words"), REFUSED)
def test_refused(arguments, outputs, inputs, code, words):
    with refused(code, words):
        run("SpatialBN", X, *inputs, outputs=outputs, **arguments)
