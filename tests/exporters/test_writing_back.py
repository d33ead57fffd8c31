"""Nets go out to Caffe as they came in: the file's own fields, and those of forks for the forks that have them."""

from dataclasses import dataclass, replace
from typing import ClassVar

import pytest

from netc.cli import main
from netc.compiler import graph_of
from netc.conversion.caffe_target import target_of
from netc.conversion.convert import convert
from netc.conversion.surgery import crop
from netc.conversion.writers import write_caffe
from netc.diagnostics import NetcError, Source
from netc.exporters.caffe import net_message, net_text
from netc.frontends import read_net
from netc.frontends.caffe.binary import rebuilt
from netc.frontends.caffe.binary.encode import _numbers as numbers
from netc.frontends.caffe.binary.encode import encode
from netc.ir.graph import State
from netc.ir.layer import Layer
from netc.passes.data_to_inputs import data_to_inputs
from netc.passes.rebuild import rebuild
from netc.schema import as_dict, caffe
from netc.weights import read
from tests.conversion.nets import MIXED, trained, write

INPUT = 'layer { name: "in" type: "Input" top: "in" input_param { shape { dim: 1 dim: 2 dim: 6 dim: 6 } } }\n'
KEPT = """layer {
  name: "conv"
  type: "Convolution"
  bottom: "in"
  top: "conv"
  param {
    lr_mult: 1
    decay_mult: 1
  }
  param {
    name: "shared"
    lr_mult: 2
  }
  convolution_param {
    num_output: 3
    bias_term: true
    kernel_size: 3
    weight_filler {
      type: "xavier"
    }
    engine: CAFFE
  }
}
layer {
  name: "pool"
  type: "Pooling"
  bottom: "conv"
  top: "pool"
  pooling_param {
    pool: MAX
    kernel_size: 2
    stride: 2
    engine: CUDNN
  }
}
layer {
  name: "drop"
  type: "Dropout"
  bottom: "pool"
  top: "pool"
  dropout_param {
    dropout_ratio: 0.5
  }
}
"""
FORK = (
    INPUT
    + """layer { name: "drop" type: "Dropout" bottom: "in" top: "in"
  dropout_param { dropout_ratio: 0.3 scale_train: false } }
"""
)
HOLE = (
    INPUT
    + """layer { name: "conv" type: "Convolution" bottom: "in" top: "conv"
  convolution_param { num_output: 3 kernel_size: 3 hole: 2 engine: CAFFE } }
"""
)


def graph(text):
    definition = read_net(Source("net", text))
    definition.report.raise_errors()
    return data_to_inputs(graph_of(definition, State("TEST")))


def test_an_unchanged_layer_keeps_every_field_of_its_file():
    text = net_text(graph(INPUT + KEPT))
    for line in KEPT.splitlines():
        assert line in text.splitlines()
    assert text.endswith(KEPT)


def test_a_changed_layer_is_written_from_its_parameters():
    before = graph(INPUT + KEPT)
    (conv, *rest) = before.nodes
    changed = rebuild(before.replace(nodes=(replace(conv, layer=replace(conv.layer, num_output=5)), *rest)))
    text = net_text(changed)
    assert "num_output: 5" in text
    assert "engine: CAFFE" not in text
    assert "engine: CUDNN" in text
    assert changed.shape("pool") == (1, 5, 2, 2)


def test_renamed_blobs_and_layers_keep_their_parameters():
    before = graph(INPUT + KEPT)
    renamed = rebuild(before.replace(nodes=tuple(replace(n, name=f"new_{n.name}") for n in before.nodes)))
    assert [node.key for node in renamed.nodes] == ["new_conv", "new_pool", "new_drop"]
    assert "engine: CAFFE" in net_text(renamed)


def test_fields_of_a_fork_with_a_bvlc_equivalent_are_translated():
    bvlc, deeplab = net_text(graph(HOLE)), net_text(graph(HOLE), target_of("yjxiong"))
    assert "dilation: 2" in bvlc
    assert "hole" not in bvlc
    assert "dilation: 2" in deeplab


def test_a_field_that_only_forks_have_names_their_dialects():
    with pytest.raises(NetcError) as caught:
        net_message(graph(FORK), target_of())
    (found,) = caught.value.diagnostics
    assert (found.code, found.line) == ("E801", 2)
    assert "BVLC Caffe has no field `scale_train`" in found.message
    assert "`--dialect ssd`" in found.help
    assert "scale_train: false" in net_text(graph(FORK), target_of("ssd"))


LOSS = """layer { name: "label" type: "Input" top: "label" input_param { shape { dim: 1 dim: 1 dim: 6 dim: 6 } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "in" bottom: "label" top: "loss"
  loss_param { normalization: PRE_FIXED } }
"""


def test_a_value_of_an_enum_that_only_forks_have_names_their_dialects():
    for target in (target_of(), target_of("ssd")):
        with pytest.raises(NetcError) as caught:
            net_message(graph(INPUT + LOSS), target)
        (found,) = caught.value.diagnostics
        assert (found.code, found.line) == ("E801", 3)
        assert f"{target.caffe} has no value `PRE_FIXED` of `normalization` in `LossParameter`" in found.message
        assert "`--dialect rfcn` or `--dialect intel`" in found.help
    message = net_message(graph(INPUT + LOSS), target_of("rfcn"))
    assert "normalization: PRE_FIXED" in net_text(graph(INPUT + LOSS), target_of("rfcn"))
    (loss,) = (layer for layer in message.layer if layer.name == "loss")
    assert encode(loss.loss_param, "rfcn") == b"\x18\x03"


def test_an_engine_that_only_a_fork_has_is_left_out():
    text = INPUT + KEPT.replace("engine: CAFFE", "engine: MKL2017")
    assert "MKL2017" not in net_text(graph(text))
    assert "MKL2017" in net_text(graph(text), target_of("intel"))


def test_input_layers_keep_their_names():
    text = """layer {
  name: "input"
  type: "Input"
  top: "a"
  top: "b"
  input_param {
    shape {
      dim: 1
      dim: 2
    }
    shape {
      dim: 1
      dim: 2
    }
  }
}
layer {
  name: "in"
  type: "Input"
  top: "c"
  input_param {
    shape {
      dim: 1
      dim: 2
    }
  }
}
layer {
  name: "sum"
  type: "Eltwise"
  bottom: "a"
  bottom: "b"
  bottom: "c"
  top: "sum"
}
"""
    assert net_text(graph(text)) == text
    assert net_text(crop(graph(text.replace('bottom: "a"\n  ', "", 1)), "sum")).startswith('layer {\n  name: "b"')


def test_inputs_of_data_layers_are_named_after_their_blobs():
    text = """layer { name: "source" type: "MemoryData" top: "data" top: "label"
      memory_data_param { batch_size: 2 channels: 3 height: 4 width: 5 } }
    layer { name: "flat" type: "Flatten" bottom: "data" top: "flat" }"""
    message = net_message(graph(text))
    assert [(layer.name, layer.type, list(layer.top)) for layer in message.layer] == [
        ("data", "Input", ["data"]),
        ("label", "Input", ["label"]),
        ("flat", "Flatten", ["flat"]),
    ]


@dataclass(frozen=True)
class Permute(Layer):
    """A layer of a fork."""

    order: tuple[int, ...] = (0, 2, 1, 3)

    type: ClassVar[str] = "Permute"
    param_field: ClassVar[str] = "permute_param"
    dialect: ClassVar[str] = "ssd"

    def infer(self, bottoms, tops):
        return (tuple(bottoms[0][axis] for axis in self.order),)


def permuted():
    model = graph(INPUT + 'layer { name: "one" type: "Power" bottom: "in" top: "one" }')
    return rebuild(model.replace(nodes=(replace(model.nodes[0], layer=Permute(order=(0, 3, 1, 2))),)))


def test_a_layer_of_a_fork_is_written_for_the_fork():
    model = permuted()
    with pytest.raises(NetcError) as caught:
        net_message(model, target_of())
    assert "BVLC Caffe has no layer type `Permute`" in str(caught.value)
    assert "`--dialect ssd`" in caught.value.diagnostics[0].help
    with pytest.raises(NetcError, match="has no layer type `Permute`"):
        net_message(model, target_of("segnet"))
    assert 'type: "Permute"' in net_text(model, target_of("ssd"))
    assert 'type: "Permute"' in net_text(model, target_of("refinedet"))


def test_a_caffemodel_has_the_numbers_of_its_fork(tmp_path):
    message = net_message(permuted(), target_of("ssd"))
    data = encode(message, "ssd")
    assert numbers("ssd", "LayerParameter")["permute_param"] == 202
    path = tmp_path / "net.caffemodel"
    path.write_bytes(data)
    text = rebuilt(path, "ssd").text
    assert "permute_param { order: 0 order: 3 order: 1 order: 2 }" in " ".join(text.split())


@pytest.mark.parametrize("text", [MIXED, INPUT + KEPT], ids=["mixed", "kept"])
def test_bvlc_bytes_are_those_of_protobuf(text):
    message = net_message(graph(text))
    assert as_dict(caffe.NetParameter.FromString(encode(message, "bvlc"))) == as_dict(message)


def test_convert_and_surgery_write_for_a_fork(tmp_path):
    path = write(tmp_path, FORK + KEPT.replace('"drop"', '"drop2"'))
    with pytest.raises(NetcError, match="scale_train"):
        convert(path, to="caffe", output=tmp_path / "out.prototxt")
    files = convert(path, to="caffe", output=tmp_path / "out.prototxt", dialect="ssd").files
    assert "scale_train: false" in files[0].read_text()
    assert [layer.name for layer in read(files[1]).layers if layer.blobs] == ["conv"]
    arguments = ["surgery", "rename", str(path), "--layer", "conv=first", "--output", str(tmp_path / "new.prototxt")]
    assert main([*arguments]) == 1
    assert main([*arguments, "--dialect", "ssd"]) == 0
    assert "scale_train: false" in (tmp_path / "new.prototxt").read_text()
    assert "engine: CAFFE" in (tmp_path / "new.prototxt").read_text()
    with pytest.raises(NetcError, match="nowhere"):
        write_caffe(trained(write(tmp_path, MIXED)), tmp_path / "x.prototxt", "nowhere")
