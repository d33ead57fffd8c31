import numpy as np
import pytest
import torch

import netc.pycaffe as caffe
from netc.diagnostics import NetcError

MLP = """
name: "mlp"
force_backward: true
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 4 dim: 3 } } }
layer { name: "label" type: "Input" top: "label" input_param { shape { dim: 4 } } }
layer { name: "ip1" type: "InnerProduct" bottom: "data" top: "ip1"
        inner_product_param { num_output: 6 weight_filler { type: "xavier" } } }
layer { name: "relu1" type: "ReLU" bottom: "ip1" top: "ip1" }
layer { name: "ip2" type: "InnerProduct" bottom: "ip1" top: "ip2"
        inner_product_param { num_output: 5 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip2" bottom: "label" top: "loss" loss_weight: 2 }
layer { name: "accuracy" type: "Accuracy" bottom: "ip2" bottom: "label" top: "accuracy" include { phase: TEST } }
"""
CONV = """
name: "conv"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 dim: 8 dim: 6 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
        convolution_param { num_output: 5 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "pool" type: "Pooling" bottom: "conv" top: "pool" pooling_param { kernel_size: 2 stride: 2 } }
layer { name: "deploy" type: "Softmax" bottom: "pool" top: "prob" include { stage: "deploy" min_level: 1 } }
"""


def fill(net, seed=0):
    random = np.random.default_rng(seed)
    net.blobs["data"].data[...] = random.normal(size=net.blobs["data"].shape)
    if "label" in net.blobs:
        net.blobs["label"].data[...] = random.integers(0, 5, net.blobs["label"].shape)
    return net


def error(call, *arguments, **named):
    with pytest.raises(NetcError) as caught:
        call(*arguments, **named)
    return caught.value.diagnostics[0]


# ---------------------------------------------------------------------- names


def test_what_is_in_a_net(load):
    net = load(MLP)
    assert net.inputs == ["data", "label"]
    assert net.outputs == ["accuracy", "loss"]
    assert list(net.blobs) == ["data", "label", "ip1", "ip2", "loss", "accuracy"]
    assert list(net.params) == ["ip1", "ip2"]
    assert net._layer_names == ["data", "label", "ip1", "relu1", "ip2", "loss", "accuracy"]
    assert [layer.type for layer in net.layers][2:5] == ["InnerProduct", "ReLU", "InnerProduct"]
    assert [blob.shape for blob in net.layers[2].blobs] == [(6, 3), (6,)]
    assert net.layer_dict["ip2"] is net.layers[4]
    assert net.top_names["relu1"] == ["ip1"]
    assert net.bottom_names["loss"] == ["ip2", "label"]
    assert dict(net.blob_loss_weights) == {**dict.fromkeys(net.blobs, 0.0), "loss": 2.0}
    assert net._blob_loss_weights == [0, 0, 0, 0, 2, 0]


def test_the_phase_chooses_layers(load):
    assert load(MLP, caffe.TRAIN).outputs == ["loss"]


def test_level_and_stages_choose_layers(load):
    assert "prob" not in load(CONV).blobs
    assert "prob" not in load(CONV, stages=["deploy"]).blobs
    assert "prob" in load(CONV, level=1, stages=["deploy"]).blobs


def test_a_loss_without_a_name_is_no_output(load):
    net = load(MLP.replace('top: "loss"', ""), caffe.TRAIN)
    assert net.outputs == []
    assert "(automatic)" in net.blobs
    fill(net).forward()
    assert net.blobs["(automatic)"].data > 0


def test_blobs_tell_their_extents(load):
    blob = load(CONV).blobs["conv"]
    assert (blob.num, blob.channels, blob.height, blob.width, blob.count) == (2, 5, 6, 4, 240)
    assert blob.shape == blob.data.shape == blob.diff.shape == (2, 5, 6, 4)


def test_blobs_of_fewer_axes_have_legacy_extents_of_one(load):
    blob = load(MLP).params["ip1"][0]
    assert (blob.num, blob.channels, blob.height, blob.width) == (6, 3, 1, 1)


def test_arguments_that_are_no_phase_are_refused(load, tmp_path):
    load(MLP)
    with pytest.raises(TypeError, match="phase is TRAIN or TEST"):
        caffe.Net(str(tmp_path / "net1.prototxt"))


def test_every_fault_of_the_file_is_told(load):
    text = MLP.replace("num_output: 6", "num_output: 0").replace('type: "Accuracy"', 'type: "Accurate"')
    with pytest.raises(NetcError) as caught:
        load(text)
    assert sorted(d.code for d in caught.value.diagnostics) == ["E010", "E103"]


# ---------------------------------------------------------------------- passes


def test_forward_gives_the_outputs_and_what_is_asked_for(load):
    net = fill(load(MLP))
    outs = net.forward(blobs=["ip1"])
    assert sorted(outs) == ["accuracy", "ip1", "loss"]
    hidden = np.maximum(net.blobs["data"].data @ net.params["ip1"][0].data.T + net.params["ip1"][1].data, 0)
    np.testing.assert_allclose(outs["ip1"], hidden, rtol=1e-5, atol=1e-6)


def test_forward_takes_inputs(load):
    net, other = fill(load(MLP)), load(MLP)
    expected = net.forward()["loss"].copy()
    for name in ("ip1", "ip2"):
        other.params[name][0].data[...] = net.params[name][0].data
    given = {name: net.blobs[name].data for name in net.inputs}
    assert other.forward(**given)["loss"] == expected


def test_an_input_that_is_missing_unknown_or_misshapen_is_an_error(load):
    net = load(MLP)
    data, label = np.zeros((4, 3)), np.zeros(4)
    assert "inputs `data` given, the net has `data`, `label`" in error(net.forward, data=data).message
    assert error(net.forward, data=data, label=label, mask=label).code == "E302"
    found = error(net.forward, data=np.zeros((5, 3)), label=label)
    assert found.message == "`data` has shape [4,3], but an array of shape [5,3] is given"
    assert "no blob `ip9`" in error(net.forward, blobs=["ip9"]).message


def test_weights_that_are_assigned_count_in_the_next_pass(load):
    net = fill(load(MLP))
    net.params["ip2"][0].data[...] = 0
    net.params["ip2"][1].data[...] = [0, 1, 2, 3, 4]
    net.forward()
    np.testing.assert_array_equal(net.blobs["ip2"].data, np.tile(np.arange(5), (4, 1)))


def test_arrays_stay_the_same_from_pass_to_pass(load):
    net = fill(load(MLP, caffe.TRAIN))
    held, gradient = net.blobs["ip1"].data, net.params["ip1"][0].diff
    net.forward()
    net.backward()
    np.testing.assert_array_equal(held, net.blobs["ip1"].data)
    assert held.any()
    assert gradient.any()
    assert np.shares_memory(held, net.blobs["ip1"].data)


def test_a_partial_pass_shows_the_value_before_an_in_place_layer(load):
    net = fill(load(MLP))
    out = net.forward(end="ip1")
    assert list(out) == ["ip1"]
    assert (out["ip1"] < 0).any()
    net.forward(start="relu1", end="relu1")
    assert (net.blobs["ip1"].data >= 0).all()


def test_after_a_whole_backward_pass_diff_is_that_before_the_in_place_layer(load):
    net = fill(load(MLP, caffe.TRAIN))
    net.forward()
    closed = net.blobs["ip1"].data == 0
    diffs = net.backward(end="ip2")
    assert list(diffs) == ["ip1"]
    behind = diffs["ip1"].copy()
    assert behind[closed].any()
    net.backward(start="relu1")
    np.testing.assert_array_equal(net.blobs["ip1"].diff, np.where(closed, 0, behind))


def test_backward_gives_the_diffs_of_the_inputs_and_what_is_asked_for(load):
    net = fill(load(MLP, caffe.TRAIN))
    net.forward()
    diffs = net.backward(diffs=["ip2"])
    assert sorted(diffs) == ["data", "ip2", "label"]
    assert not diffs["label"].any()
    ones = np.exp(net.blobs["ip2"].data)
    probabilities = ones / ones.sum(axis=1, keepdims=True)
    probabilities[np.arange(4), net.blobs["label"].data.astype(int)] -= 1
    np.testing.assert_allclose(diffs["ip2"], probabilities * 2 / 4, rtol=1e-4, atol=1e-6)


def test_top_diffs_are_where_a_backward_pass_starts(load):
    net = fill(load("force_backward: true " + CONV))
    net.forward()
    top = np.random.default_rng(3).normal(size=net.blobs["pool"].shape).astype(np.float32)
    first = net.backward(pool=top)["data"].copy()
    second = net.backward(pool=2 * top)["data"]
    assert first.any()
    np.testing.assert_allclose(second, 2 * first, rtol=1e-5, atol=1e-6)
    assert error(net.backward, conv=top).code == "E302"


def test_parameter_diffs_add_up_and_blob_diffs_do_not(load):
    net = fill(load(MLP, caffe.TRAIN))
    net.forward()
    net.backward()
    weight, blob = net.params["ip1"][0].diff.copy(), net.blobs["data"].diff.copy()
    net.backward()
    np.testing.assert_allclose(net.params["ip1"][0].diff, 2 * weight, rtol=1e-6)
    np.testing.assert_array_equal(net.blobs["data"].diff, blob)
    net.clear_param_diffs()
    assert not net.params["ip1"][0].diff.any()


def test_a_diff_that_was_set_before_the_pass_is_added_to(load):
    net = fill(load(MLP, caffe.TRAIN))
    net.forward()
    net.params["ip2"][1].diff[...] = 100
    net.backward()
    assert abs(net.params["ip2"][1].diff - 100).max() < 5
    assert (net.params["ip2"][1].diff != 100).any()


def test_the_loss_weight_is_the_diff_of_the_loss_and_may_be_changed(load):
    net = fill(load(MLP, caffe.TRAIN))
    assert net.blobs["loss"].diff == 2
    net.forward()
    net.backward()
    once = net.blobs["ip2"].diff.copy()
    net.blobs["loss"].diff[...] = 6
    net.backward()
    np.testing.assert_allclose(net.blobs["ip2"].diff, 3 * once, rtol=1e-5)


def test_callbacks(load):
    net = fill(load(MLP, caffe.TRAIN))
    seen = []
    net.before_forward(lambda index: seen.append(("before", index)))
    net.after_forward(lambda index: seen.append(("after", index)))
    net.before_backward(lambda index: seen.append(("before back", index)))
    net.after_backward(lambda index: seen.append(("after back", index)))
    net.forward(start="ip2")
    net.forward()
    net.backward(end="loss")
    assert seen[:4] == [("before", 4), ("after", 4), ("before", 5), ("after", 5)]
    assert seen[-2:] == [("before back", 5), ("after back", 5)]


def test_all_items_in_batches(load):
    net = load(CONV)
    images = np.random.default_rng(1).normal(size=(5, 3, 8, 6)).astype(np.float32)
    out = net.forward_all(blobs=["conv"], data=images)
    assert out["pool"].shape == (5, 5, 3, 2)
    assert out["conv"].shape == (5, 5, 6, 4)
    np.testing.assert_allclose(net.forward(data=images[2:4])["pool"], out["pool"][2:4], rtol=1e-6)


def test_all_items_forward_and_backward(load):
    net = load("force_backward: true " + CONV)
    random = np.random.default_rng(1)
    images, tops = random.normal(size=(5, 3, 8, 6)), random.normal(size=(5, 5, 3, 2))
    data, diffs = net.forward_backward_all(data=images, pool=tops)
    assert data["pool"].shape == (5, 5, 3, 2)
    net.forward(data=images[2:4])
    np.testing.assert_allclose(net.backward(pool=tops[2:4])["data"], diffs["data"][2:4], rtol=1e-5, atol=1e-6)


# ---------------------------------------------------------------------- sizes


def test_a_net_takes_another_size(load):
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


def test_a_size_that_a_layer_does_not_take_is_an_error_that_names_it(load):
    net = load(MLP)
    net.blobs["data"].reshape(4, 7)
    found = error(net.reshape)
    assert found.message == "blob 0 would need shape [6,7], it has [6,3]"
    assert found.notes == ("in layer `ip1`, bottoms: data[4,7]",)
    assert found.line == 6


def test_a_weight_keeps_its_shape(load):
    net = load(MLP)
    net.params["ip1"][0].reshape(6, 3)
    assert error(net.params["ip1"][0].reshape, 3, 6).code == "E304"


def test_a_label_out_of_range_names_layer_and_value(load):
    net = fill(load(MLP))
    net.blobs["label"].data[...] = [0, 1, 7, 2]
    found = error(net.forward)
    assert found.code == "E301"
    assert "7" in found.message
    assert found.notes == ("in layer `loss`",)


# ---------------------------------------------------------------------- weights


def weights(net):
    return [blob.data.copy() for blobs in net.params.values() for blob in blobs]


@pytest.mark.parametrize("ending", ["caffemodel", "h5"])
def test_weights_go_to_a_file_and_come_back(load, ending):
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


def test_gradients_are_saved_where_asked_for(load):
    from netc.weights import read

    net = fill(load(MLP, caffe.TRAIN))
    net.forward()
    net.backward()
    net.save_hdf5("w.h5", True)
    np.testing.assert_array_equal(read("w.h5").by_name["ip2"].blobs[0].diff, net.params["ip2"][0].diff)


def test_layers_that_only_one_side_has_are_passed_over(load):
    net, other = load(MLP), load(MLP.replace('name: "ip2"', 'name: "fresh"'))
    net.save("w.caffemodel")
    kept = other.params["fresh"][0].data.copy()
    other.copy_from("w.caffemodel")
    np.testing.assert_array_equal(other.params["ip1"][0].data, net.params["ip1"][0].data)
    np.testing.assert_array_equal(other.params["fresh"][0].data, kept)


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


# ---------------------------------------------------------------------- chance and modes


def test_the_same_seed_gives_the_same_weights_and_dropout(load):
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


def test_a_gpu_that_is_not_there_is_an_error():
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


def test_what_programs_call_first():
    caffe.init_log()
    assert (caffe.TRAIN, caffe.TEST) == (0, 1)
    assert {"Convolution", "LSTM", "Python"} <= set(caffe.layer_type_list())
    assert caffe.__version__ == "1.0.0"
    assert (caffe.solver_count(), caffe.solver_rank()) == (1, 0)
