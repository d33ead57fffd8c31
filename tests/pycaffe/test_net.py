import numpy as np
import pytest
import torch

import netc.pycaffe as caffe
from netc.diagnostics import NetcError
from tests.pycaffe.nets import CONV, MLP, error, fill


def test_names_and_properties_of_a_net(load):
    net = load(MLP, caffe.TRAIN)
    assert net.inputs == ["data", "label"]
    assert net.outputs == ["loss"]
    assert list(net.blobs) == ["data", "label", "ip1", "ip2", "loss"]
    assert list(net.params) == ["ip1", "ip2"]
    assert net._layer_names == ["data", "label", "ip1", "relu1", "ip2", "loss"]
    assert [layer.type for layer in net.layers][2:5] == ["InnerProduct", "ReLU", "InnerProduct"]
    assert [blob.shape for blob in net.layers[2].blobs] == [(6, 3), (6,)]
    assert net.layer_dict["ip2"] is net.layers[4]
    assert net.top_names["relu1"] == ["ip1"]
    assert net.bottom_names["loss"] == ["ip2", "label"]
    assert dict(net.blob_loss_weights) == {**dict.fromkeys(net.blobs, 0.0), "loss": 2.0}
    assert net._blob_loss_weights == [0, 0, 0, 0, 2]


def test_programs_that_access_a_net_by_index(load):
    net = load(MLP, caffe.TRAIN)
    assert (net._inputs, net._outputs) == ([0, 1], [4])
    assert [net._bottom_ids(layer) for layer in (0, 3, 5)] == [[], [2], [3, 1]]
    assert [net._top_ids(layer) for layer in (0, 3, 5)] == [[0], [2], [4]]


class TestSplits:
    """The layers and blobs that Caffe inserts between a blob and its readers."""

    LABELS = [f"label_label_0_split_{i}" for i in (0, 1)]
    SCORES = [f"ip2_ip2_0_split_{i}" for i in (0, 1)]

    def test_names_are_caffes(self, load):
        net = load(MLP)
        assert list(net.blobs) == ["data", "label", *self.LABELS, "ip1", "ip2", *self.SCORES, "loss", "accuracy"]
        assert net._layer_names == [
            *["data", "label", "label_label_0_split", "ip1", "relu1", "ip2", "ip2_ip2_0_split", "loss", "accuracy"]
        ]
        assert net.layer_dict["ip2_ip2_0_split"].type == "Split"
        assert len(net.layer_dict["ip2_ip2_0_split"].blobs) == 0
        assert net.bottom_names["loss"] == [self.SCORES[0], self.LABELS[0]]
        assert net.bottom_names["accuracy"] == [self.SCORES[1], self.LABELS[1]]
        assert net.top_names["ip2_ip2_0_split"] == self.SCORES
        assert net.outputs == ["accuracy", "loss"]
        assert (net._inputs, net._outputs) == ([0, 1], [9, 8])
        assert list(net.params) == ["ip1", "ip2"]

    def test_tops_are_the_memory_of_the_bottom_with_a_gradient_of_their_own(self, load):
        net = fill(load(MLP))
        net.forward()
        for name in self.SCORES:
            assert np.shares_memory(net.blobs[name].data, net.blobs["ip2"].data)
        net.blobs[self.SCORES[1]].diff[...] = 7
        assert not net.blobs[self.SCORES[0]].diff.any()
        net.backward()
        scores = [net.blobs[name].diff for name in (*self.SCORES, "ip2")]
        np.testing.assert_allclose(scores[2], scores[0] + 7, rtol=1e-6)

    def test_a_gradient_is_summed_when_the_split_runs(self, load):
        net = fill(load(MLP))
        net.forward()
        assert list(net.backward(end="loss")) == [self.SCORES[0], self.LABELS[0]]
        assert net.blobs[self.SCORES[0]].diff.any()
        assert not net.blobs["ip2"].diff.any()
        assert net.backward(start="ip2_ip2_0_split", end="ip2_ip2_0_split")["ip2"].any()

    def test_shapes_follow_the_bottom(self, load):
        net = load(MLP)
        for batch in (7, 2):
            net.blobs["data"].reshape(batch, 3)
            net.blobs["label"].reshape(batch)
            net.reshape()
            assert net.blobs[self.SCORES[1]].shape == net.blobs[self.SCORES[1]].diff.shape == (batch, 5)
            fill(net).forward()
            net.backward()
            assert net.blobs["ip2"].diff.shape == (batch, 5)


def test_the_phase_chooses_layers(load):
    assert load(MLP, caffe.TRAIN).outputs == ["loss"]


def test_level_and_stages_choose_layers(load):
    assert "prob" not in load(CONV).blobs
    assert "prob" not in load(CONV, stages=["deploy"]).blobs
    assert "prob" in load(CONV, level=1, stages=["deploy"]).blobs


def test_a_loss_without_a_name_is_not_an_output(load):
    net = load(MLP.replace('top: "loss"', ""), caffe.TRAIN)
    assert net.outputs == []
    assert "(automatic)" in net.blobs
    fill(net).forward()
    assert net.blobs["(automatic)"].data > 0


def test_extents_of_blobs(load):
    blob = load(CONV).blobs["conv"]
    assert (blob.num, blob.channels, blob.height, blob.width, blob.count) == (2, 5, 6, 4, 240)
    assert blob.shape == blob.data.shape == blob.diff.shape == (2, 5, 6, 4)


def test_blobs_of_fewer_axes_have_legacy_extents_of_one(load):
    blob = load(MLP).params["ip1"][0]
    assert (blob.num, blob.channels, blob.height, blob.width) == (6, 3, 1, 1)


def test_a_missing_phase_is_an_error(load, tmp_path):
    load(MLP)
    with pytest.raises(TypeError, match="phase is TRAIN or TEST"):
        caffe.Net(str(tmp_path / "net1.prototxt"))


def test_every_error_of_the_file_is_reported(load):
    text = MLP.replace("num_output: 6", "num_output: 0").replace('type: "Accuracy"', 'type: "Accurate"')
    with pytest.raises(NetcError) as caught:
        load(text)
    assert sorted(d.code for d in caught.value.diagnostics) == ["E010", "E103"]


def test_a_net_accepts_another_size(load):
    net = fill(load(CONV))
    net.forward()
    net.blobs["data"].reshape(1, 3, 12, 10)
    net.reshape()
    assert net.blobs["conv"].shape == (1, 5, 10, 8)
    assert net.blobs["pool"].shape == (1, 5, 5, 4)
    fill(net).forward()
    expected = torch.nn.functional.conv2d(
        *map(torch.from_numpy, (net.blobs["data"].data, *(b.data for b in net.params["conv"])))
    )
    np.testing.assert_allclose(net.blobs["conv"].data, expected, rtol=1e-4, atol=1e-5)


def test_a_forward_pass_reshapes_by_itself(load):
    net = load(CONV)
    net.blobs["data"].reshape(3, 3, 8, 6)
    assert fill(net).forward()["pool"].shape == (3, 5, 3, 2)


def test_a_size_that_a_layer_rejects_is_an_error_with_its_name(load):
    net = load(MLP)
    net.blobs["data"].reshape(4, 7)
    found = error(net.reshape)
    assert found.message == "expected blob 0 of shape [6,7] for these bottoms, got [6,3]"
    assert found.notes == ("in layer `ip1`, bottoms: data[4,7]",)
    assert found.line == 6


def test_a_weight_of_as_many_values_is_the_same_weight(load):
    net = fill(load(MLP))
    before, weight = net.forward()["loss"].copy(), net.params["ip1"][0]
    values = weight.data.copy()
    weight.reshape(1, 1, 6, 3)
    assert weight.shape == weight.data.shape == weight.diff.shape == (1, 1, 6, 3)
    np.testing.assert_array_equal(weight.data[0, 0], values)
    assert net.forward()["loss"] == before


def test_channels_are_pruned(load):
    """Scripts keep some channels of a layer and save them for a smaller net."""
    kept = [0, 2, 3, 5]
    net = fill(load(MLP))
    values = {name: [blob.data.copy() for blob in blobs] for name, blobs in net.params.items()}
    net.params["ip1"][0].reshape(4, 3)
    net.params["ip1"][1].reshape(4)
    net.params["ip2"][0].reshape(5, 4)
    assert net.params["ip1"][0].data.shape == net.params["ip1"][0].diff.shape == (4, 3)
    assert not net.params["ip1"][0].data.any()
    net.params["ip1"][0].data[...] = values["ip1"][0][kept]
    net.params["ip1"][1].data[...] = values["ip1"][1][kept]
    net.params["ip2"][0].data[...] = values["ip2"][0][:, kept]
    found = error(net.forward)
    assert found.code == "E304"
    assert found.message == "blob 0 of layer `ip1` was reshaped to [4,3]: the layer runs with [6,3]"
    net.save("pruned.caffemodel")
    small = fill(load(MLP.replace("num_output: 6", "num_output: 4"), weights="pruned.caffemodel"))
    small.forward()
    hidden = np.maximum(small.blobs["data"].data @ values["ip1"][0][kept].T + values["ip1"][1][kept], 0)
    scores = hidden @ values["ip2"][0][:, kept].T + values["ip2"][1]
    np.testing.assert_allclose(small.blobs["ip2"].data, scores, rtol=1e-5, atol=1e-6)


def test_old_positional_arguments_warn_as_in_caffe(load, capsys):
    net = load(MLP)
    net.save("w.caffemodel")
    capsys.readouterr()
    caffe.Net("net1.prototxt", caffe.TEST, weights="w.caffemodel")
    assert "DEPRECATION" not in capsys.readouterr().err
    caffe.Net("net1.prototxt", "w.caffemodel", caffe.TEST)
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition("] ")[2] for line in lines] == [
        "DEPRECATION WARNING - deprecated use of Python interface",
        'Use this instead (with the named "weights" parameter):',
        "Net('net1.prototxt', 1, weights='w.caffemodel')",
    ]
    assert all(line.startswith("W") for line in lines)


def test_an_unknown_blob_is_a_key_error(load):
    net = load(MLP)
    with pytest.raises(KeyError, match="the net has no blob `ip3`"):
        net.forward(blobs=["ip3"])
    with pytest.raises(ValueError, match="no layer `ip3`"):
        net.forward(end="ip3")


def test_paths_may_be_bytes(load, tmp_path):
    net = load(MLP)
    net.save(b"bytes.caffemodel")
    other = caffe.Net(b"net1.prototxt", b"bytes.caffemodel", caffe.TEST)
    net.copy_from(b"bytes.caffemodel")
    np.testing.assert_array_equal(other.params["ip1"][0].data, net.params["ip1"][0].data)


def test_a_label_out_of_range_names_layer_and_value(load):
    net = fill(load(MLP))
    net.blobs["label"].data[...] = [0, 1, 7, 2]
    found = error(net.forward)
    assert found.code == "E301"
    assert "7" in found.message
    assert found.notes == ("in layer `loss`",)


def test_equal_seeds_yield_equal_weights_and_dropout(load):
    text = MLP.replace('type: "ReLU"', 'type: "Dropout"')
    runs = []
    for _ in range(2):
        caffe.set_random_seed(11)
        net = fill(load(text, caffe.TRAIN))
        net.forward()
        runs.append(net.blobs["ip1"].data.copy())
    np.testing.assert_array_equal(*runs)
    assert (runs[0] == 0).any()
    assert (fill(load(text)).forward(end="relu1")["ip1"] != 0).all()


def test_a_gpu_that_does_not_exist_is_an_error():
    assert error(caffe.set_device, 99).code == "E310"


@pytest.mark.gpu
def test_a_net_on_a_gpu_reads_and_writes_the_same_arrays(load):
    net = fill(load(MLP, caffe.TRAIN))
    net.forward()
    net.backward()
    expected = {name: (blob.data.copy(), blob.diff.copy()) for name, blob in net.blobs.items()}
    gradient = net.params["ip1"][0].diff.copy()
    net.clear_param_diffs()
    caffe.set_mode_gpu()
    try:
        net.forward()
        net.backward()
        for name, (data, diff) in expected.items():
            np.testing.assert_allclose(net.blobs[name].data, data, rtol=1e-3, atol=1e-4)
            np.testing.assert_allclose(net.blobs[name].diff, diff, rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(net.params["ip1"][0].diff, gradient, rtol=1e-3, atol=1e-4)
        net.params["ip2"][0].data[...] = 0
        net.params["ip2"][1].data[...] = [0, 1, 2, 3, 4]
        assert (net.forward(end="ip2")["ip2"] == np.arange(5)).all()
    finally:
        caffe.set_mode_cpu()
    assert (net.params["ip2"][1].data == np.arange(5)).all()
    assert (net.forward(end="ip2")["ip2"] == np.arange(5)).all()


def test_common_calls():
    caffe.init_log()
    assert (caffe.TRAIN, caffe.TEST) == (0, 1)
    assert {"Convolution", "LSTM", "Python"} <= set(caffe.layer_type_list())
    assert caffe.__version__ == "1.0.0"
    assert (caffe.solver_count(), caffe.solver_rank()) == (1, 0)
