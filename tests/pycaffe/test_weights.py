import numpy as np
import pytest

import netc.pycaffe as caffe
from netc.diagnostics import NetcWarning
from netc.pycaffe.proto import caffe_pb2
from tests.pycaffe.nets import MLP, fill


def weights(net):
    return [blob.data.copy() for blobs in net.params.values() for blob in blobs]


@pytest.mark.parametrize("ending", ["caffemodel", "h5"])
def test_weights_are_written_and_read_back(load, ending):
    net, other = load(MLP), load(MLP)
    (net.save if ending == "caffemodel" else net.save_hdf5)(f"weights.{ending}")
    assert any((a != b).any() for a, b in zip(weights(net), weights(other)))
    other.copy_from(f"weights.{ending}")
    for one, two in zip(weights(net), weights(other)):
        np.testing.assert_array_equal(one, two)


def test_each_form_of_the_constructor_loads_weights(load, tmp_path):
    net = load(MLP)
    net.save("w.caffemodel")
    path = str(tmp_path / "net1.prototxt")
    forms = [
        caffe.Net(path, "w.caffemodel", caffe.TEST),
        caffe.Net(path, caffe.TEST, weights="w.caffemodel"),
        caffe.Net(path, caffe.TEST, 0, [], "w.caffemodel"),
        caffe.Net(network_file=path, phase=caffe.TEST, weights="w.caffemodel"),
    ]
    for form in forms:
        for one, two in zip(weights(net), weights(form)):
            np.testing.assert_array_equal(one, two)


def test_gradients_are_saved_on_request(load):
    from netc.weights import read

    net = fill(load(MLP, caffe.TRAIN))
    net.forward()
    net.backward()
    net.save_hdf5("w.h5", True)
    np.testing.assert_array_equal(read("w.h5").by_name["ip2"].blobs[0].diff, net.params["ip2"][0].diff)


def test_layers_in_only_one_net_are_skipped(load):
    net, other = load(MLP), load(MLP.replace('name: "ip2"', 'name: "fresh"'))
    net.save("w.caffemodel")
    kept = other.params["fresh"][0].data.copy()
    other.copy_from("w.caffemodel")
    np.testing.assert_array_equal(other.params["ip1"][0].data, net.params["ip1"][0].data)
    np.testing.assert_array_equal(other.params["fresh"][0].data, kept)


def test_weights_that_fit_no_layer_cause_a_warning(load, tmp_path, recwarn):
    load(MLP.replace('name: "ip', 'name: "other')).save("other.caffemodel")
    net = load(MLP)
    path = str(max(tmp_path.glob("net*.prototxt")))
    for use in (net.copy_from, lambda file: caffe.Net(path, file, caffe.TEST)):
        use("other.caffemodel")
        found = recwarn.pop(NetcWarning)
        assert found.filename == __file__
        assert found.message.diagnostic.code == "W411"
    net.save("own.caffemodel")
    net.copy_from("own.caffemodel")
    assert not recwarn.list


def test_shared_weights_are_one_memory(load):
    one, other = load(MLP), load(MLP)
    other.share_with(one)
    one.params["ip1"][0].data[...] = 7
    assert (other.params["ip1"][0].data == 7).all()
    fill(other).forward()
    other.params["ip2"][1].data[...] = -3
    assert (one.params["ip2"][1].data == -3).all()


def test_blobs_shared_by_name_are_one_memory(load):
    text = MLP.replace("num_output: 6", "num_output: 3").replace("num_output: 5", "num_output: 3")
    text = text.replace('top: "ip1"\n', 'top: "ip1" param { name: "w" }\n').replace(
        'top: "ip2"\n', 'top: "ip2" param { name: "w" }\n'
    )
    net = fill(load(text, caffe.TRAIN))
    net.params["ip1"][0].data[0, 0] = 42
    assert net.params["ip2"][0].data[0, 0] == 42
    net.blobs["label"].data[...] = 1
    net.forward()
    net.backward()
    np.testing.assert_array_equal(net.params["ip1"][0].diff, net.params["ip2"][0].diff)
    assert net.params["ip1"][0].diff.any()


def test_a_saved_net_has_its_layers_whole(load, tmp_path):
    net = load(MLP)
    net.save("whole.caffemodel")
    saved = caffe_pb2.NetParameter.FromString((tmp_path / "whole.caffemodel").read_bytes())
    file = [layer for layer in net._layer_names if not layer.endswith("_split")]
    assert [layer.name for layer in saved.layer] == file
    assert [list(layer.top) for layer in saved.layer] == [net.top_names[name] for name in file]
    assert [list(layer.bottom) for layer in saved.layer][-3:] == [["ip1"], ["ip2", "label"], ["ip2", "label"]]
    assert {layer.phase for layer in saved.layer} == {caffe.TEST}
    products = [layer for layer in saved.layer if layer.type == "InnerProduct"]
    assert all(layer.inner_product_param.num_output and len(layer.blobs) == 2 for layer in products)
    again = caffe.Net("whole.caffemodel", caffe.TEST)
    np.testing.assert_array_equal(again.params["ip1"][0].data, net.params["ip1"][0].data)
