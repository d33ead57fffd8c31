"""Old formats, generation by generation: what becomes of them, what is said, and where."""

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

import netc
from netc.diagnostics import NetcError, Source
from netc.frontends.caffe.read import is_solver, read, read_net
from netc.frontends.caffe.upgrade import upgrade_tree
from netc.text import parse, print_tree
from tests.text.test_parse import plain

V0 = """\
# CaffeNet, cut short
name: "CaffeNet"  # 2013

layers {
  # where the images are
  layer {
    name: "data"
    type: "data"
    # a LevelDB
    source: "/data/train"
    meanfile: "/data/mean.binaryproto"  # computed once
    batchsize: 256
    mirror: true
  }
  top: "data"
  top: "label"
}

# first convolution
layers {
  layer {
    name: "pad1"
    type: "padding"
    pad: 2
  }
  bottom: "data"
  top: "pad1"
}
layers {
  layer { # 96 filters
    name: "conv1"
    type: "conv"
    num_output: 96
    kernelsize: 11
    weight_filler {
      type: "gaussian"
      std: 0.01
    }
    blobs_lr: 1.
    blobs_lr: 2.
    weight_decay: 1.
    weight_decay: 0.
    # no bias at first
  }
  bottom: "pad1"
  top: "conv1"
}
layers { layer { name: "relu1" type: "relu" num_output: 3 } bottom: "conv1" top: "conv1" }
layers { layer { name: "mine" type: "special" num_output: 3 } bottom: "conv1" top: "mine" }
"""

V1 = """\
name: "mixed"
input: "data"   # pictures
input_dim: 1
input_dim: 3   # colours
input_dim: 9
input_dim: 9

layers {
  name: "conv1"
  type: CONVOLUTION   # V1
  bottom: "data"
  top: "conv1"

  # how fast
  blobs_lr: 1     # filters
  blobs_lr: 2     # biases
  param: "w"
  blob_share_mode: PERMISSIVE
  convolution_param { num_output: 8 kernel_size: 3 }
}
layers { name: "bn" type: BN bottom: "conv1" top: "bn" bn_param { } }
layers { name: "pool" type: 17 bottom: "bn" top: "pool" pooling_param { kernel_size: 2 } }
layers { name: "new" type: HOLOGRAM bottom: "pool" top: "new" blobs_lr: [0.5, 0] }
layer { name: "relu" type: "ReLU" bottom: "new" top: "new" }
layer { name: "ip" type: INNER_PRODUCT bottom: "new" top: "ip" blobs_lr: 3 }
"""

DATA = """\
layers {
  name: "d"
  type: IMAGE_DATA
  top: "d"
  image_data_param { source: "list" scale: 0.5 crop_size: 24 }
  transform_param { scale: 2 mirror: true }
}
layers { name: "s" type: SLICE bottom: "d" top: "a" top: "b" slice_param { slice_dim: 1 } }
layer { name: "d2" type: "Data" top: "e" data_param { source: "db" scale: 0.5 } }
layer { name: "c" type: "Concat" bottom: "a" bottom: "b" top: "c" concat_param { concat_dim: 1 } }
layer {
  name: "bn" type: "BatchNorm" bottom: "c" top: "c"
  param { lr_mult: 1 } param { lr_mult: 0 } param { decay_mult: 2 }
}
"""


def upgraded(text):
    tree = parse(Source("net.prototxt", text))
    report = upgrade_tree(tree)
    printed = print_tree(tree)
    again = parse(Source("again", printed))
    assert plain(again.root) == plain(tree.root)
    upgrade_tree(again)
    assert print_tree(again) == printed
    return printed, report.diagnostics


def shown(found):
    return [f"{d.code} {d.line}:{d.column} {d.message}" for d in found]


@pytest.mark.parametrize(("name", "text"), [("v0", V0), ("v1", V1), ("data", DATA)])
def test_the_whole_file(golden, name, text):
    printed, found = upgraded(text)
    golden(f"upgrade/{name}.prototxt", printed)
    golden(f"upgrade/{name}.txt", "\n\n".join(d.render() for d in found) + "\n")


@pytest.mark.parametrize("text", [V0, V1])
def test_no_comment_is_lost(text):
    printed, _ = upgraded(text)
    words = [line.partition("#")[2] for line in text.splitlines() if "#" in line]
    assert len(words) > 5
    assert all(f"#{word}" in printed for word in words)


def test_a_current_net_is_unchanged():
    text = 'name:"n"\nlayer{type:"ReLU"; bottom:"a",top:"a"}  # odd\nlayer { type: "Scale" param { lr_mult: 1 } }'
    assert upgraded(text) == (text, [])
    assert netc.upgrade(text) == text


def test_spans_are_those_of_the_original_file():
    fields, _ = read_net(Source("net.prototxt", V1))
    given, conv = fields["layer"][:2]
    assert (given["type"], given.span("type").line, given.span("top").text) == ("Input", 2, '"data"')
    assert given.message("input_param")["shape"][0].span("dim", 1).line == 4
    assert given.message("input_param").span("shape").line == 3
    assert (conv["type"], conv.span("type").text, conv.span("param", 1).line) == ("Convolution", "CONVOLUTION", 16)
    assert conv["param"][0].span("share_mode").text == "PERMISSIVE"


class TestV1:
    def test_fields_for_each_blob(self):
        net, _ = read_net(Source("net", V1))
        params = [[dict(param.values) for param in layer["param"]] for layer in net["layer"]]
        assert params[1] == [{"name": "w", "share_mode": "PERMISSIVE", "lr_mult": 1.0}, {"lr_mult": 2.0}]
        assert params[4] == [{"lr_mult": 0.5}, {"lr_mult": 0.0}]
        assert params[6] == [{"lr_mult": 3.0}]

    def test_types(self):
        net, _ = read_net(Source("net", V1))
        assert [layer["type"] for layer in net["layer"]] == [
            "Input", "Convolution", "BN", "Pooling", "HOLOGRAM", "ReLU", "InnerProduct",
        ]  # fmt: skip

    def test_v2_spellings_in_layers(self):
        printed, found = upgraded('layers { type: "POOLING" param { lr_mult: 1 } blobs_lr: 2 weight_decay: 3 }')
        again = 'layer {\n  type: "Pooling"\n  param { lr_mult: 1 lr_mult: 2 decay_mult: 3 }\n}'
        assert printed == again
        assert [d.code for d in found] == ["W031", "W032"]

    def test_lists_and_colons(self):
        printed, _ = upgraded("layers: [{ type: RELU }, { type: TANH }]")
        assert printed == 'layer: [{ type: "ReLU" }, { type: "TanH" }]'

    def test_counts_are_reported_once(self):
        _, found = upgraded("layers { type: RELU }\n" * 3)
        assert shown(found) == ["W031 1:1 `layers` is the V1 format of 2014: read as `layer`"]
        assert found[0].notes == ("in 3 places, the last on line 3",)


class TestV0:
    NET = 'layers {{ layer {{ name: "l" type: "{}" {} }} {} }}\n'

    def net(self, kind, fields="", blobs=""):
        return self.NET.format(kind, fields, blobs)

    def test_fields_unused_by_a_type_are_omitted(self):
        printed, found = upgraded(self.net("pool", "group: 2 pool: AVE new_num: 1"))
        assert "pooling_param {\n    pool: AVE\n  }" in printed
        assert "group" not in printed
        assert [d.message.split(" has")[0] for d in found if d.code == "W038"] == ["`group`", "`new_num`"]

    def test_padding_is_merged_into_its_readers(self):
        text = self.net("padding", "pad: 3", 'bottom: "a" top: "p"')
        text += self.net("conv", "num_output: 2 pad: 1", 'bottom: "p" top: "c"')
        text += self.net("pool", "kernelsize: 2", 'bottom: "p" top: "d"')
        net, report = read_net(Source("net", text))
        assert not report.errors
        assert [layer["bottom"] for layer in net["layer"]] == [("a",), ("a",)]
        assert net["layer"][0].message("convolution_param")["pad"] == (3,)
        assert net["layer"][1].message("pooling_param")["pad"] == 3
        assert net["layer"][0].message("convolution_param").span("pad").line == 1

    @pytest.mark.parametrize(
        "reader", ['relu bottom: "p"', 'conv bottom: "p" bottom: "a"', 'conv bottom: "a" bottom: "p"']
    )
    def test_padding_that_nothing_can_fold(self, reader):
        kind, blobs = reader.split(" ", 1)
        text = self.net("padding", "pad: 3", 'bottom: "a" top: "p"') + self.net(kind, "", blobs)
        report = read_net(Source("net", text))[1]
        assert [(d.code, d.line) for d in report.errors] == [("E032", 2)]
        with pytest.raises(NetcError, match=f"a padding layer before a layer of type `{kind}`"):
            netc.upgrade(text)


class TestInputs:
    def test_shapes_by_input_shape(self):
        printed, found = upgraded('input: "a"\ninput: "b"\ninput_shape { dim: 2 }\ninput_shape { dim: [3, 4] }\n')
        assert 'top: "a"\n  top: "b"\n' in printed
        assert "shape { dim: 2 }\n    shape { dim: [3, 4] }\n" in printed
        assert shown(found) == ["W033 1:1 `input` and `input_shape` of a net: read as an `Input` layer"]

    def test_the_layer_is_inserted_before_all_others(self):
        printed, _ = upgraded('layer { type: "ReLU" }\ninput: "a"\nname: "n"\n')
        layer = 'layer {\n  name: "input"\n  type: "Input"\n  top: "a"\n}\n'
        assert printed == layer + 'layer { type: "ReLU" }\nname: "n"\n'

    def test_a_list_of_numbers(self):
        net, _ = read_net(Source("net", 'input: "a" input_dim: [1, 2, 3, 4] name: "n"'))
        assert net["layer"][0].message("input_param")["shape"][0]["dim"] == (1, 2, 3, 4)

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ('input: "a" input_dim: [1, 2, 3]', "expected 4 values of `input_dim`, got 3"),
            ('input: "a" input: "b" input_dim: [1, 2, 3, 4]', "expected 8 values of `input_dim`, got 4"),
            ('input: "a" input: "b" input_shape { }', "expected 2 `input_shape`, got 1"),
        ],
    )
    def test_numbers_that_do_not_agree(self, text, message):
        with pytest.raises(NetcError) as raised:
            netc.upgrade("# first\n" + text)
        assert shown(raised.value.diagnostics) == [f"E031 2:1 {message}"]

    def test_an_input_without_a_shape_is_a_top_of_unknown_shape(self):
        net, _ = read_net(Source("net", 'input: "a"'))
        assert net["layer"][0]["top"] == ("a",)
        assert not net["layer"][0].message("input_param")["shape"]


class TestBatchNorm:
    def net(self, params):
        return 'layer { type: "BatchNorm" ' + " ".join(f"param {{ {param} }}" for param in params) + " }"

    def test_only_three_params_are_the_old_layer(self):
        text = self.net(["lr_mult: 1", "lr_mult: 1"])
        assert upgraded(text) == (text, [])

    def test_zeros_are_not_reported(self):
        printed, found = upgraded(self.net(["lr_mult: 0", "lr_mult: 0.", "lr_mult: -0e1 decay_mult: 0"]))
        assert printed == self.net(
            ["lr_mult: 0 decay_mult: 0", "lr_mult: 0. decay_mult: 0", "lr_mult: -0e1 decay_mult: 0"]
        )
        assert not found

    def test_the_span_is_that_of_the_rate(self):
        found = upgraded("\n" + self.net(["lr_mult: 0", "lr_mult: 2", ""]))[1]
        assert [(d.code, d.line, d.span.text) for d in found] == [("W035", 2, "2")]


FUSED = """\
layer {
  name: "data" type: "Input" top: "data"
  input_param { shape { dim: 2 dim: 3 dim: 8 dim: 8 } }
}
# conv1 has a ReLU
layer {
  name: "conv1" type: "Convolution" bottom: "data" top: "conv1"  # relu
  convolution_param {
    fuse_type: FUSED_CONV_RELU num_output: 3 kernel_size: 3 pad: 1 relu_param { negative_slope: 0.5 }
    %s
  }
}
layer {
  name: "conv2" type: "Convolution" bottom: "conv1" bottom: "data" top: "conv2"
  convolution_param { fuse_type: FUSED_CONV_ELTWISE_RELU num_output: 3 kernel_size: 1 %s }
}
layer {
  name: "conv3" type: "Convolution" bottom: "conv2" bottom: "data" top: "conv3"
  convolution_param {
    fuse_type: FUSED_CONV_ELTWISE num_output: 3 kernel_size: 1 eltwise_param { coeff: 1 coeff: -1 }
    %s
  }
}
layer {
  name: "conv4" type: "Convolution" bottom: "conv3" top: "conv4"
  convolution_param {
    fuse_type: FUSED_CONV_MAX_POOLING_RELU
    num_output: 3
    kernel_size: 1
    pooling_param { kernel_size: 2 stride: 2 }
    %s
  }
}
layer {
  name: "norm" type: "LRN" bottom: "conv4" top: "norm"
  include { stage: "a" }
  lrn_param { local_size: 3 fuse_type: FUSED_POOL_MAX pooling_param { kernel_size: 2 stride: 2 } }
}
""" % (('weight_filler { type: "gaussian" std: 1 }',) * 4)


class TestFusedLayers:
    def test_they_are_read_as_separate_layers(self):
        printed, found = upgraded(FUSED)
        layers = [(f["name"], f["type"]) for f in read_net(Source("net", printed))[0]["layer"]]
        assert layers == [
            ("data", "Input"),
            ("conv1", "Convolution"),
            ("conv1_relu", "ReLU"),
            ("conv2", "Convolution"),
            ("conv2_eltwise", "Eltwise"),
            ("conv2_relu", "ReLU"),
            ("conv3", "Convolution"),
            ("conv3_eltwise", "Eltwise"),
            ("conv4", "Convolution"),
            ("conv4_pooling", "Pooling"),
            ("conv4_relu", "ReLU"),
            ("norm", "LRN"),
            ("norm_pooling", "Pooling"),
        ]
        assert shown(found)[::4] == [
            "W040 9:16 `fuse_type: FUSED_CONV_RELU`: read as separate layers",
            "W040 37:40 `fuse_type: FUSED_POOL_MAX`: read as separate layers",
        ]
        assert "# conv1 has a ReLU" in printed
        assert printed.count("stage") == 2
        assert "fuse_type" not in printed

    def test_they_compute_what_the_fused_layers_do(self):
        net = netc.load(Source("net", FUSED), stages=("a",))
        x = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(1))
        blobs = net.evaluate({"data": x}, ["conv1", "conv2", "conv3", "conv4", "norm"])
        conv = [torch.nn.functional.conv2d] * 4
        first = torch.nn.functional.leaky_relu(conv[0](x, net.conv1.weight, net.conv1.bias, padding=1), 0.5)
        second = (conv[1](first, net.conv2.weight, net.conv2.bias) + x).relu()
        third = conv[2](second, net.conv3.weight, net.conv3.bias) - x
        fourth = torch.nn.functional.max_pool2d(conv[3](third, net.conv4.weight, net.conv4.bias), 2).relu()
        normalized = torch.nn.functional.local_response_norm(fourth, 3, 1.0, 0.75)
        for name, expected in zip(blobs, (first, second, third, fourth)):
            torch.testing.assert_close(blobs[name], expected)
        torch.testing.assert_close(blobs["norm"], torch.nn.functional.max_pool2d(normalized, 2))

    def test_a_name_that_is_taken(self):
        text = 'layer { name: "a_relu" type: "Convolution" top: "a_fused" convolution_param { } }\n' + (
            'layer { name: "a" type: "Convolution" top: "a" convolution_param { fuse_type: FUSED_CONV_ELTWISE_RELU } }'
        )
        layers = read_net(Source("net", upgraded(text)[0]))[0]["layer"]
        assert [layer["name"] for layer in layers] == ["a_relu", "a", "a_eltwise", "a_relu2"]
        assert layers[1]["top"] == ("a_fused2",)

    @pytest.mark.parametrize(
        "fields", ["fuse_type: UNFUSED", "fuse_type: FUSED_CONV_PRELU", 'fuse_type: FUSED_CONV_RELU } top: "b" p {']
    )
    def test_what_is_not_split(self, fields):
        text = f'layer {{ name: "a" type: "Convolution" top: "a" convolution_param {{ {fields} }} }}'
        assert upgraded(text) == (text, [])


class TestSolver:
    @pytest.mark.parametrize(("old", "new"), [("ADAGRAD", "AdaGrad"), ("1", "Nesterov"), ("SGD", "SGD"), ("5", "Adam")])
    def test_types(self, old, new):
        text = 'net: "n"  # here\nsolver_type: {}  # which\nbase_lr: 1\n'
        printed, found = upgraded(text.format(old))
        assert printed == text.format(f'"{new}"').replace("solver_type", "type")
        assert [(d.code, d.line) for d in found] == [("W036", 2)]

    def test_an_unknown_type_is_kept(self):
        text = "base_lr: 1 solver_type: MAGIC"
        assert upgraded(text)[0] == text

    def test_both(self):
        with pytest.raises(NetcError) as raised:
            netc.upgrade('base_lr: 1\nsolver_type: ADAM\ntype: "Adam"')
        (found,) = raised.value.diagnostics
        assert (found.code, found.line, found.notes) == ("E030", 2, ("`type` is on line 3",))

    def test_the_first_solvers(self):
        text = 'train_net: "a"\ntest_net: "b"\nsolver_mode: 1\nlr_policy: "step"\n'
        fields, report = read(Source("solver", text))
        assert is_solver(fields)
        assert (fields["solver_mode"], report.diagnostics) == ("GPU", [])

    def test_nets_within(self):
        fields, report = read(Source("solver", "base_lr: 1\nnet_param { layers { type: RELU } }"))
        assert fields["net_param"]["layer"][0]["type"] == "ReLU"
        assert [d.code for d in report.diagnostics] == ["W031"]

    @pytest.mark.parametrize("text", ["layers { type: RELU } base_lr: 1", 'input: "a"', "", 'layer { } net: "x"'])
    def test_nets_are_recognized(self, text):
        assert not is_solver(read(Source("net", text))[0])


WORDS = ["layers", "layer", "type", "name", "bottom", "top", "param", "blobs_lr", "weight_decay", "blob_share_mode",
         "input", "input_dim", "input_shape", "dim", "data_param", "transform_param", "scale", "pad", "pool", "source",
         "concat_param", "concat_dim", "solver_type", "base_lr", "net_param", "lr_mult",
         "convolution_param", "fuse_type", "pooling_param"]  # fmt: skip
VALUES = [
    '"conv"',
    '"pool"',
    '"padding"',
    '"data"',
    "DATA",
    "CONVOLUTION",
    "4",
    '"BatchNorm"',
    "1",
    '"a"',
    '"\\9"',
    "BN",
    "FUSED_CONV_RELU",
    "FUSED_CONV_ELTWISE",
    "FUSED_POOL_MAX",
]
GAPS = st.sampled_from([" ", "\n", "\n\n", " # c\n", "\n# c\n", "\r\n  "])


@st.composite
def fields(draw, depth=3):
    """Any nesting of fields that the generations look at, right or wrong."""
    out = []
    for name in draw(st.lists(st.sampled_from(WORDS), max_size=5)):
        kinds = ["scalar", "list", "empty"] + ["message"] * 3 * (depth > 0)
        if name in ("layers", "layer") and depth > 0:
            kinds = ["message", "messages"]
        kind = draw(st.sampled_from(kinds))
        value = {
            "scalar": lambda: ": " + draw(st.sampled_from(VALUES)),
            "list": lambda: ": [" + ", ".join(draw(st.lists(st.sampled_from(VALUES), max_size=4))) + "]",
            "empty": lambda: ": []",
            "message": lambda: " {" + draw(fields(depth - 1)) + "}",
            "messages": lambda: ": [{" + draw(fields(depth - 1)) + "}, {" + draw(fields(depth - 1)) + "}]",
        }[kind]()
        out.append(draw(GAPS) + name + value)
    return "".join(out) + draw(GAPS)


@settings(deadline=None)  # the first V1 layer imports every layer module
@given(fields())
@example('solver_type: ADADELTA input: "conv"')
def test_anything_is_upgraded_once(text):
    """No exception; the printed text is the tree; a second upgrade changes nothing; places are inside the file."""
    _, found = upgraded(text)
    for one in found:
        one.render()
        assert one.span is None or 0 <= one.span.start <= one.span.end <= len(text)
    read(Source("net", text))


@pytest.mark.parametrize(
    "kind", ["conv", "innerproduct", "pool", "relu", "padding", "lrn", "concat", "softmax_loss", ""]
)
def test_a_v0_layer_without_bottoms_and_tops_is_a_diagnostic(kind):
    layer = f'layers {{ layer {{ name: "one" type: "{kind}" num_output: 3 kernelsize: 2 pad: 1 }} }}\n'
    reader = 'layers { layer { name: "two" type: "conv" num_output: 2 kernelsize: 1 } bottom: "one" top: "two" }'
    found = netc.check(Source("net", layer + reader))
    assert [d for d in found if d.severity == "error"]
    assert {d.code for d in found if d.severity == "error"} <= {"E010", "E011", "E020", "E032"}
