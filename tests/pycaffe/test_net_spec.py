import pytest

import netc.pycaffe as caffe
from netc.diagnostics import NetcError
from netc.pycaffe import NetSpec, to_proto
from netc.pycaffe import layers as L
from netc.pycaffe import params as P
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
    assert caught.value.diagnostics[0].message == message
    assert caught.value.diagnostics[0].help == help


def test_a_bottom_that_is_not_a_top_is_an_error():
    with pytest.raises(NetcError, match="expected a top as input 1 of `Concat`, got str"):
        L.Concat(L.ReLU(), "data")


def test_a_top_that_was_never_set_is_an_attribute_error():
    with pytest.raises(AttributeError, match="conv9"):
        lenet().conv9  # noqa: B018
