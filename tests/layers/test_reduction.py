import numpy as np
import pytest
import torch

from netc.ir.dims import UNKNOWN
from netc.ir.layer import Cost
from netc.layers.reduction import ArgMax, Reduction
from tests.layers.case import alike
from tests.layers.contract import gradient, raises, resizes, round_trip, traces, v1_name, values
from tests.layers.harness import gradcheck, layer_from, module_of, run

CASES = [
    alike("Reduction", "SUMSQ", 1),
    alike("ArgMax", axis=1),
]


OPERATIONS = {
    "SUM": lambda x, axes: x.sum(axes),
    "ASUM": lambda x, axes: np.abs(x).sum(axes),
    "SUMSQ": lambda x, axes: (x**2).sum(axes),
    "MEAN": lambda x, axes: x.mean(axes),
}


class TestReduction:
    @pytest.mark.parametrize("coeff", [1.0, -0.5])
    @pytest.mark.parametrize("axis", [0, 2, -1])
    @pytest.mark.parametrize("operation", OPERATIONS)
    def test_forward_and_backward(self, operation, axis, coeff):
        layer = Reduction(operation, axis, coeff)
        x = values(2, 3, 4, 5).numpy()
        (y,) = run(layer, x)
        expected = OPERATIONS[operation](x, tuple(range(axis % 4, 4)))
        np.testing.assert_allclose(y, coeff * expected, rtol=1e-12)
        assert gradcheck(layer, (2, 3, 2, 2))

    def test_gradient_of_an_absolute_value_at_zero(self):
        np.testing.assert_array_equal(gradient(Reduction("ASUM"), [-2.0, 0.0, -0.0, 3.0]), [-1, 0, 0, 1])

    def test_unknown_extents(self):
        assert repr(Reduction("MEAN", 1).infer(((UNKNOWN, UNKNOWN),), 1)) == "((?,),)"

    def test_sizes_and_traces(self):
        resizes(Reduction("MEAN", 1, 3.0), (values(2, 3, 4),), (values(5, 6, 7),))
        traces(Reduction("SUMSQ", 2, 3.0), values(2, 3, 4, 5))
        traces(Reduction("ASUM"), values(2, 3))

    def test_file_and_cost(self):
        assert round_trip("Reduction") == Reduction()
        assert round_trip("Reduction", operation="MEAN", axis=-1, coeff=0.5) == Reduction("MEAN", -1, 0.5)
        assert v1_name("Reduction") is None
        assert Reduction().cost(((2, 3),), ((),)) == Cost(0, 6)
        assert Reduction("ASUM", 1, 2.0).cost(((2, 3),), ((2,),)) == Cost(0, 14)

    def test_errors(self):
        with raises("E103", "unknown operation `MAX`"):
            Reduction("MAX")
        with raises("E102", "axis 2 of a bottom with 2 axes"):
            Reduction(axis=2).infer(((2, 3),), 1)
        with raises("E102", "axis 0 of a bottom with 0 axes"):
            Reduction().infer(((),), 1)


TIED = np.array([[1.0, 4.0, 2.0, 4.0, 0.0], [3.0, 3.0, 3.0, 3.0, 3.0]])


def greatest(x, axis, k):
    """Places and values of the k greatest; of equal ones the last first."""
    places = np.flip(np.argsort(x, axis, kind="stable"), axis)
    places = np.take(places, range(k), axis)
    return places, np.take_along_axis(x, places, axis)


class TestArgMax:
    @pytest.mark.parametrize("k", [1, 3])
    @pytest.mark.parametrize("shape", [(4, 5), (3, 2, 4), (2, 3, 2, 4), (2, 1, 3, 2, 2)])
    def test_over_items(self, shape, k):
        x = values(*shape).numpy().astype(np.float32)
        places, found = greatest(x.reshape(shape[0], -1), 1, k)
        ones = (1,) * (len(shape) - 3)
        (y,) = run(ArgMax(top_k=k), x)
        np.testing.assert_array_equal(y, places.reshape(shape[0], 1, k, *ones))
        assert y.dtype == np.float32
        (y,) = run(ArgMax(top_k=k, out_max_val=True), x)
        np.testing.assert_array_equal(y, np.stack([places, found], 1).reshape(shape[0], 2, k, *ones))

    @pytest.mark.parametrize("k", [1, 2])
    @pytest.mark.parametrize("axis", [0, 1, -1])
    def test_over_an_axis(self, axis, k):
        x = values(2, 4, 3).numpy()
        places, found = greatest(x, axis, k)
        np.testing.assert_array_equal(run(ArgMax(axis=axis, top_k=k), x)[0], places)
        np.testing.assert_array_equal(run(ArgMax(axis=axis, top_k=k, out_max_val=True), x)[0], found)

    def test_the_last_of_equal_elements_is_first(self):
        np.testing.assert_array_equal(run(ArgMax(), TIED)[0].squeeze(), [3, 4])
        np.testing.assert_array_equal(run(ArgMax(top_k=3), TIED)[0].squeeze(), [[3, 1, 2], [4, 3, 2]])
        np.testing.assert_array_equal(run(ArgMax(axis=1, top_k=2), TIED)[0], [[3, 1], [4, 3]])

    def test_one_number_per_item(self):
        np.testing.assert_array_equal(run(ArgMax(), values(3).numpy())[0], np.zeros((3, 1, 1)))

    def test_positions_beyond_half_precision(self):
        x = torch.zeros(1, 3001, dtype=torch.bfloat16)
        x[0, 2999] = 1
        assert module_of(ArgMax(), ((1, 3001),))(x).item() == 2999

    def test_no_gradient(self):
        assert ArgMax.no_gradient == (0,)
        x = values(2, 3).requires_grad_()
        assert not module_of(ArgMax(out_max_val=True, axis=1), ((2, 3),))(x).requires_grad

    def test_unknown_extents(self):
        assert repr(ArgMax(top_k=2).infer(((UNKNOWN, UNKNOWN),), 1)) == "((?, 1, 2),)"
        assert repr(ArgMax(axis=1).infer(((UNKNOWN, 3, UNKNOWN),), 1)) == "((?, 1, ?),)"

    def test_sizes_and_traces(self):
        for layer in (ArgMax(top_k=2, out_max_val=True), ArgMax(axis=-1), ArgMax(axis=1, top_k=2)):
            resizes(layer, (values(2, 3, 4),), (values(5, 6, 7),))
            traces(layer, values(2, 3, 4))

    def test_file_and_cost(self):
        assert round_trip("ArgMax") == ArgMax()
        assert round_trip("ArgMax", axis=0, top_k=3, out_max_val=True) == ArgMax(True, 3, 0)
        assert v1_name("ArgMax") == "ARGMAX"
        assert ArgMax(top_k=2).cost(((2, 3),), ((2, 1, 2),)) == Cost(0, 12)

    def test_errors(self):
        with raises("E103", "`top_k` is 0: it must be at least 1"):
            layer_from("ArgMax", top_k=0)
        with raises("E102", "axis 2 of a bottom with 2 axes"):
            ArgMax(axis=2).infer(((2, 3),), 1)
        with raises("E102", "axis 0 of a bottom with 0 axes"):
            ArgMax().infer(((),), 1)
        with raises("E102", "`top_k` 7 exceeds 6 elements"):
            ArgMax(top_k=7).infer(((2, 3, 2),), 1)
        with raises("E102", "`top_k` 4 exceeds 3 elements"):
            ArgMax(top_k=4, axis=1).infer(((2, 3, 2),), 1)
        with raises("E102", "`top_k` 4 exceeds 3 elements"):
            run(ArgMax(top_k=4), torch.ones(2, 3))
