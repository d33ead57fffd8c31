import pytest

import netc.pycaffe as caffe
from netc.diagnostics import NetcError
from netc.pycaffe import NetSpec, to_proto
from netc.pycaffe import layers as L
from netc.pycaffe import params as P
from netc.pycaffe.net_spec import assign_proto, param_name_dict
from netc.pycaffe.proto import caffe_pb2


def lenet():
    n = NetSpec()
    n.data, n.label = L.DummyData(ntop=2, shape=[{"dim": [4, 1, 12, 10]}, {"dim": [4]}])
    n.conv1 = L.Convolution(n.data, kernel_size=5, num_output=6, weight_filler={"type": "xavier"})
    n.pool1 = L.Pooling(n.conv1, kernel_size=2, stride=2, pool=P.Pooling.MAX)
    n.ip1 = L.InnerProduct(n.pool1, num_output=7, param=[{"lr_mult": 1}, {"lr_mult": 2, "decay_mult": 0}])
    n.relu1 = L.ReLU(n.ip1, in_place=True)
    n.loss = L.SoftmaxWithLoss(n.relu1, n.label, loss_weight=2)
    return n


def test_a_net_is_written_layer_by_layer():
    net = lenet().to_proto()
    assert [(x.name, x.type, list(x.bottom), list(x.top)) for x in net.layer] == [
        ("data", "DummyData", [], ["data", "label"]),
        ("conv1", "Convolution", ["data"], ["conv1"]),
        ("pool1", "Pooling", ["conv1"], ["pool1"]),
        ("ip1", "InnerProduct", ["pool1"], ["ip1"]),
        ("relu1", "ReLU", ["ip1"], ["ip1"]),
        ("loss", "SoftmaxWithLoss", ["ip1", "label"], ["loss"]),
    ]


def test_parameters_are_written_to_the_right_message():
    layers = {layer.name: layer for layer in lenet().to_proto().layer}
    assert list(layers["conv1"].convolution_param.kernel_size) == [5]
    assert layers["conv1"].convolution_param.weight_filler.type == "xavier"
    assert layers["pool1"].pooling_param.pool == P.Pooling.MAX == caffe_pb2.PoolingParameter.MAX
    assert [(p.lr_mult, p.decay_mult) for p in layers["ip1"].param] == [(1, 1), (2, 0)]
    assert list(layers["loss"].loss_weight) == [2]
    assert [list(shape.dim) for shape in layers["data"].dummy_data_param.shape] == [[4, 1, 12, 10], [4]]


def test_the_printed_net_runs(tmp_path):
    path = tmp_path / "net.prototxt"
    path.write_text(str(lenet().to_proto()))
    net = caffe.Net(str(path), caffe.TRAIN)
    assert net.blobs["ip1"].shape == (4, 7)
    net.forward()
    assert net.blobs["loss"].data > 0


def test_blobs_without_a_name_are_called_after_their_type():
    data = L.Input(shape={"dim": [2, 3]})
    net = to_proto(L.Concat(L.ReLU(data), L.ReLU(data), data))
    assert [layer.name for layer in net.layer] == ["Input1", "ReLU1", "ReLU2", "Concat1"]
    assert list(net.layer[3].bottom) == ["ReLU1", "ReLU2", "Input1"]


def test_a_layer_without_tops():
    n = NetSpec()
    n["data"] = L.Input(shape={"dim": [2, 3]})
    n.quiet = L.Silence(n.data, ntop=0)
    net = n.to_proto()
    assert [(layer.name, list(layer.top)) for layer in net.layer] == [("data", ["data"]), ("quiet", [])]


def test_fields_of_the_layer_itself():
    n = NetSpec()
    n.data = L.Input(shape={"dim": [2, 3]}, include={"phase": caffe.TEST})
    assert n.to_proto().layer[0].include[0].phase == caffe.TEST


@pytest.mark.parametrize(
    ("make", "message", "help"),
    [
        (
            lambda: L.Convolution(kernel_sice=3),
            "`Convolution` has no parameter `kernel_sice`",
            "did you mean `kernel_size`?",
        ),
        (
            lambda: L.Convolution(weight_filler={"tipe": "x"}),
            "`FillerParameter` has no field `tipe`",
            "did you mean `type`?",
        ),
    ],
)
def test_a_misspelled_parameter_is_an_error(make, message, help):
    with pytest.raises(NetcError) as caught:
        to_proto(make())
    assert isinstance(caught.value, AttributeError)
    assert caught.value.diagnostics[0].message == message
    assert caught.value.diagnostics[0].help == help


def test_a_bottom_that_is_not_a_top_is_an_error():
    with pytest.raises(TypeError, match=r"^Concat input 1 is not a Top \(type is <class 'str'>\)$"):
        L.Concat(L.ReLU(), "data")


def test_a_top_that_was_never_set_is_an_attribute_error():
    with pytest.raises(AttributeError, match="conv9"):
        lenet().conv9  # noqa: B018


@pytest.mark.parametrize(
    ("top", "field", "values"),
    [
        (lambda: L.Data(source="db", backend=P.Data.LMDB, ntop=2), "data_param", {"source": "db", "backend": 1}),
        (lambda: L.ImageData(source="a.txt", new_height=9), "image_data_param", {"source": "a.txt", "new_height": 9}),
        (lambda: L.MemoryData(batch_size=2, width=5), "memory_data_param", {"batch_size": 2, "width": 5}),
        (lambda: L.WindowData(fg_fraction=0.25), "window_data_param", {"fg_fraction": 0.25}),
        (lambda: L.HDF5Data(source="list.txt"), "hdf5_data_param", {"source": "list.txt"}),
        (lambda: L.InfogainLoss(L.ReLU(), L.ReLU(), source="h"), "infogain_loss_param", {"source": "h"}),
        (lambda: L.LSTM(L.ReLU(), num_output=7), "recurrent_param", {"num_output": 7}),
        (lambda: L.Deconvolution(L.ReLU(), num_output=7), "convolution_param", {"num_output": 7}),
        (lambda: L.Python(module="m", layer="C"), "python_param", {"module": "m", "layer": "C"}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_parameters_of_each_kind_of_layer(top, field, values):
    made = top()
    layer = to_proto(*(made if isinstance(made, tuple) else (made,))).layer[-1]
    message = getattr(layer, field)
    assert {name: getattr(message, name) for name in values} == values
    assert [f.name for f, _ in layer.ListFields()][-1] == field


def test_names_and_tops_as_lists_and_update():
    n, other = lenet(), NetSpec()
    other.extra = L.ReLU(n.conv1)
    n.update(other)
    n.update({"more": L.ReLU(n.extra)})
    assert n.keys() == ["data", "label", "conv1", "pool1", "ip1", "relu1", "loss", "extra", "more"]
    assert n.keys()[-1] == "more"
    assert n.vals()[-2] is n.values()[-2] is n.tops["extra"] is other.extra
    assert "extra" in n
    assert n.to_proto().layer[-1].bottom[0] == "extra"
    del n["more"]
    assert "more" not in n


def test_assign_proto_and_the_names_of_parameters():
    layer = caffe_pb2.LayerParameter()
    assign_proto(layer, "convolution_param", {"kernel_size": 3, "weight_filler": {"type": "msra"}})
    assign_proto(layer, "param", [{"lr_mult": 2}, {"lr_mult": 4}])
    assign_proto(layer, "name", "conv")
    assert list(layer.convolution_param.kernel_size) == [3]
    assert [p.lr_mult for p in layer.param] == [2, 4]
    names = param_name_dict()
    assert (names["ImageData"], names["Convolution"], names["HDF5Output"]) == (
        "image_data",
        "convolution",
        "hdf5_output",
    )


def test_the_field_of_a_type_is_found_as_by_bvlcs_net_spec():
    """It reads the descriptor of `caffe_pb2`, in which a later field of the same message takes precedence."""
    from netc.pycaffe.proto import caffe_pb2

    fields = [field for field in caffe_pb2.LayerParameter.DESCRIPTOR.fields if field.name.endswith("_param")]
    found = {field.message_type.name.removesuffix("Parameter"): field for field in fields}
    assert found["ImageData"].name == "image_data_param"
    bvlc = {field.name for field in fields if field.number < 150}
    assert {
        found[field.message_type.name.removesuffix("Parameter")].name for field in fields if field.name in bvlc
    } == bvlc
    assert len(bvlc) > 45
