import numpy as np
import pytest
import torch

import netc.pycaffe as caffe
from netc.compiler import graph_of, lowered, read_net
from netc.diagnostics import NetcError, Source
from netc.ir.graph import State
from netc.pycaffe.import_caffe import bind_python_layers

MODULE = '''
import numpy as np
import netc.pycaffe as caffe


class Scaled(caffe.Layer):
    """y = w x, times a factor in param_str."""

    def setup(self, bottom, top):
        assert len(bottom) == 1 and len(top) == 1
        self.factor = float(self.param_str or 1)
        self.setups = getattr(self, "setups", 0) + 1
        self.blobs.add_blob(bottom[0].channels)
        self.blobs[0].data[...] = np.arange(1, 1 + bottom[0].channels)

    def reshape(self, bottom, top):
        top[0].reshape(*bottom[0].shape)

    def forward(self, bottom, top):
        top[0].data[...] = bottom[0].data * self.blobs[0].data * self.factor

    def backward(self, top, propagate_down, bottom):
        self.asked = list(propagate_down)
        self.blobs[0].diff[...] += (top[0].diff * bottom[0].data).sum(axis=0) * self.factor
        if propagate_down[0]:
            bottom[0].diff[...] = top[0].diff * self.blobs[0].data * self.factor


class Counter(caffe.Layer):
    """Data without bottoms: counts its batches."""

    def setup(self, bottom, top):
        self.batch = 0

    def reshape(self, bottom, top):
        top[0].reshape(2, 3)
        top[1].reshape(2)

    def forward(self, bottom, top):
        self.batch += 1
        top[0].data[...] = self.batch
        top[1].data[...] = self.phase

    def backward(self, top, propagate_down, bottom):
        pass


class Squares(caffe.Layer):
    """A loss: the sum of the squared differences of two bottoms, as Caffe's example of a Python layer has it."""

    def reshape(self, bottom, top):
        if bottom[0].count != bottom[1].count:
            raise Exception("the bottoms differ in size")
        self.difference = np.zeros(bottom[0].shape, np.float32)
        top[0].reshape(1)

    def forward(self, bottom, top):
        self.difference[...] = bottom[0].data - bottom[1].data
        top[0].data[...] = (self.difference**2).sum() / 2

    def backward(self, top, propagate_down, bottom):
        for index, sign in ((0, 1), (1, -1)):
            if propagate_down[index]:
                bottom[index].diff[...] = sign * self.difference * top[0].diff[0]


class Edits(caffe.Layer):
    """Writes into its second bottom and keeps a blob that it added."""

    def setup(self, bottom, top):
        self.blobs.add_blob(2)
        self.kept = self.blobs[0]
        self.calls = []

    def reshape(self, bottom, top):
        top[0].reshape(*bottom[0].shape)

    def forward(self, bottom, top):
        self.calls.append("forward")
        bottom[1].data[...] += self.kept.data.sum()
        top[0].data[...] = bottom[0].data

    def backward(self, top, propagate_down, bottom):
        self.calls.append("backward")
        self.kept.diff[...] = 5
        bottom[0].diff[...] = 2 * top[0].diff


class Lines(caffe.Layer):
    """Data whose number of rows changes from pass to pass."""

    def setup(self, bottom, top):
        self.rows = 0

    def reshape(self, bottom, top):
        self.rows += 1
        top[0].reshape(self.rows, 3)

    def forward(self, bottom, top):
        top[0].data[...] = self.rows

    def backward(self, top, propagate_down, bottom):
        pass


class Constant(caffe.Layer):
    """Learned values without a bottom; its gradient is 1, whatever it was."""

    def setup(self, bottom, top):
        self.blobs.add_blob(1)
        self.blobs[0].data[0] = 0

    def reshape(self, bottom, top):
        top[0].reshape(1)

    def forward(self, bottom, top):
        pass

    def backward(self, top, propagate_down, bottom):
        self.blobs[0].diff[0] = 1


class Broken(caffe.Layer):
    def reshape(self, bottom, top):
        top[0].reshape(*bottom[0].shape)
'''
SCALED = """
force_backward: true
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "scaled" type: "Python" bottom: "x" top: "y"
        python_param { module: "my_layers" layer: "Scaled" param_str: "0.5" } }
layer { name: "ip" type: "InnerProduct" bottom: "y" top: "z"
        inner_product_param { num_output: 4 weight_filler { type: "xavier" } } }
"""


@pytest.fixture(autouse=True)
def _module(tmp_path, monkeypatch):
    import sys

    (tmp_path / "my_layers.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    sys.modules.pop("my_layers", None)


def scaled(load):
    net = load(SCALED)
    net.blobs["x"].data[...] = [[1, -2, 3], [4, 5, -6]]
    return net


def test_shapes_are_known_before_the_layer_runs(load):
    net = load(SCALED)
    assert net.blobs["y"].shape == (2, 3)
    assert net.params["ip"][0].shape == (4, 3)


def test_forward_and_backward(load):
    net = scaled(load)
    y = net.forward(end="scaled")["y"]
    np.testing.assert_array_equal(y, net.blobs["x"].data * [0.5, 1, 1.5])
    net.forward(start="ip")
    net.blobs["y"].diff[...] = 1
    net.backward(start="scaled")
    np.testing.assert_array_equal(net.blobs["x"].diff, np.tile([0.5, 1, 1.5], (2, 1)))
    np.testing.assert_array_equal(net.params["scaled"][0].diff, [2.5, 1.5, -1.5])


def test_gradients_of_its_weights_add_up(load):
    net = scaled(load)
    net.forward()
    net.blobs["y"].diff[...] = 1
    net.backward(start="scaled")
    net.backward(start="scaled")
    np.testing.assert_array_equal(net.params["scaled"][0].diff, [5, 3, -3])


EDITS = """
force_backward: true
layer { name: "x" type: "Input" top: "x" top: "t" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "edits" type: "Python" bottom: "x" bottom: "t" top: "y"
        python_param { module: "my_layers" layer: "Edits" } }
"""


def test_gradients_that_it_assigns_are_not_added_up(load):
    net = load(EDITS)
    net.forward()
    for _ in range(3):
        net.backward()
        assert (net.params["edits"][0].diff == 5).all()


def test_a_bottom_that_it_writes_into_is_changed(load):
    net = load(EDITS)
    net.params["edits"][0].data[...] = [1, 2]
    assert np.shares_memory(net.layer_dict["edits"].kept.data, net.params["edits"][0].data)
    net.forward()
    assert (net.blobs["t"].data == 3).all()


def test_backward_before_forward_does_not_run_forward(load):
    net = load(EDITS)
    net.blobs["y"].diff[...] = 7
    assert (net.backward()["x"] == 14).all()
    assert net.layer_dict["edits"].calls == ["backward"]


def test_shapes_that_change_from_pass_to_pass(load):
    net = load(
        """
        layer { name: "lines" type: "Python" top: "x" python_param { module: "my_layers" layer: "Lines" } }
        layer { name: "double" type: "Power" bottom: "x" top: "y" power_param { scale: 2 } }
        layer { name: "a" type: "Power" bottom: "y" top: "a" }
        layer { name: "b" type: "Power" bottom: "y" top: "b" }
        """
    )
    first = net.forward()["a"].shape[0]
    for rows in range(first + 1, first + 4):
        found = net.forward()
        assert found["a"].shape == found["b"].shape == (rows, 3)
        assert (found["b"] == 2 * rows).all()


def test_a_layer_without_bottoms_learns(load):
    net = load(
        """
        force_backward: true
        layer { name: "layer" type: "Python" top: "top" python_param { module: "my_layers" layer: "Constant" } }
        """,
        caffe.TRAIN,
    )
    net.forward()
    net.backward()
    layer = net.layers[net._layer_names.index("layer")]
    assert (layer.blobs[0].data[0], layer.blobs[0].diff[0]) == (0, 1)
    layer.blobs[0].data[0] += layer.blobs[0].diff[0]
    net.save("learned.caffemodel")
    layer.blobs[0].data[0] = -1
    net.copy_from("learned.caffemodel")
    assert layer.blobs[0].data[0] == 1


def test_its_weights_are_the_nets(load):
    net = scaled(load)
    np.testing.assert_array_equal(net.params["scaled"][0].data, [1, 2, 3])
    net.params["scaled"][0].data[...] = 10
    assert (net.forward(end="scaled")["y"] == net.blobs["x"].data * 5).all()
    net.save("w.caffemodel")
    other = load(SCALED)
    other.copy_from("w.caffemodel")
    assert (other.params["scaled"][0].data == 10).all()


def test_the_layer_object_is_the_users(load):
    layer = scaled(load).layer_dict["scaled"]
    assert type(layer).__name__ == "Scaled"
    assert (layer.type, layer.param_str, layer.phase, layer.setups) == ("Python", "0.5", caffe.TEST, 1)


def test_the_old_name_of_its_parameters(load):
    assert scaled(load).layer_dict["scaled"].param_str_ == "0.5"


def test_it_accepts_another_size(load):
    net = load(SCALED)
    net.blobs["x"].reshape(5, 3)
    net.blobs["x"].data[...] = 2
    net.forward()
    net.blobs["z"].diff[...] = 1
    net.backward()
    assert net.blobs["y"].shape == net.blobs["y"].diff.shape == (5, 3)
    assert (net.blobs["y"].data == [1, 2, 3]).all()
    assert net.layer_dict["scaled"].setups == 1


def test_unneeded_gradients_are_not_requested(load):
    net = load(SCALED.replace("force_backward: true", "").replace('top: "z"', 'top: "z" loss_weight: 1'))
    net.forward()
    net.backward()
    assert net.layer_dict["scaled"].asked == [False]
    assert not net.blobs["x"].diff.any()


def test_a_data_layer(load):
    net = load(
        """
        layer { name: "data" type: "Python" top: "x" top: "phase"
                python_param { module: "my_layers" layer: "Counter" } }
        layer { name: "double" type: "Power" bottom: "x" top: "y" power_param { scale: 2 } }
        """,
        caffe.TRAIN,
    )
    for batch in (1, 2, 3):
        assert (net.forward()["y"] == 2 * batch).all()
    assert (net.blobs["phase"].data == caffe.TRAIN).all()


def test_a_loss(load):
    net = load(
        """
        layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }
        layer { name: "t" type: "Input" top: "t" input_param { shape { dim: 2 dim: 4 } } }
        layer { name: "ip" type: "InnerProduct" bottom: "x" top: "y" inner_product_param { num_output: 4 } }
        layer { name: "loss" type: "Python" bottom: "y" bottom: "t" top: "loss" loss_weight: 3
                python_param { module: "my_layers" layer: "Squares" } }
        """
    )
    net.blobs["x"].data[...] = 1
    net.blobs["t"].data[...] = 2
    assert net.forward()["loss"] == 16
    net.backward()
    assert (net.params["ip"][1].diff == -12).all()


def test_an_error_in_user_code_propagates(load):
    with pytest.raises(Exception, match="the bottoms differ in size"):
        load(
            """
            layer { name: "a" type: "Input" top: "a" input_param { shape { dim: 2 } } }
            layer { name: "b" type: "Input" top: "b" input_param { shape { dim: 3 } } }
            layer { name: "loss" type: "Python" bottom: "a" bottom: "b" top: "loss"
                    python_param { module: "my_layers" layer: "Squares" } }
            """
        )


def test_a_method_that_is_missing_is_named(load):
    net = load(SCALED.replace("Scaled", "Broken"))
    with pytest.raises(NotImplementedError, match="Broken has no forward"):
        net.forward()


def test_the_test_net_of_a_solver_runs_its_own_object_on_the_train_nets_weights(load, tmp_path):
    net = (
        SCALED
        + """
    layer { name: "t" type: "Input" top: "t" input_param { shape { dim: 2 dim: 4 } } }
    layer { name: "loss" type: "EuclideanLoss" bottom: "z" bottom: "t" top: "loss" }
    """
    )
    (tmp_path / "net.prototxt").write_text(net)
    (tmp_path / "solver.prototxt").write_text(
        'net: "net.prototxt" test_iter: 1 test_interval: 5 base_lr: 0.1 lr_policy: "fixed"'
    )
    load(SCALED)
    solver = caffe.SGDSolver(str(tmp_path / "solver.prototxt"))
    train, test = solver.net, solver.test_nets[0]
    assert train.layer_dict["scaled"] is not test.layer_dict["scaled"]
    assert (train.layer_dict["scaled"].phase, test.layer_dict["scaled"].phase) == (caffe.TRAIN, caffe.TEST)
    train.params["scaled"][0].data[...] = 10
    test.layer_dict["scaled"].factor = 2
    test.blobs["x"].data[...] = 1
    assert (test.forward(end="scaled")["y"] == 20).all()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("my_layers", "missing_layers", "cannot find Python module `missing_layers`"),
        ("Scaled", "Shrunk", "Python module `my_layers` has no class `Shrunk`"),
    ],
)
def test_a_missing_module_or_class_is_an_error_at_its_line(load, old, new, message):
    with pytest.raises(NetcError) as caught:
        load(SCALED.replace(old, new))
    found = caught.value.diagnostics[0]
    assert (found.code, found.message, found.line) == ("E211", message, 4)


def test_data_of_a_python_layer_has_the_precision_and_device_of_the_net(load, tmp_path):
    load(SCALED)  # makes the module importable
    text = 'layer { name: "c" type: "Python" top: "a" top: "b" python_param { module: "my_layers" layer: "Counter" } }'
    definition = read_net(Source("net.prototxt", text))
    net = lowered(graph_of(definition, State("TEST"), prepare=bind_python_layers)).double()
    assert net.inputs == ()
    found = net.evaluate({}, ["a"])["a"]
    assert (found.dtype, found.tolist()) == (torch.float64, [[1.0] * 3] * 2)
    assert net.to("meta").evaluate({}, ["a"])["a"].device.type == "meta"
