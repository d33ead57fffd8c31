"""The messages are BVLC's and Caffe2's, and their plain values are Python's."""

import subprocess
import sys

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool

from netc.schema import as_dict, caffe, caffe2, defaults, descriptor, is_bvlc, is_repeated, new, private

NUMBERS = """
    caffe.BlobShape.dim 1  caffe.BlobProto.data 5  caffe.BlobProto.diff 6  caffe.BlobProto.shape 7
    caffe.BlobProto.double_data 8  caffe.Datum.label 5  caffe.Datum.encoded 7
    caffe.NetParameter.layer 100  caffe.NetParameter.layers 2  caffe.NetParameter.input_dim 4
    caffe.NetParameter.input_shape 8  caffe.SolverParameter.net 24  caffe.SolverParameter.weights 42
    caffe.SolverParameter.layer_wise_reduce 41  caffe.SolverParameter.type 40  caffe.SolverParameter.base_lr 5
    caffe.SolverParameter.stepvalue 34  caffe.SolverParameter.snapshot_format 37  caffe.SolverState.history 3
    caffe.LayerParameter.name 1  caffe.LayerParameter.type 2  caffe.LayerParameter.blobs 7
    caffe.LayerParameter.phase 10  caffe.LayerParameter.propagate_down 11
    caffe.LayerParameter.convolution_param 106  caffe.LayerParameter.batch_norm_param 139
    caffe.LayerParameter.scale_param 142  caffe.LayerParameter.recurrent_param 146
    caffe.LayerParameter.swish_param 147  caffe.LayerParameter.clip_param 148
    caffe.ConvolutionParameter.dilation 18  caffe.ConvolutionParameter.kernel_size 4
    caffe.ConvolutionParameter.stride 6  caffe.PoolingParameter.round_mode 13  caffe.PoolingParameter.pad 4
    caffe.InfogainLossParameter.axis 2  caffe.SPPParameter.engine 6  caffe.V1LayerParameter.type 5
    caffe.V1LayerParameter.blobs 6  caffe.V1LayerParameter.param 1001  caffe.V1LayerParameter.layer 1
    caffe.V0LayerParameter.k 22  caffe.V0LayerParameter.hdf5_output_param 1001
    caffe2.NetDef.op 2  caffe2.OperatorDef.arg 5  caffe2.Argument.ints 6  caffe2.Argument.n 8
    caffe2.TensorProto.float_data 3  caffe2.TensorProto.raw_data 13  caffe2.DeviceOption.device_id 2
""".split()


@pytest.mark.parametrize(("path", "number"), list(zip(NUMBERS[::2], NUMBERS[1::2], strict=True)))
def test_field_numbers(path, number):
    message, _, field = path.rpartition(".")
    assert descriptor(message).fields_by_name[field].number == int(number)


@pytest.mark.parametrize(
    ("message", "fields"),
    [
        ("NetParameter", 9),
        ("SolverParameter", 42),
        ("LayerParameter", 60),
        ("V1LayerParameter", 43),
        ("V0LayerParameter", 38),
        ("ConvolutionParameter", 18),
        ("caffe2.OperatorDef", 12),
    ],
)
def test_no_field_is_missing_or_extra(message, fields):
    assert sum(map(is_bvlc, descriptor(message).fields)) == fields


def values(message, enum):
    return descriptor(message).enum_types_by_name[enum].values_by_name


def test_what_forks_have_beside_bvlc_is_told_by_its_number():
    pooling = descriptor("PoolingParameter").fields_by_name
    assert is_bvlc(pooling["round_mode"])
    assert not is_bvlc(pooling["ceil_mode"])
    assert {"ceil_mode", "avg_include_pad"} <= private("PoolingParameter")
    assert not private("PoolingParameter") & {"pool", "pad", "round_mode"}
    assert is_bvlc(values("V1LayerParameter", "LayerType")["DECONVOLUTION"])
    assert not is_bvlc(values("V1LayerParameter", "LayerType")["UNPOOLING"])
    assert not is_bvlc(values("LossParameter", "NormalizationMode")["PRE_FIXED"])
    assert is_bvlc(caffe.DESCRIPTOR.enum_types_by_name["Phase"].values_by_name["TEST"])
    assert all(map(is_bvlc, descriptor("caffe2.OperatorDef").fields))


def test_messages_of_forks_are_private_altogether():
    assert private("PriorBoxParameter") == {field.name for field in descriptor("PriorBoxParameter").fields}
    corner = values("PriorBoxParameter", "CodeType")["CORNER"]
    assert (corner.number, is_bvlc(corner)) == (1, False)


def test_a_field_that_a_fork_may_repeat_has_one_that_holds_all():
    listed = [
        (m.name, f.name) for m in caffe.DESCRIPTOR.message_types_by_name.values() for f in m.fields if "__" in f.name
    ]
    assert listed == [
        ("SolverParameter", "device_id__list"),
        ("TransformationParameter", "resize_param__list"),
        ("DataParameter", "source__list"),
        *(("PoolingParameter", f"{name}__list") for name in ("kernel_size", "stride", "pad")),
    ]
    for message, name in listed:
        single, every = (descriptor(message).fields_by_name[n] for n in (name.removesuffix("__list"), name))
        assert (single.type, is_repeated(single), is_repeated(every)) == (every.type, False, True)


def test_defaults_are_plain_values():
    pooling = defaults("caffe.PoolingParameter")
    assert pooling["pool"] == "MAX"
    assert pooling["round_mode"] == "CEIL"
    assert pooling["kernel_size"] == 0
    assert pooling["stride"] == 1
    assert pooling["global_pooling"] is False
    convolution = defaults("ConvolutionParameter")
    assert (convolution["pad"], convolution["weight_filler"], convolution["bias_term"]) == ((), None, True)
    assert defaults("FillerParameter")["type"] == "constant"
    assert defaults("LayerParameter")["phase"] == "TRAIN"
    assert defaults("HingeLossParameter")["norm"] == "L1"
    assert defaults("caffe2.Argument")["s"] == b""
    assert defaults("SolverParameter")["delta"] == pytest.approx(1e-8)


def test_defaults_cannot_be_changed_by_a_caller():
    with pytest.raises(TypeError):
        defaults("PoolingParameter")["pool"] = "AVE"


def test_an_unknown_message_is_a_key_error():
    with pytest.raises(KeyError):
        defaults("caffe.NoSuchParameter")


def test_as_dict_gives_what_is_set_in_order_of_numbers():
    layer = caffe.LayerParameter(top=["b", "c"], name="a", phase=caffe.TEST, propagate_down=[True, False])
    layer.pooling_param.SetInParent()
    layer.pooling_param.pool = caffe.PoolingParameter.AVE
    layer.data_param.SetInParent()
    layer.param.add(lr_mult=0.5)
    plain = as_dict(layer)
    assert list(plain) == ["name", "top", "param", "phase", "propagate_down", "data_param", "pooling_param"]
    assert plain["top"] == ("b", "c")
    assert plain["param"] == ({"lr_mult": 0.5},)
    assert plain["phase"] == "TEST"
    assert plain["propagate_down"] == (True, False)
    assert plain["data_param"] == {}
    assert plain["pooling_param"] == {"pool": "AVE"}
    assert as_dict(caffe2.Argument(s=b"\xff", strings=[b"a"])) == {"s": b"\xff", "strings": (b"a",)}
    modes = caffe.V1LayerParameter(blob_share_mode=[1, 0])
    assert as_dict(modes) == {"blob_share_mode": ("PERMISSIVE", "STRICT")}


def test_enums_outside_messages():
    assert (caffe.TRAIN, caffe.TEST, caffe.Phase.Value("TEST")) == (0, 1, 1)
    assert caffe2.DeviceTypeProto.Name(1) == "PROTO_CUDA"
    with pytest.raises(AttributeError, match=r"netc\.schema\.caffe.*NoSuch"):
        caffe.NoSuch  # noqa: B018


def test_new_gives_an_empty_message():
    assert isinstance(new("caffe2.NetDef"), caffe2.NetDef)
    assert new("NetParameter") == caffe.NetParameter()


def test_another_caffe_schema_in_the_process_does_not_clash():
    other = descriptor_pb2.FileDescriptorProto(name="caffe.proto", package="caffe", syntax="proto2")
    other.message_type.add(name="NetParameter").field.add(name="other", number=1, label=1, type=5)
    pool = descriptor_pool.Default()
    pool.AddSerializedFile(other.SerializeToString())
    assert [field.name for field in pool.FindMessageTypeByName("caffe.NetParameter").fields] == ["other"]
    assert "layer" in descriptor("caffe.NetParameter").fields_by_name


def test_the_import_is_light():
    code = "import sys, netc.schema, netc.text; print([m for m in ('torch', 'numpy') if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout == "[]\n"
