"""Values of two forms are matched by blob and by the layer that wrote them."""

from dataclasses import dataclass, field

import pytest

from netc.conversion.convert import convert
from netc.conversion.matching import matched
from netc.conversion.verify import verify
from netc.conversion.writers import write_caffe
from tests.conversion.nets import trained, write

FOLDED = """
name: "t"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 dim: 6 dim: 5 } } }
layer { name: "c" type: "Convolution" bottom: "data" top: "c" convolution_param { num_output: 4 kernel_size: 3
  weight_filler { type: "xavier" } } }
layer { name: "b" type: "BatchNorm" bottom: "c" top: "c" }
layer { name: "s" type: "Scale" bottom: "c" top: "c" scale_param { bias_term: true } }
layer { name: "r" type: "ReLU" bottom: "c" top: "c" }
layer { name: "d" type: "Dropout" bottom: "c" top: "c" }
layer { name: "ip" type: "InnerProduct" bottom: "c" top: "ip" inner_product_param { num_output: 2
  weight_filler { type: "xavier" } } }
"""


@dataclass
class Form:
    """The names of the values of a form."""

    layers: dict
    writers: dict = field(init=False)
    blobs: dict = field(default_factory=dict)
    versions: bool = True

    def __post_init__(self):
        self.writers = {name: tuple(layers.split()) for name, layers in self.layers.items() if layers}


def pairs(one, other, versions=True):
    first, second = Form(one), Form(other, versions=versions)
    return matched(first, second, list(one), list(other))


@pytest.mark.parametrize(("one", "other", "expected"), [
    ({"c": "c", "c.1": "b", "c.2": "r"}, {"c": "c", "c.1": "r"}, {"c.1": "c", "c.2": "c.1"}),
    ({"c": "c", "c.1": "r"}, {"c": "c", "c.1": "b", "c.2": "r"}, {"c": "c.1", "c.1": "c.2"}),
    ({"c": "c", "c.1": "b", "c.2": "s"}, {"c": "c", "c.2": "b s"}, {"c": "c", "c.2": "c.2"}),
    ({"c": "c", "b": "b", "s": "s", "s.1": "r"}, {"s": "c", "s.1": "r"}, {"s": "s", "s.1": "s.1"}),
    ({"c": "c", "c.1": "r"}, {"c": "other", "c.1": "name"}, {"c": "c", "c.1": "c.1"}),
    ({"c": "c", "c.1": "r"}, {"c": "", "c.1": ""}, {"c": "c", "c.1": "c.1"}),
    ({"c": "c", "c.1": "r"}, {"d": "c"}, {}),
])  # fmt: skip
def test_values_are_matched_by_their_layers(one, other, expected):
    assert pairs(one, other) == expected


def test_a_dump_has_the_last_value_of_each_blob():
    assert pairs({"c": "c", "c.1": "r", "ip": "ip"}, {"ip": "", "c": ""}, versions=False) == {"c.1": "c", "ip": "ip"}


@pytest.fixture
def folded(tmp_path):
    """A net with its weights, and both after `--fold --to caffe`."""
    prototxt, weights = write_caffe(trained(write(tmp_path, FOLDED, "raw.prototxt")), tmp_path / "net.prototxt")
    done = convert(prototxt, weights, to="caffe", output=tmp_path / "folded.prototxt", fold=True)
    return (prototxt, weights), done.files[:2]


def test_a_folded_net_agrees_at_each_value_that_it_has(folded):
    (net, weights), (other, other_weights) = folded
    found = verify(net, other, weights=weights, other_weights=other_weights)
    assert found.agrees, found.first
    assert [one.name for one in found.differences] == ["c.2", "c.4", "ip"]
    back = verify(other, net, weights=other_weights, other_weights=weights)
    assert back.agrees, back.first
    assert [one.name for one in back.differences] == ["c", "c.1", "ip"]


@pytest.mark.parametrize("to", ["onnx", "py"])
@pytest.mark.parametrize("fold", [False, True])
def test_exported_files_agree_with_the_folded_net(folded, tmp_path, to, fold):
    (net, weights), (other, other_weights) = folded
    model = convert(net, weights, to=to, output=tmp_path / "out", fold=fold).files[0]
    for first, second, trained_file in ((net, model, weights), (model, other, other_weights)):
        found = verify(first, second, weights=trained_file)
        assert found.agrees, found.first
        assert [one.name for one in found.differences][-3:] == ["c.2", "c.4" if first is net else "c.3", "ip"]


def test_a_fault_in_a_folded_layer_is_found(folded):
    (net, weights), (other, _) = folded
    found = verify(net, other, weights=weights, other_weights=weights)
    assert [one.name for one in found.differences if one.departs] == ["c.2", "c.4", "ip"]
