import numpy as np
import pytest
import torch

from netc.ir.dims import UNKNOWN
from netc.ir.filler import Filler
from netc.ir.layer import Cost
from netc.layers.recurrent import LSTM, RNN, LSTMUnit
from tests.layers.case import SEQUENCE, Case, made
from tests.layers.contract import raises, resizes, round_trip, traces, v1_name, values
from tests.layers.harness import gradcheck, layer_from, module_of, run, shapes_of

CASES = [
    Case(made("LSTM", 2, True), SEQUENCE[0], SEQUENCE[1], tops=3, integers=(1,), held=(2, 3)),
    Case(made("LSTMUnit"), ((1, 3, 2), (1, 3, 8), (1, 3)), ((1, 2, 3), (1, 2, 12), (1, 2)), tops=2, integers=(2,)),
    Case(made("RNN", 2, True), SEQUENCE[0][:3], SEQUENCE[1][:3], tops=2, integers=(1,), held=(2,)),
]


X, X_STATIC = values(5, 2, 3), values(2, 7, seed=4)
CONT = torch.tensor([[1, 1], [1, 0], [1, 1], [0, 1], [1, 1]], dtype=torch.float64)
H, C = values(1, 2, 4, seed=5), values(1, 2, 4, seed=6)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def lstm(x, cont, h, c, w_x, b, w_h, static=0.0):
    """Outputs and last states of an LSTM, from its formula, a step at a time."""
    outputs = []
    for t in range(len(x)):
        going_on = cont[t][:, None]
        i, f, o, g = np.split(x[t] @ w_x.T + b + static + (going_on * h) @ w_h.T, 4, axis=1)
        c = going_on * sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        outputs.append(h)
    return np.stack(outputs), h, c


def rnn(x, cont, h, w_x, b, w_h, w_o, b_o, static=0.0):
    """Outputs and the last state of an RNN, from its formula, a step at a time."""
    outputs = []
    for t in range(len(x)):
        h = np.tanh(x[t] @ w_x.T + b + static + (cont[t][:, None] * h) @ w_h.T)
        outputs.append(np.tanh(h @ w_o.T + b_o))
    return np.stack(outputs), h


def drawn(layer, *bottoms) -> list[np.ndarray]:
    """Weights that float32 holds exactly."""
    weights = layer.weights(shapes_of(bottoms))
    return [values(*w.shape, seed=20 + i).float().double().numpy() / 2 for i, w in enumerate(weights)]


def test_lstm():
    layer, zero = LSTM(num_output=4), np.zeros((2, 4))
    w = drawn(layer, X, CONT)
    expected, _, _ = lstm(X.numpy(), CONT.numpy(), zero, zero, *w)
    np.testing.assert_allclose(run(layer, X, CONT, weights=w)[0], expected, rtol=1e-12)
    w_x, b, w_static, w_h = w = drawn(layer, X, CONT, X_STATIC)
    expected, _, _ = lstm(X.numpy(), CONT.numpy(), zero, zero, w_x, b, w_h, X_STATIC.numpy() @ w_static.T)
    np.testing.assert_allclose(run(layer, X, CONT, X_STATIC, weights=w)[0], expected, rtol=1e-12)


def test_lstm_with_exposed_states():
    layer = LSTM(num_output=4, expose_hidden=True)
    w = drawn(layer, X, CONT, H, C)
    y, h, c = lstm(X.numpy(), CONT.numpy(), H[0].numpy(), C[0].numpy(), *w)
    for found, expected in zip(run(layer, X, CONT, H, C, tops=3, weights=w), (y, h[None], c[None])):
        np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_rnn():
    layer, zero = RNN(num_output=4), np.zeros((2, 4))
    w = drawn(layer, X, CONT)
    np.testing.assert_allclose(run(layer, X, CONT, weights=w)[0], rnn(X.numpy(), CONT.numpy(), zero, *w)[0], rtol=1e-12)
    layer = RNN(num_output=4, expose_hidden=True)
    w_x, b, w_static, *rest = w = drawn(layer, X, CONT, X_STATIC, H)
    y, h = rnn(X.numpy(), CONT.numpy(), H[0].numpy(), w_x, b, *rest, static=X_STATIC.numpy() @ w_static.T)
    for found, expected in zip(run(layer, X, CONT, X_STATIC, H, tops=2, weights=w), (y, h[None])):
        np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_inputs_of_several_axes():
    layer = LSTM(num_output=4)
    w = drawn(layer, X, CONT)
    flat = run(layer, X, CONT, weights=w)
    np.testing.assert_array_equal(run(layer, X.reshape(5, 2, 3, 1), CONT, weights=w), flat)
    shapes = [w.shape for w in layer.weights(((5, 2, 3, 6), (5, 2), (2, 7, 8)))]
    assert shapes == [(16, 18), (16,), (16, 56), (16, 4)]


@pytest.mark.parametrize("layer", [LSTM(num_output=4), RNN(num_output=4)])
def test_states_are_kept_between_batches(layer):
    module = module_of(layer, ((5, 2, 3), (5, 2))).double().eval()
    whole = module(torch.cat([X, X * 2]), torch.cat([CONT, CONT]))
    fresh = module_of(layer, ((5, 2, 3), (5, 2))).double().eval()
    first, second = fresh(X, CONT), fresh(X * 2, CONT)
    torch.testing.assert_close(torch.cat([first, second]), whole, rtol=1e-12, atol=0)
    assert not torch.equal(fresh(X, CONT), first)
    torch.testing.assert_close(fresh(X, CONT * torch.tensor([0.0, 1, 1, 1, 1]).unsqueeze(1))[:2, 0], first[:2, 0])


def test_states_of_training_and_testing_are_separate():
    module = module_of(LSTM(num_output=4), ((5, 2, 3), (5, 2))).double()
    first = module.train()(X, CONT)
    second = module(X, CONT)
    other = module_of(LSTM(num_output=4), ((5, 2, 3), (5, 2))).double()
    other.train()(X, CONT)
    torch.testing.assert_close(other.eval()(X * 3, CONT), module.eval()(X * 3, CONT), rtol=0, atol=0)
    torch.testing.assert_close(other.train()(X, CONT), second, rtol=0, atol=0)
    assert not torch.equal(first, second)


def test_another_number_of_streams_starts_from_zeros():
    module = module_of(LSTM(num_output=4), ((5, 2, 3), (5, 2))).double()
    module(X, CONT)
    one = module(X[:, :1], CONT[:, :1])
    (expected,) = run(LSTM(num_output=4), X[:, :1], CONT[:, :1])
    np.testing.assert_array_equal(one.detach().numpy(), expected)


def test_no_gradient_to_the_previous_batch_or_through_exposed_states():
    module = module_of(LSTM(num_output=4), ((5, 2, 3), (5, 2))).double()
    earlier = X.clone().requires_grad_()
    module(earlier, CONT)
    module(X, CONT).sum().backward()
    assert earlier.grad is None
    exposed = module_of(LSTM(num_output=4, expose_hidden=True), ((5, 2, 3), (5, 2), (1, 2, 4), (1, 2, 4)), 3).double()
    h = H.clone().requires_grad_()
    y, last_h, last_c = exposed(X, CONT, h, C)
    assert not last_h.requires_grad
    assert not last_c.requires_grad
    y.sum().backward()
    assert h.grad is None


def test_lstm_unit_where_sequences_start_and_continue():
    c, gates, cont = values(1, 3, 4), values(1, 3, 16, seed=8), torch.tensor([[0.0, 1.0, 1.0]], dtype=torch.float64)
    i, f, o, g = np.split(gates.numpy(), 4, axis=2)
    new = cont.numpy()[..., None] * sigmoid(f) * c.numpy() + sigmoid(i) * np.tanh(g)
    found = run(LSTMUnit(), c, gates, cont, tops=2)
    np.testing.assert_allclose(found[0], new, rtol=1e-12)
    np.testing.assert_allclose(found[1], sigmoid(o) * np.tanh(new), rtol=1e-12)
    fresh = c.clone().requires_grad_()
    module_of(LSTMUnit(), ((1, 3, 4), (1, 3, 16), (1, 3)), 2)(fresh, gates, cont)[1].sum().backward()
    np.testing.assert_array_equal(fresh.grad[0, 0], 0)


@pytest.mark.parametrize(
    ("layer", "shapes", "tops", "fixed"),
    [
        (LSTM(num_output=2, expose_hidden=True), ((5, 2, 3), (5, 2), (2, 7), (1, 2, 2), (1, 2, 2)), 3, (1, 3, 4)),
        (RNN(num_output=2, expose_hidden=True), ((5, 2, 3), (5, 2), (2, 7), (1, 2, 2)), 2, (1, 3)),
        (LSTMUnit(), ((1, 3, 4), (1, 3, 16), (1, 3)), 2, (2,)),
    ],
)
def test_gradients(layer, shapes, tops, fixed):
    given = {i: CONT if shapes[i] == (5, 2) else values(*shapes[i]).abs() for i in fixed}
    assert gradcheck(layer, *shapes, tops=tops, fixed=given)


def test_weights_in_the_order_of_caffemodel_files():
    weight, bias = Filler("gaussian", std=0.3), Filler(value=0.7)
    shapes = (5, 2, 3), (5, 2), (2, 7)
    made = LSTM(num_output=4, weight_filler=weight, bias_filler=bias).weights(shapes)
    assert [(w.name, w.shape, w.filler) for w in made] == [
        ("weight_xc", (16, 3), weight),
        ("bias_c", (16,), bias),
        ("weight_xc_static", (16, 7), weight),
        ("weight_hc", (16, 4), weight),
    ]
    made = RNN(num_output=4, weight_filler=weight, bias_filler=bias).weights(shapes)
    assert [(w.name, w.shape, w.filler) for w in made] == [
        ("weight_xh", (4, 3), weight),
        ("bias_h", (4,), bias),
        ("weight_xh_static", (4, 7), weight),
        ("weight_hh", (4, 4), weight),
        ("weight_ho", (4, 4), weight),
        ("bias_o", (4,), bias),
    ]


def test_shapes_and_costs():
    assert repr(RNN(num_output=4).infer(((UNKNOWN, UNKNOWN, 3), (5, UNKNOWN)), 1)) == "((?, ?, 4),)"
    units = LSTMUnit().infer(((1, UNKNOWN, UNKNOWN), (1, 3, 16), (1, UNKNOWN)), 2)
    assert repr(units) == "((1, ?, ?), (1, ?, ?))"
    shapes = (5, 2, 3), (5, 2), (2, 7)
    assert LSTM(num_output=4).cost(shapes, ((5, 2, 4),)) == Cost(10 * 16 * 3 + 2 * 16 * 7 + 10 * 16 * 4, 400)
    assert RNN(num_output=4).cost(shapes, ((5, 2, 4),)) == Cost(10 * 4 * 3 + 2 * 4 * 7 + 10 * 2 * 4 * 4, 400)
    assert LSTMUnit().cost(((1, 3, 4), (1, 3, 16), (1, 3)), ((1, 3, 4), (1, 3, 4))) == Cost(0, 120)


@pytest.mark.parametrize("cls", [LSTM, RNN])
@pytest.mark.parametrize(
    ("shapes", "text"),
    [
        (((5, 2), (5, 2)), "expected sequences .time steps, streams, .... with at least 3 axes, got .5,2."),
        (((5, 2, 3), (5, 2, 1)), "sequence markers .5,2,1. for 5 time steps of 2 streams"),
        (((5, 2, 3), (4, 2)), "sequence markers .4,2. for 5 time steps of 2 streams"),
        (((5, 2, 3), (5, 2), (3, 7)), "a static input .3,7. for 2 streams"),
        (((5, 2, 3), (5, 2), (2,)), "a static input .2. for 2 streams"),
    ],
)
def test_shapes_that_do_not_fit(cls, shapes, text):
    with raises("E102", text):
        cls(num_output=4).infer(shapes, 1)


def test_exposed_states_that_do_not_fit():
    shapes = ((5, 2, 3), (5, 2), (1, 2, 4), (1, 2, 6))
    with raises("E102", "expected an initial state `c` of shape .1,2,4., got .1,2,6."):
        LSTM(num_output=4, expose_hidden=True).infer(shapes, 3)
    with raises("E020", "with `expose_hidden` expects 4 or 5 bottoms, got 2"):
        LSTM(num_output=4, expose_hidden=True).infer(shapes[:2], 3)
    with raises("E020", "without `expose_hidden` expects 2 or 3 bottoms, got 4"):
        RNN(num_output=4).infer(shapes, 1)
    with raises("E020", "with `expose_hidden` expects 2 tops, got 1"):
        RNN(num_output=4, expose_hidden=True).infer(shapes[:3], 1)
    with raises("E020", "without `expose_hidden` expects 1 top, got 3"):
        LSTM(num_output=4).infer(shapes[:2], 3)


@pytest.mark.parametrize(
    ("shapes", "text"),
    [
        (((2, 3, 4), (1, 3, 16), (1, 3)), "expected memory cells .1, streams, units., got .2,3,4."),
        (((1, 3), (1, 3, 16), (1, 3)), "expected memory cells .1, streams, units., got .1,3."),
        (((1, 3, 4), (1, 3, 12), (1, 3)), "expected gates .1,3,16. for memory cells .1,3,4., got .1,3,12."),
        (((1, 3, 4), (1, 3, 16), (1, 3, 1)), "expected sequence markers .1,3. for memory cells .1,3,4., got .1,3,1."),
    ],
)
def test_lstm_unit_shapes_that_do_not_fit(shapes, text):
    with raises("E102", text):
        LSTMUnit().infer(shapes, 2)


def test_files_and_names():
    given = {"num_output": 4, "expose_hidden": True, "debug_info": True, "weight_filler": {"type": "xavier"}}
    made = round_trip("LSTM", **given)
    assert made == LSTM(4, True, True, Filler("xavier"))
    assert round_trip("RNN", num_output=7, bias_filler={"value": 0.5}) == RNN(7, bias_filler=Filler(value=0.5))
    assert round_trip("LSTMUnit") == LSTMUnit()
    assert v1_name("LSTM") is v1_name("RNN") is v1_name("LSTMUnit") is None
    for type_name in ("LSTM", "RNN"):
        with raises("E103", "`num_output` must be positive"):
            layer_from(type_name)
    assert (LSTM.no_gradient, LSTMUnit.no_gradient) == ((1,), (2,))


def test_sizes_and_traces():
    lstm_bottoms, rnn_bottoms = (X, CONT, X_STATIC, H, C), (X, CONT, H)
    other = (X[:3, :1], CONT[:3, :1], X_STATIC[:1], H[:, :1], C[:, :1])
    resizes(LSTM(4, expose_hidden=True), lstm_bottoms, other, tops=3)
    resizes(RNN(4, expose_hidden=True), rnn_bottoms, (other[0], other[1], other[3]), tops=2)
    traces(LSTM(4, expose_hidden=True), *lstm_bottoms, tops=3)
    traces(RNN(4, expose_hidden=True), *rnn_bottoms, tops=2)
    unit = values(1, 3, 4), values(1, 3, 16), values(1, 3).abs()
    resizes(LSTMUnit(), unit, (values(1, 2, 5), values(1, 2, 20), values(1, 2)), tops=2)
    traces(LSTMUnit(), *unit, tops=2)


@pytest.mark.parametrize("layer", [LSTM(num_output=4), RNN(num_output=4)])
def test_tracing_with_kept_states(layer):
    eager = module_of(layer, ((5, 2, 3), (5, 2))).double().eval()
    expected = [eager(X, CONT) for _ in range(3)]
    torch._dynamo.reset()
    module = module_of(layer, ((5, 2, 3), (5, 2))).double().eval()
    exported = torch.export.export(module, (X, CONT)).module()
    for _ in range(2):  # an exported program starts each batch from zeros
        torch.testing.assert_close(exported(X, CONT), expected[0], rtol=0, atol=0)
    compiled = torch.compile(module, fullgraph=True, backend="eager")
    for batch in expected:
        torch.testing.assert_close(compiled(X, CONT), batch, rtol=0, atol=0)
