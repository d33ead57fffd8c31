"""Nets out of .caffemodel files: what they say of their layers, in any fork's numbers, and what strangers send."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netc.compiler import State, graph_of
from netc.diagnostics import NetcError, Source
from netc.exporters.caffe import net_message
from netc.frontends import read_net
from netc.frontends.caffe.binary import DIALECTS, layouts, numbers, rebuilt
from netc.frontends.caffe.binary.dialects import parameters_of
from netc.schema import caffe, descriptor
from netc.weights.wire import FIXED32, FIXED64, VARINT, delimited, tag, varint
from tests.layers.meanings import register_upsample
from tests.weights.test_hostile import change, mutated, outcome

REFERENCE = Path(__file__).parent.parent / "reference"
NETS = sorted(path.parent.name for path in (REFERENCE / "layers").glob("*/net.prototxt"))


def graph_in(net) -> object:
    definition = read_net(net)
    assert not definition.report.errors, definition.report.errors
    return graph_of(definition, State("TRAIN"))


def saved(folder: Path, data: bytes) -> Path:
    path = folder / "net.caffemodel"
    path.write_bytes(data)
    return path


def layer(kind: str, *fields: bytes, name: str = "one") -> bytes:
    """A V2 layer with raw fields after its own."""
    start = delimited(1, name.encode()) + delimited(2, kind.encode())
    return delimited(100, start + delimited(3, b"data") + delimited(4, b"one") + b"".join(fields))


@pytest.mark.parametrize("name", NETS)
def test_a_net_is_read_back_as_written(name, tmp_path):
    graph = graph_in(REFERENCE / "layers" / name / "net.prototxt")
    written = net_message(graph)
    found = rebuilt(saved(tmp_path, written.SerializeToString()))
    again = net_message(graph_in(Source("again", found.text)))
    assert again == written
    assert (found.dialect, found.evidence, found.skipped) == ("bvlc", (), 0)


def test_v1_and_v0_files(tmp_path):
    found = rebuilt(REFERENCE / "weights" / "v1_weights.caffemodel")
    graph = graph_in(Source("v1", found.text))
    assert [node.layer.type for node in graph.nodes] == "Input Convolution ReLU Pooling InnerProduct Softmax".split()
    inner = caffe.V0LayerParameter(name="conv1", type="conv", num_output=4, kernelsize=3, stride=2)
    net = caffe.NetParameter(name="old", input=["data"], input_dim=[1, 3, 9, 9])
    net.layers.add(layer=inner, bottom=["data"], top=["conv1"])
    graph = graph_in(Source("v0", rebuilt(saved(tmp_path, net.SerializeToString())).text))
    assert [node.layer.type for node in graph.nodes] == ["Input", "Convolution"]
    assert graph.shape("conv1") == (1, 4, 4, 4)


@pytest.mark.parametrize("v1", [False, True], ids=["V2", "V1"])
def test_the_number_of_blobs_selects_the_meaning_of_a_layer_type(v1, tmp_path, monkeypatch):
    _, _, weighted = register_upsample(monkeypatch)
    net = caffe.NetParameter(input=["data"], input_dim=[1, 3, 9, 9])
    new = net.layers.add if v1 else net.layer.add
    new(name="learned", bottom=["data"], top=["learned"]).blobs.add(data=[1])
    new(name="plain", bottom=["data"], top=["plain"])
    for layer in net.layers if v1 else net.layer:
        layer.type = caffe.V1LayerParameter.UPSAMPLE if v1 else "Upsample"
    definition = read_net(saved(tmp_path, net.SerializeToString()))
    graph, report = definition.graph(State("TEST"))
    assert [type(node.layer) for node in graph.nodes if node.name == "learned"] == [weighted]
    assert [(d.code, d.message) for d in report.errors] == [
        ("E014", "no meaning of layer type `Upsample` fits this layer")
    ]
    text = Source("net.prototxt", rebuilt(tmp_path / "net.caffemodel").text)
    assert len(read_net(text).graph(State("TEST"))[1].errors) == 2


def test_blobs_are_counted_for_layers_with_unique_names(tmp_path):
    net = caffe.NetParameter()
    for name, count in (("one", 2), ("none", 0), ("twice", 1), ("twice", 1)):
        added = net.layer.add(name=name, type="ReLU", bottom=["data"], top=[name])
        for _ in range(count):
            added.blobs.add(data=[1, 2])
    assert rebuilt(saved(tmp_path, net.SerializeToString())).blobs == {"one": 2, "none": 0}
    v0 = caffe.NetParameter(name="old", input=["data"], input_dim=[1, 3, 9, 9])
    inner = caffe.V0LayerParameter(name="relu", type="relu")
    v0.layers.add(layer=inner, bottom=["data"], top=["top"])
    assert rebuilt(saved(tmp_path, v0.SerializeToString())).blobs == {}


@pytest.mark.parametrize(
    ("kind", "number", "parameters", "dialect", "word"),
    [(43, 45, tag(3, VARINT) + b"\x01", "deconvnet", "bn_mode: INFERENCE"),
     (42, 44, b"", "deconvnet", "type: UNPOOLING"),
     (39, 41, tag(4, VARINT) + b"\x01", "chenglong", "moving_average: true"),
     (38, 40, b"", "chenglong", "type: PRELU"),
     (30, 10, tag(6, VARINT) + b"\x03" + tag(7, VARINT) + b"\x02", "c3d_old", "kernel_depth: 3"),
     (31, 19, tag(6, VARINT) + b"\x02", "c3d_old", "temporal_stride: 2"),
     (39, 10, tag(6, VARINT) + b"\x03", "bvlc", "type: DECONVOLUTION"),
     (38, 41, b"", "bvlc", "type: EXP")],
)  # fmt: skip
def test_the_dialect_of_v1_files_is_inferred_from_type_numbers(kind, number, parameters, dialect, word, tmp_path):
    start = delimited(2, b"data") + delimited(3, b"one") + delimited(4, b"one") + tag(5, VARINT) + varint(kind)
    found = rebuilt(saved(tmp_path, delimited(2, start + delimited(number, parameters))))
    assert found.dialect == dialect
    assert word in found.text


@pytest.mark.parametrize(
    ("kind", "number", "dialect"),
    [("BN", 45, "segnet"), ("BN", 137, "yjxiong"), ("BN", 139, "happynear"), ("BN", 144, "ctpn"), ("BN", 152, "pspnet"),
     ("Interp", 143, "pspnet"), ("Interp", 153, "deeplab2"), ("Interp", 162, "caffe_ocr"), ("Interp", 163, "synopsys"),
     ("Interp", 205, "ncnn"), ("Interp", 166, "caffe2onnx"), ("Interp", 217, "openvino"), ("Interp", 2210, "mnn"),
     ("ROIPooling", 8266711, "fast_rcnn"), ("ROIPooling", 150, "yjxiong"), ("ROIPooling", 154, "intel"),
     ("ROIPooling", 143, "happynear"), ("SmoothL1Loss", 8266712, "fast_rcnn"), ("SmoothL1Loss", 148, "intel"),
     ("PSROIPooling", 10001, "rfcn"), ("PSROIPooling", 153, "intel"), ("Scale", 160, "yjxiong"), ("LSTM", 134, "lrcn"),
     ("BatchNorm", 139, "bvlc"), ("Scale", 142, "bvlc"), ("PriorBox", 203, "ssd"), ("PriorBox", 8784, "tensorrt")],
)  # fmt: skip
def test_a_dialect_is_inferred_from_type_and_number(kind, number, dialect, tmp_path):
    found = rebuilt(saved(tmp_path, layer(kind, delimited(number, b""))))
    assert found.dialect == dialect
    assert f"{parameters_of(kind)} {{" in found.text
    assert bool(found.evidence) == (dialect != "bvlc")


def test_values_are_read_in_the_dialect(tmp_path):
    frozen = tag(3, FIXED32) + np.float32(0.95).tobytes() + tag(5, VARINT) + b"\x01"
    hole = tag(16, VARINT) + b"\x02" + tag(1, VARINT) + b"\x04" + tag(4, VARINT) + b"\x03"
    bn, convolution = layer("BN", delimited(137, frozen)), layer("Convolution", delimited(106, hole), name="dilated")
    path = saved(tmp_path, bn + convolution)
    text = rebuilt(path).text
    assert "momentum: 0.95\n" in text
    assert "frozen: true\n" in text
    assert "dilation: 2\n" in text
    assert "axis" not in text
    assert "axis: 2\n" in rebuilt(path, "bvlc").text


def test_an_explicit_dialect_takes_precedence(tmp_path):
    path = saved(tmp_path, layer("BN", delimited(45, tag(3, VARINT) + b"\x01")))
    assert "bn_mode: INFERENCE" in rebuilt(path).text
    other = rebuilt(path, "pspnet")
    assert "bn_param" not in other.text
    assert (other.dialect, other.evidence, other.skipped) == ("pspnet", (), 1)
    with pytest.raises(NetcError, match="unknown dialect `segnett`") as caught:
        rebuilt(path, "segnett")
    assert "segnet" in caught.value.diagnostics[0].help


def test_foreign_messages_are_not_parameters_of_the_type(tmp_path):
    contested = [delimited(number, b"\x0a\x00\x08\x01") for number in sorted(numbers.V2) if number >= 130]
    found = rebuilt(saved(tmp_path, layer("Convolution", delimited(106, tag(1, VARINT) + b"\x04"), *contested)))
    assert [line for line in found.text.split("\n") if "_param" in line] == ["  convolution_param {"]
    assert found.skipped == len(contested)


def test_fields_added_by_caffe_are_removed(tmp_path):
    net = caffe.NetParameter()
    net.layer.add(name="data", type="Input", top=["data"], phase=0, include=[{"phase": 0}])
    net.layer.add(
        name="data_data_0_split", type="Split", bottom=["data"], top=["data_data_0_split_0", "data_data_0_split_1"]
    )
    net.layer.add(name="relu", type="ReLU", bottom=["data_data_0_split_0"], top=["relu"])
    net.layer.add(name="sum", type="Eltwise", bottom=["data_data_0_split_1", "relu"], top=["sum"])
    net.layer.add(name="mine", type="Split", bottom=["sum"], top=["a", "b"])
    text = rebuilt(saved(tmp_path, net.SerializeToString())).text
    assert "_split" not in text
    assert "phase" not in text
    assert 'name: "mine"' in text
    fields = read_net(Source("again", text)).fields
    assert [one["bottom"] for one in fields["layer"][1:3]] == [("data",), ("data", "relu")]


def test_rules_that_were_not_applied_are_kept(tmp_path):
    net = caffe.NetParameter()
    for phase in (0, 1):
        net.layer.add(name="data", type="Input", top=["data"], include=[{"phase": phase}])
    net.layer.add(name="relu", type="ReLU", bottom=["data"], top=["relu"])
    text = rebuilt(saved(tmp_path, net.SerializeToString())).text
    assert text.count("phase: TRAIN") == text.count("phase: TEST") == 1


@pytest.mark.parametrize(
    ("data", "why"),
    [(delimited(100, delimited(1, b"a") + delimited(2, b"ReLU")), "has a bottom"),
     ((REFERENCE / "weights" / "sgd.caffemodel.h5").read_bytes(), "HDF5")],
)  # fmt: skip
def test_a_file_without_a_net_is_reported(data, why, tmp_path):
    with pytest.raises(NetcError, match=why) as caught:
        rebuilt(saved(tmp_path, data))
    assert caught.value.diagnostics[0].code == "E806"


def test_the_tables_name_fields_and_dialects_that_there_are():
    names = {field.name for field in descriptor("LayerParameter").fields}
    used = {(field, fork) for table in (numbers.V2,) for meaning in table.values() for fork, field in meaning.items()}
    assert {field for field, _ in used} <= names
    assert {fork for _, fork in used} <= set(DIALECTS)
    for tables in (layouts.COMMON, *layouts.BY_DIALECT.values()):
        for message, fields in tables.items():
            assert set(fields.values()) <= {field.name for field in descriptor(message).fields}, message
    assert set(layouts.BY_DIALECT) | set(layouts.V1_TYPES) | set(layouts.ENUMS) <= set(DIALECTS)
    types = caffe.V1LayerParameter.DESCRIPTOR.enum_types_by_name["LayerType"].values_by_name
    assert {word for words in layouts.V1_TYPES.values() for word in words.values()} <= set(types)


CASES = [(REFERENCE / "weights" / f"{name}.caffemodel").read_bytes() for name in ("convbn", "ssd", "v1_weights")]


@settings(max_examples=300, deadline=None)
@given(data=st.sampled_from(CASES), changes=st.lists(change, min_size=1, max_size=6))
def test_mutated_files_give_a_net_or_an_error(data, changes, tmp_path_factory):
    found, code = outcome(rebuilt, saved(tmp_path_factory.getbasetemp(), mutated(data, changes)))
    assert code in {None, "E401", "E402", "E403", "E404", "E405", "E806"}
    assert found is None or found.dialect in DIALECTS


@settings(max_examples=200, deadline=None)
@given(data=st.binary(max_size=120), number=st.sampled_from([*sorted(numbers.V2), 1, 2, 3, 5, 6, 8, 100, 106, 121]))
def test_any_bytes_within_a_layer(data, number, tmp_path_factory):
    path = saved(tmp_path_factory.getbasetemp(), layer("BN", delimited(number, data)))
    found, code = outcome(rebuilt, path)
    assert code in {None, "E403", "E405"}
    if found is not None:
        read_net(Source("found", found.text))


BOMBS = {
    "empty layers": delimited(100, b"") * 400_000,
    "many types": b"".join(delimited(100, delimited(2, str(i).encode()) + delimited(149, b"")) for i in range(60_000)),
    "a long list": layer("Reshape", delimited(133, delimited(1, delimited(1, bytes(20 << 20))))),
    "a long name": layer("ReLU", delimited(4, b"x" * (20 << 20))),
    "floats": layer("ReLU", delimited(5, bytes(80 << 20))),
    "groups": layer("ReLU", b"".join(tag(300, 3) for _ in range(5000))),
    "a length that overruns": layer("ReLU") + tag(100, 2) + varint(1 << 40),
}


@pytest.mark.parametrize("name", BOMBS)
@pytest.mark.slow
def test_bombs_are_rejected(name, tmp_path):
    with pytest.raises(NetcError) as caught:
        rebuilt(saved(tmp_path, BOMBS[name]))
    assert caught.value.diagnostics[0].code in {"E402", "E403", "E405", "E806"}


def test_wrong_wire_types_are_skipped(tmp_path):
    strange = tag(106, VARINT) + b"\x05" + tag(8, FIXED64) + bytes(8) + tag(10, FIXED32) + bytes(4)
    found = rebuilt(saved(tmp_path, layer("Convolution", strange)))
    assert found.skipped == 3
    assert "convolution_param" not in found.text
