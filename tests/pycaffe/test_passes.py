import numpy as np
import pytest

import netc.pycaffe as caffe
from netc.diagnostics import NetcError
from tests.pycaffe.nets import CONV, MLP, error, fill


def test_forward_returns_outputs_and_requested_blobs(load):
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
    assert "expected inputs `data`, `label`, got `data`" in error(net.forward, data=data).message
    assert error(net.forward, data=data, label=label, mask=label).code == "E302"
    found = error(net.forward, data=np.zeros((5, 3)), label=label)
    assert found.message == "expected an array of shape [4,3] for `data`, got [5,3]"
    assert "no blob `ip9`" in error(net.forward, blobs=["ip9"]).message


def test_assigned_weights_are_used_in_the_next_pass(load):
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
    after = diffs["ip1"].copy()
    assert after[closed].any()
    net.backward(start="relu1")
    np.testing.assert_array_equal(net.blobs["ip1"].diff, np.where(closed, 0, after))


def test_backward_returns_input_diffs_and_requested_diffs(load):
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


def test_backward_before_forward_runs_on_the_blobs_as_they_are(load):
    ran, net = fill(load(MLP, caffe.TRAIN)), load(MLP, caffe.TRAIN)
    net.share_with(ran)
    ran.forward()
    for name, blob in ran.blobs.items():
        net.blobs[name].data[...] = blob.data
    ran.backward()
    values = {name: blob.data.copy() for name, blob in net.blobs.items()}
    diffs = net.backward(end="ip2")
    np.testing.assert_allclose(diffs["ip1"], ran.blobs["ip2"].diff @ ran.params["ip2"][0].data, rtol=1e-5)
    np.testing.assert_allclose(net.params["ip2"][0].diff, ran.params["ip2"][0].diff, rtol=1e-5)
    for name, blob in net.blobs.items():
        np.testing.assert_array_equal(blob.data, values[name])


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


def test_backward_callbacks_run_for_every_layer(load):
    net = fill(load(MLP, caffe.TRAIN))
    seen = []
    net.before_backward(lambda index: seen.append(("before", index)))
    net.after_backward(lambda index: seen.append(("after", index)))
    net.forward()
    net.backward()
    layers = range(len(net.layers) - 1, -1, -1)
    assert seen == [(when, index) for index in layers for when in ("before", "after")]


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


def test_accuracy_and_losses_without_weight_add_no_gradient(load):
    more = """
    layer { name: "accuracy" type: "Accuracy" bottom: "ip2" bottom: "label" top: "accuracy" }
    layer { name: "idle" type: "SoftmaxWithLoss" bottom: "ip2" bottom: "label" top: "idle" loss_weight: 0 }
    """
    plain = load(MLP, caffe.TRAIN)
    crowded = load(MLP.replace("include { phase: TEST }", "include { stage: 'never' }") + more, caffe.TRAIN)
    crowded.share_with(plain)
    for net in (plain, crowded):
        fill(net).forward()
        net.backward()
    assert plain.blobs["ip2"].diff.any()
    np.testing.assert_array_equal(crowded.blobs["ip2"].diff, plain.blobs["ip2"].diff)


def test_two_losses_without_names_both_contribute(load):
    net = load(
        """
        layer { name: "a" type: "Input" top: "a" input_param { shape { dim: 2 dim: 3 } } }
        layer { name: "b" type: "Input" top: "b" input_param { shape { dim: 2 dim: 3 } } }
        layer { name: "ip" type: "InnerProduct" bottom: "a" top: "ip" inner_product_param { num_output: 3 } }
        layer { name: "one" type: "EuclideanLoss" bottom: "ip" bottom: "b" loss_weight: 2 }
        layer { name: "two" type: "EuclideanLoss" bottom: "ip" bottom: "b" loss_weight: 3 }
        """
    )
    net.blobs["b"].data[...] = 1
    assert net.run_forward() == 2 * 1.5 + 3 * 1.5
    net.backward()
    np.testing.assert_allclose(net.params["ip"][1].diff, [-5, -5, -5])


def test_an_in_place_layer_of_two_bottoms(load):
    net = load(
        """
        force_backward: true
        layer { name: "a" type: "Input" top: "a" input_param { shape { dim: 2 dim: 3 } } }
        layer { name: "b" type: "Input" top: "b" input_param { shape { dim: 2 dim: 3 } } }
        layer { name: "sum" type: "Eltwise" bottom: "a" bottom: "b" top: "a" eltwise_param { coeff: 2 coeff: 1 } }
        layer { name: "sigmoid" type: "Sigmoid" bottom: "a" top: "a" }
        """
    )
    net.blobs["a"].data[...] = 0.25
    net.blobs["b"].data[...] = -1
    net.forward()
    y = 1 / (1 + np.exp(0.5))
    np.testing.assert_allclose(net.blobs["a"].data, np.full((2, 3), y), rtol=1e-6)
    net.blobs["a"].diff[...] = 1
    net.backward()
    np.testing.assert_allclose(net.blobs["a"].diff, np.full((2, 3), 2 * y * (1 - y)), rtol=1e-5)
    np.testing.assert_allclose(net.blobs["b"].diff, np.full((2, 3), y * (1 - y)), rtol=1e-5)


def test_a_silence_layer_that_reads_first_adds_a_gradient_of_zero(load):
    silence = 'layer { name: "silence" type: "Silence" bottom: "ip1" }'
    plain = load(MLP, caffe.TRAIN)
    silenced = load(MLP.replace('layer { name: "ip2"', f'{silence}\nlayer {{ name: "ip2"'), caffe.TRAIN)
    silenced.share_with(plain)
    for net in (plain, silenced):
        fill(net).forward()
        net.backward()
    assert plain.blobs["data"].diff.any()
    for blob in ("data", "ip1"):
        np.testing.assert_array_equal(silenced.blobs[blob].diff, plain.blobs[blob].diff)


class TestShapesOfAPart:
    """After a change of the input's shape a part of the net runs, although the rest would not accept the new shapes."""

    NET = """
        force_backward: true
        layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 2 dim: 8 dim: 8 } } }
        layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" convolution_param { num_output: 3
          kernel_size: 3 weight_filler { type: "xavier" } } }
        layer { name: "pool" type: "Pooling" bottom: "conv" top: "pool" pooling_param { kernel_size: 2 stride: 2 } }
        layer { name: "ip" type: "InnerProduct" bottom: "pool" top: "ip" inner_product_param { num_output: 4 } }
    """

    @pytest.fixture
    def net(self, tmp_path):
        (tmp_path / "net.prototxt").write_text(self.NET)
        return caffe.Net(str(tmp_path / "net.prototxt"), caffe.TEST)

    def test_forward_and_backward_at_other_sizes(self, net):
        for height, width in ((12, 10), (7, 15)):
            net.blobs["data"].reshape(1, 2, height, width)
            net.blobs["data"].data[...] = 1
            found = net.forward(end="pool")["pool"]
            assert found.shape == (1, 3, (height - 1) // 2, (width - 1) // 2)
            net.blobs["pool"].diff[...] = 1
            assert net.backward(start="pool")["data"].shape == (1, 2, height, width)
        assert net.blobs["ip"].shape == (1, 4)
        with pytest.raises(NetcError, match="expected blob 0 of shape") as caught:
            net.forward()
        assert "in layer `ip`" in caught.value.render()

    def test_the_whole_net_again(self, net):
        net.blobs["data"].reshape(5, 2, 8, 8)
        net.forward(end="conv")
        assert net.blobs["pool"].shape == (1, 3, 3, 3)
        assert net.forward()["ip"].shape == (5, 4)
