import numpy as np
import pytest
import torch

from netc.ir.dims import UNKNOWN
from netc.ir.layer import Cost
from netc.layers.concat import Concat, Slice, Split
from tests.layers.case import Case, alike, made
from tests.layers.contract import raises, resizes, round_trip, traces, v1_name, values
from tests.layers.harness import gradcheck, layer_from, module_of, run

CASES = [
    alike("Split"),
    Case(made("Concat"), ((2, 3, 4), (2, 1, 4)), ((3, 2, 5), (3, 4, 5))),
    Case(made("Slice"), ((2, 4, 3),), ((3, 6),), tops=2),
]


class TestConcat:
    @pytest.mark.parametrize(("axis", "shapes"), [(1, [(2, 3, 5), (2, 4, 5), (2, 1, 5)]), (-1, [(2, 3, 5), (2, 3, 7)])])
    def test_forward_and_backward(self, axis, shapes):
        bottoms = [values(*shape, seed=i).numpy() for i, shape in enumerate(shapes)]
        (y,) = run(Concat(axis=axis), *bottoms)
        np.testing.assert_array_equal(y, np.concatenate(bottoms, axis))
        assert gradcheck(Concat(axis=axis), *shapes)

    def test_one_bottom(self):
        x = values(2, 3).numpy()
        np.testing.assert_array_equal(run(Concat(), x)[0], x)

    def test_unknown_extents(self):
        known, unknown = (2, 3, UNKNOWN), (UNKNOWN, 4, 5)
        assert repr(Concat().infer((known, unknown), 1)) == "((2, 7, 5),)"
        assert repr(Concat(axis=0).infer(((2, 3), (UNKNOWN, 3)), 1)) == "((?, 3),)"

    def test_sizes_and_traces(self):
        first, second = (values(2, 3, 5), values(2, 4, 5)), (values(3, 2, 4), values(3, 6, 4))
        resizes(Concat(), first, second)
        traces(Concat(), *first)

    def test_file_and_cost(self):
        assert round_trip("Concat") == Concat(1)
        assert round_trip("Concat", axis=-2) == Concat(-2)
        assert round_trip("Concat", concat_dim=0) == Concat(0)
        assert v1_name("Concat") == "CONCAT"
        assert Concat().cost(((2, 3), (2, 4)), ((2, 7),)) == Cost()
        assert not Concat().in_place

    def test_errors(self):
        with raises("E101", "`axis` and `concat_dim` exclude each other"):
            layer_from("Concat", axis=1, concat_dim=1)
        with raises("E102", "axis 3 of a bottom with 3 axes"):
            Concat(3).infer(((2, 3, 4),), 1)
        with raises("E102", "bottom 0 has 3 axes, bottom 1 has 2"):
            Concat().infer(((2, 3, 4), (2, 3)), 1)
        with raises("E102", "bottoms 0 and 2 differ at axis 2: 4 and 5"):
            Concat().infer(((2, 3, UNKNOWN), (2, 3, 4), (2, 3, 5)), 1)


class TestSlice:
    def test_at_points(self):
        x = values(2, 7, 3).numpy()
        tops = run(Slice(slice_point=(1, 5)), x, tops=3)
        for top, (start, end) in zip(tops, [(0, 1), (1, 5), (5, 7)]):
            np.testing.assert_array_equal(top, x[:, start:end])
        assert gradcheck(Slice(slice_point=(1, 5)), (2, 7, 3), tops=3)

    def test_in_equal_parts(self):
        x = values(2, 3, 6).numpy()
        tops = run(Slice(axis=-1), x, tops=2)
        np.testing.assert_array_equal(tops[0], x[..., :3])
        np.testing.assert_array_equal(tops[1], x[..., 3:])
        np.testing.assert_array_equal(run(Slice(), x, tops=1)[0], x)
        assert gradcheck(Slice(axis=-1), (2, 3, 6), tops=2)

    def test_unknown_extents(self):
        assert repr(Slice(axis=0).infer(((UNKNOWN, 5),), 3)) == "((?, 5), (?, 5), (?, 5))"
        assert repr(Slice(axis=0, slice_point=(2, 3)).infer(((UNKNOWN, 5),), 3)) == "((2, 5), (1, 5), (?, 5))"

    def test_a_last_top_may_be_empty(self):
        assert Slice(slice_point=(4,)).infer(((2, 4),), 2) == ((2, 4), (2, 0))

    def test_sizes_and_traces(self):
        resizes(Slice(slice_point=(2, 3)), (values(2, 5, 4),), (values(3, 8, 2),), tops=3)
        resizes(Slice(axis=0), (values(4, 5),), (values(6, 3),), tops=2)
        traces(Slice(slice_point=(2, 3)), values(2, 5, 4), tops=3)

    def test_file_and_cost(self):
        assert round_trip("Slice") == Slice()
        assert round_trip("Slice", axis=-1, slice_point=[2, 5]) == Slice(-1, (2, 5))
        assert round_trip("Slice", slice_dim=0) == Slice(0)
        assert v1_name("Slice") == "SLICE"
        assert Slice().cost(((2, 4),), ((2, 2), (2, 2))) == Cost()

    def test_errors(self):
        with raises("E101", "`axis` and `slice_dim` exclude each other"):
            layer_from("Slice", axis=1, slice_dim=1)
        with raises("E103", "`slice_point` 2 follows 2: points must increase"):
            layer_from("Slice", slice_point=[2, 2])
        with raises("E103", "`slice_point` 0 follows 0: points must increase"):
            layer_from("Slice", slice_point=[0])
        with raises("E102", "axis 2 of a bottom with 2 axes"):
            Slice(2).infer(((2, 3),), 2)
        with raises("E102", "7 at axis 1 cannot be split into 3 equal tops"):
            Slice().infer(((2, 7),), 3)
        with raises("E101", "expected 2 values of `slice_point` for 3 tops, got 1"):
            Slice(slice_point=(1,)).infer(((2, 7),), 3)
        with raises("E102", "7 at axis 1 cannot be split into 2 tops at `slice_point` 8"):
            Slice(slice_point=(8,)).infer(((2, 7),), 2)
        with raises("E102", "2 at axis 1 cannot be split into 3 tops at `slice_point` 2"):
            Slice(slice_point=(1, 2)).infer(((2, 2),), 3)


class TestSplit:
    def test_forward_and_backward(self):
        x = values(2, 3).numpy()
        for top in run(Split(), x, tops=3):
            np.testing.assert_array_equal(top, x)
        assert gradcheck(Split(), (2, 3), tops=3)

    def test_tops_are_separate_tensors(self):
        x = torch.ones(2, requires_grad=True)
        first, second = module_of(Split(), ((2,),), 2)(x)
        gradients = torch.autograd.grad(first.sum() + 3 * second.sum(), (first, second, x))
        assert [g.tolist() for g in gradients] == [[1, 1], [3, 3], [4, 4]]

    def test_file_cost_sizes_and_traces(self):
        assert round_trip("Split") == Split()
        assert v1_name("Split") == "SPLIT"
        assert Split().cost(((2, 3),), ((2, 3), (2, 3))) == Cost()
        assert repr(Split().infer(((UNKNOWN, 3),), 2)) == "((?, 3), (?, 3))"
        resizes(Split(), (values(2, 3),), (values(4, 5, 6),), tops=2)
        traces(Split(), values(2, 3), tops=2)
