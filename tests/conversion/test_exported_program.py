"""`--to pt2`: extents that the net fixes stay fixed, and a layer that cannot be traced is an error at its line."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

from netc.compiler import weighted
from netc.conversion.convert import convert
from netc.conversion.exported_program import exported_program
from netc.conversion.models import net_of, open_net
from netc.diagnostics import NetcError, Source
from netc.ir.layer import Layer
from tests.conversion.nets import write

INPUT = 'layer { name: "in" type: "Input" top: "in" input_param { shape { dim: 2 dim: 3 } } }\n'
SPLIT = 'layer { name: "one" type: "Split" bottom: "in" top: "one" top: "two" }\n'
SLICE = 'layer { name: "slice" type: "Slice" bottom: "in" top: "a" top: "b" slice_param { axis: 0 } }\n'
HDF5 = 'layer { name: "out" type: "HDF5Output" bottom: "in" bottom: "in" hdf5_output_param { file_name: "x.h5" } }\n'
PYTHON = 'layer { name: "own" type: "Python" bottom: "in" top: "own" python_param { module: "m" layer: "L" } }\n'
RNN = """layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 5 dim: 2 dim: 3 } } }
layer { name: "cont" type: "Input" top: "cont" input_param { shape { dim: 5 dim: 2 } } }
layer { name: "rnn" type: "RNN" bottom: "x" bottom: "cont" top: "rnn" recurrent_param { num_output: 4
  weight_filler { type: "xavier" } } }
"""


@dataclass(frozen=True)
class DataDependent(Layer):
    """A layer whose arithmetic depends on its data."""

    def infer(self, bottoms, tops):
        return (bottoms[0], bottoms[0])

    def forward(self, bottoms, weights, mode):
        (x,) = bottoms
        return (x, x) if x.sum() > 0 else (-x, x)


@pytest.mark.parametrize(("text", "kind", "reason"), [
    (HDF5, "HDF5Output", "it has no top"),
    (PYTHON, "Python", "it runs code of the user"),
])  # fmt: skip
def test_a_layer_that_is_not_a_function_is_an_error(tmp_path, text, kind, reason):
    with pytest.raises(NetcError) as caught:
        convert(write(tmp_path, INPUT + text), to="pt2", output=tmp_path / "net.pt2")
    (found,) = caught.value.diagnostics
    assert (found.code, found.line) == ("E801", 2)
    assert found.message == f"a layer of type `{kind}` cannot be exported to a .pt2 file"
    assert found.notes[-1] == reason
    assert not (tmp_path / "net.pt2").exists()


def test_a_layer_that_depends_on_its_data_is_an_error():
    model = weighted(open_net(Source("net", INPUT + SPLIT)))
    (node,) = model.nodes
    with pytest.raises(NetcError) as caught:
        exported_program(model.replace(nodes=(replace(node, layer=DataDependent()),)))
    (found,) = caught.value.diagnostics
    assert (found.code, found.line, found.notes[0]) == ("E801", 2, "layer `one`")
    assert "its forward pass cannot be traced" in found.notes[1]


@pytest.mark.parametrize(("text", "free"), [(INPUT + SPLIT, True), (INPUT + SLICE, False), (RNN, False)])
def test_an_extent_that_the_net_fixes_stays_a_number(text, free):
    model = weighted(open_net(Source("net", text)))
    program = exported_program(model).module()
    generator = np.random.default_rng(0)
    given = {model.values[name].blob: generator.random(model.shape(name), np.float32) for name in model.inputs}
    found = program(*map(torch.from_numpy, given.values()))
    for name, expected in net_of(model).run(given).items():
        np.testing.assert_allclose(found[name].detach().numpy(), expected, rtol=1e-5, atol=1e-6)
    if free:
        assert program(torch.ones(7, 3))["one"].shape == (7, 3)


def test_a_long_sequence_is_not_unrolled():
    model = weighted(open_net(Source("net", RNN.replace("dim: 5", "dim: 1000"))))
    with pytest.raises(NetcError, match="`RNN` cannot be exported") as caught:
        exported_program(model)
    (found,) = caught.value.diagnostics
    assert found.line == 3
    assert found.notes[1].startswith("each of its 1000 steps is traced separately")
