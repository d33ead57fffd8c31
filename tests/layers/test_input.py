import numpy as np
import torch

from netc.ir.dims import UNKNOWN
from netc.ir.layer import Cost, Count, DataLayer
from netc.layers.input import Input, ParameterLayer, Silence
from tests.layers.case import Case, alike, made
from tests.layers.contract import raises, round_trip, v1_name, values
from tests.layers.harness import gradcheck, layer_from, module_of, run

CASES = [
    alike("Silence"),
    Case(made("Parameter", (2, 3)), (), ()),
]


class TestInput:
    def test_shapes(self):
        assert Input(((1, 3, 5),)).batch(None, 3) == ((1, 3, 5),) * 3
        assert Input(((1, 3), (4,))).batch(None, 2) == ((1, 3), (4,))
        assert Input(((),)).batch(None, 1) == ((),)
        assert Input().batch(None, 2) == (None, None)

    def test_file_and_cost(self):
        assert round_trip("Input") == Input()
        layer = round_trip("Input", shape=[{"dim": [1, 3]}, {"dim": [4]}])
        assert layer == Input(((1, 3), (4,)))
        assert v1_name("Input") is None
        assert layer.cost((), ((1, 3), (4,))) == Cost()
        assert isinstance(layer, DataLayer)
        assert (layer.bottom_count, layer.top_count) == (Count(0), Count(1, None))

    def test_errors(self):
        with raises("E103", r"`shape` \[2,-1\] has a negative extent"):
            layer_from("Input", shape=[{"dim": [2, -1]}])
        with raises("E101", "2 values of `shape` for 3 tops"):
            Input(((1,), (2,))).batch(None, 3)


class TestParameter:
    def test_forward_and_backward(self):
        blob = np.arange(6.0).reshape(2, 3)
        (y,) = run(ParameterLayer((2, 3)), weights=[blob])
        np.testing.assert_array_equal(y, blob)
        assert gradcheck(ParameterLayer((2, 3)))

    def test_traces(self):
        module = module_of(ParameterLayer((2, 3)), ())
        torch._dynamo.reset()
        expected = module.weight.detach()
        torch.testing.assert_close(torch.export.export(module, ()).module()(), module.weight)
        compiled = torch.compile(module, fullgraph=True, backend="eager")
        torch.testing.assert_close(compiled().detach(), expected)

    def test_blob(self):
        (weight,) = ParameterLayer((2, 3)).weights(())
        assert (weight.name, weight.shape, weight.filler.type, weight.filler.value) == ("weight", (2, 3), "constant", 0)

    def test_file_and_cost(self):
        assert round_trip("Parameter") == ParameterLayer(())
        assert round_trip("Parameter", shape={"dim": [4, 5]}) == ParameterLayer((4, 5))
        assert v1_name("Parameter") is None
        assert ParameterLayer((2, 3)).cost((), ((2, 3),)) == Cost()

    def test_errors(self):
        with raises("E103", r"`shape` \[-4\] has a negative extent"):
            layer_from("Parameter", shape={"dim": [-4]})


class TestSilence:
    def test_has_no_top(self):
        assert run(Silence(), values(2, 3), values(5), tops=0) == []
        assert Silence().infer(((UNKNOWN, 3),), 0) == ()

    def test_traces(self):
        module = module_of(Silence(), ((2, 3),), 0)
        torch._dynamo.reset()
        assert torch.compile(module, fullgraph=True, backend="eager")(values(2, 3)) == ()
        assert torch.export.export(module, (values(2, 3),)).module()(values(2, 3)) == ()

    def test_file_and_cost(self):
        assert round_trip("Silence") == Silence()
        assert v1_name("Silence") == "SILENCE"
        assert Silence().cost(((2, 3),), ()) == Cost()
        assert (Silence.bottom_count, Silence.top_count) == (Count(1, None), Count(0))
