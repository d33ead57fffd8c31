import numpy as np
import pytest

from netc.ir.dims import UNKNOWN
from netc.ir.layer import Cost
from netc.layers.yolo.reorg import Reorg, ReorgOfYolo9000, ReorgYolo
from tests.layers.case import Case, Source, made
from tests.layers.contract import raises, resizes, round_trip, traces, values
from tests.layers.harness import layer_from, run

LOST = Source(places_lost=True)
CASES = [
    Case(made("Reorg", 2), ((2, 4, 4, 2),), ((1, 8, 6, 4),), source=LOST),
    Case(made("Reorg", 2, True), ((2, 8, 2, 3),), ((1, 12, 3, 2),), source=LOST),
    Case(ReorgOfYolo9000(), ((2, 4, 4, 2),), ((1, 8, 6, 4),), source=LOST),
    Case(ReorgYolo(2), ((2, 4, 4, 2),), ((1, 8, 6, 4),), source=LOST),
]


def reorganized(x, s, reverse):
    """Darknet's loop over flat indices, of one image after the other."""
    n, c, h, w = x.shape
    outputs = c // (s * s)
    found = np.empty(x.size)
    flat = x.ravel()
    for b, k, j, i in np.ndindex(n, c, h, w):
        inside = i + w * (j + h * (k + c * b))
        part, offset = k % outputs, k // outputs
        column, row = i * s + offset % s, j * s + offset // s
        outside = column + w * s * (row + h * s * (part + outputs * b))
        if reverse:
            found[outside] = flat[inside]
        else:
            found[inside] = flat[outside]
    return found.reshape((n, outputs, h * s, w * s) if reverse else (n, c * s * s, h // s, w // s))


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize(("shape", "stride"), [((2, 8, 4, 6), 2), ((1, 18, 3, 6), 3), ((2, 3, 2, 5), 1)])
def test_order(shape, stride, reverse):
    x = values(*shape).numpy()
    np.testing.assert_array_equal(run(Reorg(stride, reverse), x)[0], reorganized(x, stride, reverse))


def test_openvinos():
    x = values(2, 8, 4, 6).numpy()
    np.testing.assert_array_equal(run(ReorgYolo(2), x)[0], reorganized(x, 2, reverse=False))
    assert round_trip("ReorgYolo", stride=2) == ReorgYolo(2)
    assert ReorgYolo(2).cost((), ()) == Cost()
    with raises("E102", "6 channels are not a multiple of 4"):
        ReorgYolo(2).infer(((1, 6, 4, 4),), 1)


def test_it_is_undone_by_the_reverse():
    x = values(2, 8, 4, 6).numpy()
    (y,) = run(Reorg(2), x)
    np.testing.assert_array_equal(run(Reorg(2, True), y.reshape(2, 8, 4, 6))[0].reshape(x.shape), x)


def test_sizes_traces_and_cost():
    resizes(Reorg(2), (values(2, 4, 4, 6),), (values(1, 8, 6, 2),))
    traces(Reorg(2), values(2, 4, 4, 6))
    assert Reorg(2).cost((), ()) == Cost()
    assert repr(Reorg(2).infer(((2, 4, UNKNOWN, 6),), 1)) == "((2, 16, ?, 3),)"


def test_the_default_stride_depends_on_the_fork(graph_from):
    assert layer_from("Reorg", stride=3) == Reorg(3)
    text = 'layer { name: "r" type: "Reorg" bottom: "x" top: "y" %s }'
    inputs = 'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 dim: 4 dim: 4 dim: 4 } } }\n'
    for parameters, cls in (("", ReorgOfYolo9000), ("reorg_param { stride: 2 }", Reorg)):
        graph = graph_from(inputs + text % parameters)
        assert type(graph.nodes[-1].layer) is cls
        assert graph.shape("y") == (1, 16, 2, 2)


@pytest.mark.parametrize(
    ("code", "text", "layer", "shape"),
    [
        ("E103", "stride", Reorg(0), (1, 4, 4, 4)),
        ("E102", r"expected a bottom with 4 axes, got \[4,4,4\]", Reorg(2), (4, 4, 4)),
        ("E102", "6 channels are not a multiple of 4", Reorg(2), (1, 6, 4, 4)),
        ("E102", r"extents of \[4,5\] are not multiples of `stride` 2", Reorg(2), (1, 4, 4, 5)),
    ],
)
def test_mismatches(code, text, layer, shape):
    with raises(code, text):
        layer.infer((shape,), 1)
