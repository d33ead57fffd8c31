"""`convert`, `verify`, `surgery` and what stands around them."""

import json

import cv2
import numpy as np
import pytest
import torch

from netc.conversion import surgery
from netc.conversion.classify import classify
from netc.conversion.convert import convert
from netc.conversion.listing import list_weights
from netc.conversion.models import net_of, open_net
from netc.conversion.preprocess import Told, find
from netc.conversion.verify import difference, verify
from netc.diagnostics import NetcError
from netc.weights import write_blob
from tests.conversion.nets import MIXED, close, hostile_net, inputs_of, trained, write


@pytest.fixture
def mixed(tmp_path):
    """A prototxt and its .caffemodel, and the model they were made of."""
    model = trained(write(tmp_path, MIXED))
    prototxt, weights = surgery_write(model, tmp_path / "mixed.prototxt")
    return prototxt, weights, model


def surgery_write(model, path):
    from netc.conversion.convert import write_caffe

    return write_caffe(model, path)


@pytest.mark.parametrize("to", ["safetensors", "pt"])
def test_a_state_dict_comes_back_bit_for_bit(mixed, tmp_path, to):
    prototxt, weights, _ = mixed
    done = convert(prototxt, weights, to=to, output=tmp_path / "state")
    expected = open_net(prototxt, weights).state_dict()
    found = open_net(prototxt, done.files[0]).state_dict()
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert len(found) == len(expected)


@pytest.mark.parametrize("fold", [False, True])
def test_every_form_agrees_at_two_batch_sizes(mixed, tmp_path, fold):
    prototxt, weights, _ = mixed
    for to in ("onnx", "py"):
        done = convert(prototxt, weights, to=to, output=tmp_path / f"out.{to}", fold=fold)
        for batch in (1, 3):
            found = verify(prototxt, done.files[0], weights=weights, batch=batch)
            assert found.agrees, found.first
            assert {"prob", "fc", "join", "conv1.2"} <= {one.name for one in found.differences}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_an_exported_program_agrees(mixed, tmp_path):
    prototxt, weights, model = mixed
    done = convert(prototxt, weights, to="pt2", output=tmp_path / "out")
    program = torch.export.load(done.files[0]).module()
    for batch in (1, 3):
        feed = inputs_of(model, batch)
        found = program(torch.from_numpy(feed["data"]))["prob"].detach().numpy()
        assert close(net_of(model).run(feed)["prob"], found)


@pytest.mark.parametrize("to", ["py", "onnx", "caffe", "safetensors", "pt"])
def test_hostile_names_through_every_exporter(tmp_path, to):
    path = write(tmp_path, hostile_net())
    model = trained(path)
    prototxt, weights = surgery_write(model, tmp_path / "hostile.prototxt")
    done = convert(prototxt, weights, to=to, output=tmp_path / "out")
    if to in ("py", "onnx"):
        assert verify(prototxt, done.files[0], weights=weights, batch=2).agrees
    else:
        net = prototxt if to != "caffe" else done.files[0]
        found = open_net(net, done.files[1] if to == "caffe" else done.files[0])
        feed = {model.graph.values[n].blob: a for n, a in inputs_of(model, 2).items()}
        assert close(*[next(iter(one.run(feed).values())) for one in (net_of(model), found)], 0)


def test_half_precision_is_for_those_that_have_it(mixed, tmp_path):
    prototxt, weights, _ = mixed
    done = convert(prototxt, weights, to="safetensors", output=tmp_path / "half", half="bf16")
    from safetensors.torch import load_file

    assert {tensor.dtype for tensor in load_file(done.files[0]).values()} == {torch.bfloat16}
    for to in ("caffe", "onnx"):
        with pytest.raises(NetcError) as caught:
            convert(prototxt, weights, to=to, output=tmp_path / "half", half="bf16")
        assert caught.value.diagnostics[0].code == "E803"


def test_losses_are_left_out_of_what_runs_elsewhere(mixed, tmp_path):
    prototxt, weights, _ = mixed
    text = prototxt.read_text().replace('top: "data"', 'top: "data"', 1)
    text += 'layer { name: "label" type: "Input" top: "label" input_param { shape { dim: 2 } } }\n'
    text += 'layer { name: "loss" type: "SoftmaxWithLoss" bottom: "fc" bottom: "label" top: "loss" }\n'
    done = convert(write(tmp_path, text, "loss.prototxt"), weights, to="py", output=tmp_path / "deploy.py")
    assert "def forward(self, data: Tensor)" in done.files[0].read_text()


def test_a_state_that_is_not_the_nets_is_told(mixed, tmp_path):
    prototxt, _, _ = mixed
    torch.save({"fc.weight": torch.zeros(5, 252)}, tmp_path / "few.pt")
    with pytest.raises(NetcError, match=r"lacks \d+ tensors"):
        open_net(prototxt, tmp_path / "few.pt")
    torch.save({"fc.weights": torch.zeros(5, 252)}, tmp_path / "other.pt")
    with pytest.raises(NetcError, match=r"`fc.weights`"):
        open_net(prototxt, tmp_path / "other.pt")


class Bomb:
    """Runs code where somebody unpickles it."""

    def __reduce__(self):
        return (print, ("unpickled",))


def test_a_state_dict_runs_no_code(mixed, tmp_path, capsys):
    prototxt, _, _ = mixed
    torch.save({"fc.weight": Bomb()}, tmp_path / "bomb.pt")
    with pytest.raises(NetcError, match="no state_dict of tensors"):
        open_net(prototxt, tmp_path / "bomb.pt")
    assert "unpickled" not in capsys.readouterr().out


# ---------------------------------------------------------------------- verify


def test_the_first_value_that_departs_is_told(mixed, tmp_path):
    prototxt, weights, _ = mixed
    done = convert(prototxt, weights, to="onnx", output=tmp_path / "out")
    import onnx

    changed = onnx.load(done.files[0])
    for tensor in changed.graph.initializer:
        if tensor.name == "fc.weight":
            tensor.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(tensor) * 1.01, tensor.name))
    onnx.save(changed, tmp_path / "changed.onnx")
    found = verify(prototxt, tmp_path / "changed.onnx", weights=weights)
    assert found.first.name == "fc"
    assert not found.agrees


def test_a_dump_is_compared_by_blobs_on_its_own_input(mixed, tmp_path):
    prototxt, weights, model = mixed
    feed = inputs_of(model, 2)
    net = net_of(model)
    blobs = [blob for blob in net.graph.blobs if blob != "data"]
    np.savez(tmp_path / "dump.npz", **feed, **net.run(feed, blobs))
    found = verify(tmp_path / "dump.npz", prototxt, weights=weights)
    assert found.agrees, found.first
    assert [one.name for one in found.differences] == blobs
    done = convert(prototxt, weights, to="py", output=tmp_path / "out")
    assert verify(done.files[0], tmp_path / "dump.npz").agrees


def test_differences_tell_shapes_and_nan():
    assert difference("x", np.zeros((2, 3)), np.zeros((2, 4))).note == "[2,3] and [2,4]"
    assert difference("x", np.array([1, np.nan]), np.array([1, 2.0])).note == "1 and 0 NaN"
    assert difference("x", np.array([np.inf, 1]), np.array([np.inf, 1])).departs is False
    assert difference("x", np.array([np.inf, 1]), np.array([1, 1])).departs is True
    assert difference("x", np.zeros(3), np.zeros(3)).relative == 0


# ---------------------------------------------------------------------- surgery


def test_fully_connected_layers_slide_as_convolutions(mixed):
    _, _, model = mixed
    made = surgery.fc_to_conv(model)
    feed = inputs_of(model, 2)
    (expected,), (found,) = net_of(model).run(feed).values(), net_of(made).run(feed).values()
    assert close(expected, found.reshape(expected.shape))
    larger = np.zeros((1, 3, 23 + 16, 19), np.float32)
    assert net_of(made).run(data=larger)["prob"].shape[2] > 1


def test_another_number_of_classes_starts_afresh_and_keeps_the_rest(mixed):
    _, _, model = mixed
    made = surgery.classes(model, "fc", 9, rename="fc_new", seed=1)
    node = surgery.node_named(made.graph, "fc_new")
    assert [blob.shape[0] for blob in made.blobs(node)] == [9, 9]
    conv = surgery.node_named(made.graph, "conv1")
    assert made.blobs(conv)[0] is model.blobs(surgery.node_named(model.graph, "conv1"))[0]
    assert net_of(made).run(inputs_of(model, 2))["prob"].shape == (2, 9)
    with pytest.raises(NetcError, match="`relu1` is a `ReLU`"):
        surgery.classes(model, "relu1", 3)


def test_layers_go_and_get_names(mixed):
    _, _, model = mixed
    assert "relu1" not in [node.name for node in surgery.drop(model, ["relu1", "drop"]).graph.nodes]
    with pytest.raises(NetcError, match="cannot go"):
        surgery.drop(model, ["pool1"])
    with pytest.raises(NetcError, match="no layer `conv9`"):
        surgery.drop(model, ["conv9"])
    renamed = surgery.rename(model, {"fc": "scores/1.a", "conv1": "fc"})
    feed = inputs_of(model, 2)
    assert close(net_of(model).run(feed)["prob"], net_of(renamed).run(feed)["prob"], 0)


def test_a_net_is_cut_off_behind_a_blob(mixed):
    _, _, model = mixed
    made = surgery.crop(model, "join")
    feed = inputs_of(model, 2)
    assert net_of(made).outputs == ("join",)
    assert close(net_of(model).run(feed, ["join"])["join"], net_of(made).run(feed)["join"], 0)
    assert set(made.arrays) == {"conv1", "bn1", "scale1", "left"}


# ---------------------------------------------------------------------- pictures

TRAIN = """
layer { name: "data" type: "ImageData" top: "data" top: "label" image_data_param {
    source: "list.txt" batch_size: 4 new_height: 30 new_width: 26 }
  transform_param { mirror: true crop_size: 19 scale: 0.5 mean_value: 10 mean_value: 20 mean_value: 30 } }
"""


def test_preprocessing_is_found_beside_the_net(mixed, tmp_path):
    prototxt, weights, model = mixed
    write(tmp_path, TRAIN, "train_val.prototxt")
    found = find(model.graph, prototxt)
    assert (found.resize, found.crop, found.order, found.scale) == ((30, 26), (23, 19), "bgr", 0.5)
    assert found.mean.ravel().tolist() == [10, 20, 30]
    done = convert(prototxt, weights, to="onnx", output=tmp_path / "out")
    sidecar = json.loads(done.files[-1].read_text())
    assert sidecar["mean"] == [10, 20, 30]
    assert sidecar["crop"] == [23, 19]
    told = find(model.graph, prototxt, Told(mean=(1.0,), scale=2.0, order="rgb", resize=(40, 41)))
    assert (told.resize, told.order, told.scale, told.mean.shape) == ((40, 41), "rgb", 2.0, (1, 1, 1))


def test_a_mean_picture_gives_the_size_before_the_cut(mixed, tmp_path):
    prototxt, _, model = mixed
    picture = np.random.default_rng(0).random((3, 33, 31), np.float32)
    write_blob(tmp_path / "mean.binaryproto", picture[None])
    found = find(model.graph, prototxt, Told(mean=str(tmp_path / "mean.binaryproto")))
    assert found.resize == (33, 31)
    np.testing.assert_array_equal(found.stage.mean, picture[:, 5:28, 6:25])


def test_a_mean_that_is_missing_matters_only_where_it_was_asked_for(mixed, tmp_path):
    prototxt, weights, _ = mixed
    train = TRAIN.replace("mean_value: 10 mean_value: 20 mean_value: 30", 'mean_file: "gone.binaryproto"')
    write(tmp_path, train, "train_val.prototxt")
    done = convert(prototxt, weights, to="onnx", output=tmp_path / "out")
    assert [warning.code for warning in done.warnings] == ["W801"]
    with pytest.raises(NetcError, match="gone"):
        convert(prototxt, weights, to="onnx", output=tmp_path / "out", input_stage=True)


def test_pictures_are_classified_as_by_hand(mixed, tmp_path):
    prototxt, weights, model = mixed
    pixels = np.random.default_rng(2).integers(0, 256, (40, 36, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "a.png"), pixels)
    (tmp_path / "labels.txt").write_text("one\ntwo\nthree\nfour\nfive\n")
    told = Told(mean=(1.0, 2.0, 3.0), scale=0.01, resize=(25, 21))
    (found,) = classify([tmp_path / "a.png"], prototxt, weights, labels=tmp_path / "labels.txt", top=2, told=told)
    resized = cv2.resize(pixels, (21, 25)).transpose(2, 0, 1)[:, 1:24, 1:20].astype(np.float32)
    fed = (resized - np.array([1, 2, 3], np.float32)[:, None, None]) * np.float32(0.01)
    expected = net_of(model).run(data=fed[None])["prob"][0]
    order = np.argsort(-expected)[:2]
    assert [guess.index for guess in found] == order.tolist()
    assert [guess.name for guess in found] == [["one", "two", "three", "four", "five"][i] for i in order]
    assert found[0].score == pytest.approx(expected[order[0]], rel=1e-5)


def test_what_is_no_picture_is_told(mixed, tmp_path):
    prototxt, weights, _ = mixed
    (tmp_path / "a.png").write_text("text")
    with pytest.raises(NetcError) as caught:
        classify([tmp_path / "a.png"], prototxt, weights)
    assert caught.value.diagnostics[0].code == "E505"


# ---------------------------------------------------------------------- listing


def test_a_listing_compares_with_a_net(mixed, tmp_path):
    prototxt, weights, _ = mixed
    assert list_weights(weights, prototxt).fits
    changed = write(tmp_path, prototxt.read_text().replace("num_output: 5", "num_output: 6"), "changed.prototxt")
    found = list_weights(weights, changed)
    assert not found.fits
    assert {(row.layer, row.verdict) for row in found.rows if row.verdict != "fits"} == {("fc", "differs")}
    renamed = write(tmp_path, prototxt.read_text().replace('name: "fc"', 'name: "fc_new"'), "renamed.prototxt")
    verdicts = {row.layer: row.verdict for row in list_weights(weights, renamed).rows}
    assert verdicts["fc"] == "only in the file"
    assert verdicts["fc_new"] == "only in the net"
