import numpy as np
import pytest
import torch

from netc.ir.dims import UNKNOWN, known
from netc.ir.layer import Cost, Mode
from netc.layers.indexing import BatchReindex, Filter
from tests.layers.case import Case, made
from tests.layers.contract import raises, resizes, round_trip, traces, v1_name, values
from tests.layers.harness import gradcheck, module_of, run

CASES = [
    Case(made("BatchReindex"), ((4, 3, 2), (5,)), ((3, 5), (2,)), integers=(1,), below=3),
    Case(made("Filter"), ((5, 3), (5, 2, 2), (5,)), ((4, 2), (4, 3), (4,)), tops=2, integers=(2,)),
]


INDICES = torch.tensor([3.0, 0.0, 3.0, 2.0, 0.0], dtype=torch.float64)


class TestBatchReindex:
    def test_forward_and_backward(self):
        x = values(4, 3, 2).numpy()
        (y,) = run(BatchReindex(), x, INDICES)
        np.testing.assert_array_equal(y, x[[3, 0, 3, 2, 0]])
        assert gradcheck(BatchReindex(), (4, 3, 2), (5,), fixed={1: INDICES})

    def test_gradients_of_repeated_items_add_up(self):
        x = torch.zeros(4, 2, dtype=torch.float64, requires_grad=True)
        module_of(BatchReindex(), ((4, 2), (5,)))(x, INDICES).sum().backward()
        assert x.grad[:, 0].tolist() == [2, 0, 1, 2]

    def test_unknown_extents(self):
        assert repr(BatchReindex().infer(((UNKNOWN, 3), (UNKNOWN,)), 1)) == "((?, 3),)"

    def test_sizes_and_traces(self):
        first, second = (values(4, 3, 2), INDICES), (values(6, 5), torch.tensor([5.0, 1.0]))
        resizes(BatchReindex(), first, second)
        traces(BatchReindex(), *first)

    def test_file_and_cost(self):
        assert round_trip("BatchReindex") == BatchReindex()
        assert v1_name("BatchReindex") is None
        assert BatchReindex().cost(((4, 3), (5,)), ((5, 3),)) == Cost()
        assert BatchReindex.no_gradient == (1,)

    def test_invalid_shapes(self):
        with raises("E102", "expected 1 axis of indices .bottom 1., got 2"):
            BatchReindex().infer(((4, 3), (5, 1)), 1)
        with raises("E102", "bottom 0 has no axes"):
            BatchReindex().infer(((), (5,)), 1)

    @pytest.mark.parametrize("index", [-1.0, 4.0])
    def test_index_outside_the_batch(self, index):
        with raises("E301", "batch index outside 0 to 3"):
            run(BatchReindex(), values(4, 3), torch.tensor([0.0, index]))

    def test_a_bad_index_never_reaches_the_gather(self):
        reported = []
        mode = Mode(False, 1, check=lambda bad_values, bad, what: reported.append(bad.tolist()))
        y = BatchReindex().forward((values(4, 3), torch.tensor([1.0, 9.0])), (), mode)
        assert reported == [[False, True]]
        assert y.shape == (2, 3)


SELECTOR = torch.tensor([0.0, 1.0, -2.0, 0.0, 0.5], dtype=torch.float64)


class TestFilter:
    @pytest.mark.parametrize("shape", [(5,), (5, 1), (5, 1, 1)])
    def test_forward(self, shape):
        a, b = values(5, 3).numpy(), values(5, 2, 2, seed=4).numpy()
        first, second = run(Filter(), a, b, SELECTOR.reshape(shape), tops=2)
        np.testing.assert_array_equal(first, a[[1, 2, 4]])
        np.testing.assert_array_equal(second, b[[1, 2, 4]])

    def test_backward(self):
        assert gradcheck(Filter(), (5, 3), (5, 2, 2), (5, 1), tops=2, fixed={2: SELECTOR.reshape(5, 1)})
        x = torch.zeros(5, 2, dtype=torch.float64, requires_grad=True)
        module_of(Filter(), ((5, 2), (5,)))(x, SELECTOR).sum().backward()
        assert x.grad[:, 0].tolist() == [0, 1, 1, 0, 1]

    def test_nothing_kept(self):
        (y,) = run(Filter(), values(3, 2), torch.zeros(3))
        assert y.shape == (0, 2)

    def test_other_sizes(self):
        resizes(Filter(), (values(5, 3), SELECTOR), (values(2, 4, 3), torch.tensor([1.0, 0.0])))

    def test_shapes(self):
        ((first, rest),) = Filter().infer(((5, 3), (5,)), 1)
        assert not known(first)
        assert rest == 3
        assert repr(Filter().infer(((UNKNOWN, 3), (5, UNKNOWN)), 1)) == "((?, 3),)"

    def test_file_and_cost(self):
        assert round_trip("Filter") == Filter()
        assert v1_name("Filter") is None
        assert Filter().cost(((5, 3), (5, 1)), ((4, 3),)) == Cost(0, 5)
        assert Filter.no_gradient == (-1,)

    @pytest.mark.parametrize(
        ("code", "bottoms", "tops", "text"),
        [
            ("E101", ((5, 3), (5, 2), (5,)), 1, "expected 2 tops for 3 bottoms, got 1"),
            ("E102", ((5, 3), (5, 2)), 1, r"the selector \[5,2\] must have extents of 1 after the first axis"),
            ("E102", ((5, 3), ()), 1, r"the selector \[\] must have extents of 1"),
            ("E102", ((5, 3), (4, 2), (5,)), 2, r"bottom 1 is \[4,2\], but the selector has 5 items"),
        ],
    )
    def test_errors(self, code, bottoms, tops, text):
        with raises(code, text):
            Filter().infer(bottoms, tops)
