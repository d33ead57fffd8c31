import numpy as np
import pytest
import torch

from netc.ir.dims import UNKNOWN
from netc.ir.layer import Cost
from netc.layers.reshape import Flatten, Reshape, Tile
from tests.layers.case import alike
from tests.layers.contract import raises, resizes, round_trip, traces, v1_name, values
from tests.layers.harness import gradcheck, layer_from, module_of, run

CASES = [
    alike("Flatten"),
    alike("Tile", 3, 1),
    alike("Reshape", (0, -1)),
]


RESHAPES = [
    (Reshape((4, 6)), (2, 3, 4), (4, 6)),
    (Reshape((0, -1, 2)), (2, 3, 4), (2, 6, 2)),
    (Reshape((0, 0, 1, -1)), (2, 3, 4), (2, 3, 1, 4)),
    (Reshape((3, 2), axis=1, num_axes=1), (2, 6, 4), (2, 3, 2, 4)),
    (Reshape((-1,), axis=1), (2, 3, 4), (2, 12)),
    (Reshape((1,), axis=-1), (2, 3), (2, 3, 1)),
    (Reshape((1, 1), axis=1, num_axes=0), (2, 3), (2, 1, 1, 3)),
    (Reshape((-1,), axis=-3, num_axes=2), (2, 3, 4), (2, 12)),
    (Reshape((2, -1), axis=-2, num_axes=1), (5, 3, 8), (5, 3, 2, 4)),
    (Reshape((-1, 0), axis=0, num_axes=1), (8, 4, 2), (2, 4, 4, 2)),
    (Reshape(()), (1, 1), ()),
]


class TestReshape:
    @pytest.mark.parametrize(("layer", "bottom", "top"), RESHAPES, ids=[repr(case[0]) for case in RESHAPES])
    def test_forward_and_backward(self, layer, bottom, top):
        x = values(*bottom).numpy()
        np.testing.assert_array_equal(run(layer, x)[0], x.reshape(top))
        assert gradcheck(layer, bottom)
        traces(layer, values(*bottom))

    @pytest.mark.parametrize(
        ("layer", "bottom", "top"),
        [
            (Reshape((0, -1)), (UNKNOWN, 3, 4), "(?, 12)"),
            (Reshape((0, -1, 2)), (2, UNKNOWN, 4), "(2, ?, 2)"),
            (Reshape((-1, 12)), (UNKNOWN, 3, 4), "(?, 12)"),
            (Reshape((-1,), axis=1), (UNKNOWN, 3, 4), "(?, 12)"),
            (Reshape((6, 4)), (UNKNOWN, 3, 4), "(6, 4)"),
            (Reshape((0, 6)), (UNKNOWN, 3, 2), "(?, 6)"),
            (Reshape((-1, 0), num_axes=1), (6, UNKNOWN, 2), "(?, ?, ?, 2)"),
        ],
    )
    def test_unknown_extents(self, layer, bottom, top):
        assert repr(layer.infer((bottom,), 1)) == f"({top},)"

    def test_other_sizes(self):
        resizes(Reshape((0, -1, 2)), (values(2, 3, 4),), (values(3, 8, 5),))
        resizes(Reshape((3, -1), axis=-3, num_axes=1), (values(2, 6, 4),), (values(5, 2, 9, 7),))

    def test_exports_with_a_batch_of_any_size(self):
        module = module_of(Reshape((0, -1, 2)), ((2, 3, 4),))
        batch = torch.export.Dim("batch", max=64)
        program = torch.export.export(module, (values(2, 3, 4),), dynamic_shapes=(({0: batch},),))
        assert program.module()(values(7, 3, 4)).shape == (7, 6, 2)

    def test_file_and_cost(self):
        assert round_trip("Reshape") == Reshape()
        assert round_trip("Reshape", shape={"dim": [0, -1]}, axis=-2, num_axes=1) == Reshape((0, -1), -2, 1)
        assert v1_name("Reshape") is None
        assert Reshape((6,)).cost(((2, 3),), ((6,),)) == Cost()

    def test_invalid_parameters(self):
        with raises("E101", r"`shape` \[-1,2,-1\] has more than one -1"):
            layer_from("Reshape", shape={"dim": [-1, 2, -1]})
        with raises("E103", r"`shape` \[0,-2\] has an extent below -1"):
            layer_from("Reshape", shape={"dim": [0, -2]})
        with raises("E103", "`num_axes` is -2: it must be at least -1"):
            layer_from("Reshape", num_axes=-2)

    @pytest.mark.parametrize(
        ("layer", "text"),
        [
            (Reshape((1,), axis=3), "axis 3 of a bottom with 2 axes"),
            (Reshape((1,), axis=-4), "axis -4 of a bottom with 2 axes"),
            (Reshape((1,), axis=1, num_axes=2), "`num_axes` 2 from axis 1 of a bottom with 2 axes"),
            (Reshape((0, 0, 0)), "a 0 in `shape` keeps axis 2 of a bottom with 2 axes"),
            (Reshape((-1, 5)), "the number of elements, 24, is not a multiple of 5"),
            (Reshape((4, 5)), "24 elements cannot become 20"),
        ],
    )
    def test_invalid_bottoms(self, layer, text):
        with raises("E102", text):
            layer.infer(((4, 6),), 1)
        with raises("E102", text):
            run(layer, values(4, 6).numpy())

    def test_nothing_is_shared_out_over_no_elements(self):
        assert Reshape((0, -1)).infer(((0, 3, 4),), 1) == ((0, 12),)
        with raises("E102", "the number of elements, 8, is not a multiple of 0"):
            Reshape((-1, 0), num_axes=1).infer(((8, 0),), 1)


FLATTENS = [
    (Flatten(), (2, 3, 4, 5), (2, 60)),
    (Flatten(axis=1, end_axis=2), (2, 3, 4, 5), (2, 12, 5)),
    (Flatten(axis=0, end_axis=-2), (2, 3, 4, 5), (24, 5)),
    (Flatten(axis=-1), (2, 3, 4), (2, 3, 4)),
    (Flatten(axis=2, end_axis=1), (2, 3, 4), (2, 3, 1, 4)),
]


class TestFlatten:
    @pytest.mark.parametrize("stock", [True, False])
    @pytest.mark.parametrize(("layer", "bottom", "top"), FLATTENS, ids=[repr(case[0]) for case in FLATTENS])
    def test_forward_and_backward(self, layer, bottom, top, stock):
        x = values(*bottom).numpy()
        np.testing.assert_array_equal(run(layer, x, stock=stock)[0], x.reshape(top))
        assert gradcheck(layer, bottom)

    def test_unknown_extents(self):
        assert repr(Flatten().infer(((UNKNOWN, 3, 4),), 1)) == "((?, 12),)"
        assert repr(Flatten().infer(((2, UNKNOWN, 4),), 1)) == "((2, ?),)"

    def test_sizes_and_traces(self):
        for layer in (Flatten(1, 2), Flatten(2, 1)):
            resizes(layer, (values(2, 3, 4),), (values(5, 2, 6),))
            traces(layer, values(2, 3, 4))

    def test_file_cost_and_stock_module(self):
        assert round_trip("Flatten") == Flatten()
        assert round_trip("Flatten", axis=2, end_axis=-2) == Flatten(2, -2)
        assert v1_name("Flatten") == "FLATTEN"
        assert Flatten().cost(((2, 3, 4),), ((2, 12),)) == Cost()
        assert type(module_of(Flatten(), ((2, 3),))) is torch.nn.Flatten

    def test_errors(self):
        with raises("E102", "axis 2 of a bottom with 2 axes"):
            Flatten(2).infer(((2, 3),), 1)
        with raises("E102", "axis 5 of a bottom with 2 axes"):
            Flatten(1, 5).infer(((2, 3),), 1)
        with raises("E101", "`end_axis` 0 is before `axis` 2"):
            Flatten(2, 0).infer(((2, 3, 4),), 1)


class TestTile:
    @pytest.mark.parametrize("axis", [0, 1, -1])
    def test_forward_and_backward(self, axis):
        x = values(2, 3, 4).numpy()
        (y,) = run(Tile(tiles=3, axis=axis), x)
        np.testing.assert_array_equal(y, np.concatenate([x, x, x], axis))
        assert gradcheck(Tile(tiles=3, axis=axis), (2, 3, 4))

    def test_unknown_extents(self):
        assert repr(Tile(tiles=3, axis=0).infer(((UNKNOWN, 4),), 1)) == "((?, 4),)"
        assert repr(Tile(tiles=3).infer(((UNKNOWN, 4),), 1)) == "((?, 12),)"

    def test_file_cost_sizes_and_traces(self):
        assert round_trip("Tile", tiles=2, axis=-1) == Tile(2, -1)
        assert v1_name("Tile") is None
        assert Tile(2).cost(((2, 3),), ((2, 6),)) == Cost()
        resizes(Tile(2), (values(2, 3),), (values(4, 5, 6),))
        traces(Tile(3), values(2, 3, 4))

    def test_errors(self):
        with raises("E101", "`tiles` is missing"):
            layer_from("Tile")
        with raises("E103", "`tiles` is 0: it must be positive"):
            layer_from("Tile", tiles=0)
        with raises("E102", "axis 1 of a bottom with 1 axis"):
            Tile(2).infer(((3,),), 1)
