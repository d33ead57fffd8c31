import numpy as np
import pytest
import torch

from netc.ir.dims import UNKNOWN
from netc.ir.filler import Filler
from netc.layers.sequence.lstm import ContinuedLstm, Lstm
from netc.runtime.cpu_code import follow_cpu_code
from tests.layers.case import Case, Source, made
from tests.layers.contract import raises, resizes, round_trip, traces, values
from tests.layers.harness import layer_of, module_of, run, shapes_of

REQUIRED = {
    "Lstm": "num_output: 2",
}
READS_TOP = Source(reads_top="values")
CASES = [
    Case(made("Lstm", 2), ((4, 2, 3),), ((3, 5, 3),), source=READS_TOP),
    Case(made("Lstm", 2, 50.0), ((4, 2, 3),), ((3, 5, 3),), source=READS_TOP),
]


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def steps(x, weights, markers=None, states=None, first_only=False):
    """The definition, step by step and stream by stream; returns the outputs and the last states."""
    weight_x, weight_h, bias = weights
    units, count = weight_h.shape[1], x.shape[1]
    h, c = states or (np.zeros((count, units)), np.zeros((count, units)))
    outputs = np.zeros((*x.shape[:2], units))
    for t in range(len(x)):
        before, c_before = h, c
        h, c = np.zeros_like(h), np.zeros_like(c)
        for n in range(count):
            going_on = t > 0 if markers is None else markers[t + n] != 0
            gates = weight_x @ x[t, n].ravel() + bias
            if going_on:
                gates = gates + weight_h @ before[0 if first_only else n]
            i, f, o, g = gates.reshape(4, units)
            c[n] = (sigmoid(f) * c_before[n] if going_on else 0) + sigmoid(i) * np.tanh(g)
            h[n] = sigmoid(o) * np.tanh(c[n])
        outputs[t] = h
    return outputs, (h, c)


def made_for(layer, *bottoms):
    module = module_of(layer, shapes_of(bottoms)).double()
    blobs = [values(*p.shape, seed=i) / 2 for i, p in enumerate(module.parameters())]
    for parameter, blob in zip(module.parameters(), blobs):
        parameter.data.copy_(blob)
    return module, [blob.numpy() for blob in blobs]


@pytest.mark.parametrize("threshold", [0.0, 100.0])
@pytest.mark.parametrize("first_only", [False, True])
def test_forward(threshold, first_only):
    x = values(5, 3, 2, 2)
    module, blobs = made_for(Lstm(4, threshold), x)
    if first_only:
        follow_cpu_code(module)
    expected, _ = steps(x.numpy(), blobs, first_only=first_only)
    np.testing.assert_allclose(module(x).detach(), expected, rtol=1e-12, atol=1e-14)


def test_markers_and_states():
    x, markers = values(4, 2, 3), torch.tensor([1.0, 0, 1, 1, 0, 1, 1, 1])
    module, blobs = made_for(ContinuedLstm(4), x, markers)
    expected, states = steps(x.numpy(), blobs, markers.numpy())
    np.testing.assert_allclose(module(x, markers).detach(), expected, rtol=1e-12, atol=1e-14)
    more = values(4, 2, 3, seed=9)
    expected, _ = steps(more.numpy(), blobs, markers.numpy(), states)
    np.testing.assert_allclose(module(more, markers).detach(), expected, rtol=1e-12, atol=1e-14)
    assert [entry.shape for entry in module.layer.state_entries(shapes_of((x, markers)))] == [(2, 4)] * 2
    other = values(4, 3, 3)
    expected, _ = steps(other.numpy(), blobs, np.ones(12))  # another number of streams starts from zeros
    np.testing.assert_allclose(module(other, torch.ones(12)).detach(), expected, rtol=1e-12, atol=1e-14)


def test_gradient_with_markers():
    """All but that of `weight_h` is the derivative; that one counts states across the start of a sequence too."""
    x, markers = values(5, 1, 3).requires_grad_(), torch.tensor([0.0, 1, 0, 1, 1])
    module, blobs = made_for(ContinuedLstm(2), x, markers)
    weights = values(5, 1, 2, seed=5)
    module(x, markers).backward(weights)

    def loss(given):
        return (steps(given[0], given[1:], markers.numpy())[0] * weights.numpy()).sum()

    def derivative(index, place, step=1e-6):
        at = [x.detach().numpy(), *blobs]
        moved = [[a.copy() for a in at] for _ in range(2)]
        moved[0][index][place] += step
        moved[1][index][place] -= step
        return (loss(moved[0]) - loss(moved[1])) / (2 * step)

    for index, found in ((0, x.grad), (1, module.weight_x.grad), (3, module.bias.grad)):
        for place in np.ndindex(found.shape):
            assert derivative(index, place) == pytest.approx(found[place].item(), abs=1e-7)
    derivatives = [[derivative(2, (i, j)) for j in range(2)] for i in range(8)]
    assert not np.allclose(module.weight_h.grad, derivatives)  # tests/reference/forks/ctpn__lstm_cont has its values


def test_clipping():
    x = values(1, 1, 3)
    module, _ = made_for(Lstm(2, 0.01), x)
    module(x).sum().backward()
    assert module.bias.grad.abs().max() == pytest.approx(0.01)
    np.testing.assert_allclose(module.weight_x.grad, np.outer(module.bias.grad, x.flatten()), rtol=1e-12)


def test_sizes_traces_and_files():
    resizes(Lstm(2), (values(4, 2, 3),), (values(3, 5, 3),))
    traces(Lstm(2), values(4, 2, 3))
    filler = Filler("xavier")
    assert round_trip("Lstm", num_output=3, clipping_threshold=5.0, weight_filler={"type": "xavier"}, batch_size=2) == (
        Lstm(3, 5.0, filler, batch_size=2)
    )
    continued = layer_of("Lstm", {"lstm_param": {"num_output": 3}, "bottom": ["x", "markers"]})
    assert continued == ContinuedLstm(3)
    assert continued.type == "Lstm"
    cost = Lstm(4).cost(((5, 2, 3),), ((5, 2, 4),))
    assert (cost.macs, cost.operations) == (10 * (16 * 3 + 16 * 4), 400)


def test_shapes():
    assert repr(Lstm(4).infer(((UNKNOWN, 2, 3),), 1)) == "((?, 2, 4),)"
    with raises("E103", "`num_output` must be positive"):
        layer_of("Lstm", {"lstm_param": {"num_output": 0}})
    with raises("E102", "with at least 3 axes"):
        Lstm(4).infer(((5, 2),), 1)
    with raises("E102", r"one for each of 5 time steps of 2 streams, got \[5,2\]"):
        Lstm(4).infer(((5, 2, 3), (5, 2)), 1)
    assert run(Lstm(3), np.zeros((4, 2, 3), np.float32))[0].shape == (4, 2, 3)
