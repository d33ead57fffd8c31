"""Every function that takes weights reads every format: .caffemodel, .h5, .safetensors, .pt and .npz."""

import json

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import save_file

import netc
from netc import cli, pycaffe
from netc.compiler import file_weights, weighted
from netc.conversion.weights_report import list_weights
from netc.diagnostics import NetcError
from netc.training.recipes.fine_tuning import start_from
from netc.weights import StateDict, read_any, write_caffemodel, write_caffemodel_hdf5

NET = """
layer {{ name: "data" type: "DummyData" top: "data" top: "label" dummy_data_param {{
  shape {{ dim: 2 dim: 3 dim: 6 dim: 6 }} shape {{ dim: 2 }}
  data_filler {{ type: "constant" value: 0.5 }} data_filler {{ type: "constant" value: 1 }} }} }}
layer {{ name: "conv/1.a" type: "Convolution" bottom: "data" top: "c"
  convolution_param {{ num_output: 4 kernel_size: 3 weight_filler {{ type: "xavier" }} }} }}
layer {{ name: "bn" type: "BatchNorm" bottom: "c" top: "c" }}
layer {{ name: "{fc}" type: "InnerProduct" bottom: "c" top: "f"
  inner_product_param {{ num_output: 5 transpose: true weight_filler {{ type: "xavier" }} }} }}
layer {{ name: "loss" type: "SoftmaxWithLoss" bottom: "f" bottom: "label" top: "loss" }}
"""
FORMATS = ["caffemodel", "h5", "safetensors", "pt", "npz"]


@pytest.fixture
def net(tmp_path):
    path = tmp_path / "net.prototxt"
    path.write_text(NET.format(fc="fc"))
    return path


@pytest.fixture
def trained(net):
    """The net with weights that differ from those of its fillers."""
    loaded = netc.load(net, seed=3)
    with torch.no_grad():
        for number, tensor in enumerate(loaded.state_dict().values()):
            tensor.copy_(torch.arange(tensor.numel()).reshape(tensor.shape) % 7 + number + 1)
    return loaded


def saved(net, path):
    """The weights of a net in the format of the suffix, in a file whose name says nothing."""
    state = {name: tensor.detach().contiguous() for name, tensor in net.state_dict().items()}
    kind, path = path.suffix[1:], path.with_suffix(".weights")
    if kind == "npz":
        with path.open("wb") as file:
            np.savez(file, **{name: tensor.numpy() for name, tensor in state.items()})
    elif kind in ("caffemodel", "h5"):
        (write_caffemodel if kind == "caffemodel" else write_caffemodel_hdf5)(path, file_weights(weighted(net)))
    else:
        (save_file if kind == "safetensors" else torch.save)(state, path)
    return path


@pytest.fixture(params=FORMATS)
def file(request, trained, tmp_path):
    return saved(trained, tmp_path / f"w.{request.param}")


def same(one, other):
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        torch.testing.assert_close(tensor, other[name], rtol=0, atol=0)


def test_load(net, trained, file):
    same(netc.load(net, file, seed=5).state_dict(), trained.state_dict())


def test_pycaffe(net, trained, file):
    copied = pycaffe.Net(str(net), pycaffe.TEST)
    copied.copy_from(str(file))
    constructed = pycaffe.Net(str(net), str(file), pycaffe.TEST)
    for found in (copied, constructed):
        for (_, expected), blobs in zip(file_weights(weighted(trained)).with_blobs.arrays, found.params.values()):
            for one, other in zip(expected, blobs):
                np.testing.assert_array_equal(one, other.data)


def test_train_test_and_weights(net, file, tmp_path):
    solver = tmp_path / "solver.prototxt"
    solver.write_text(f'net: "{net}" base_lr: 0 lr_policy: "fixed" max_iter: 1 snapshot_prefix: "{tmp_path}/s"')
    for arguments in (["train", str(solver), "--weights", str(file)], ["test", str(net), "--weights", str(file)]):
        assert cli.main([*arguments, *["--iterations", "1"] * (arguments[0] == "test")]) == 0
    read = read_any(tmp_path / "s_iter_1.caffemodel").by_name
    assert read["fc"].blobs[1].data.tolist() == netc.load(net, file).state_dict()["fc.bias"].tolist()
    listed = CliRunner().invoke(cli.netc, ["weights", str(file), str(net), "--format", "json"])
    rows = {(row["layer"], row["index"]): row for row in json.loads(listed.stdout)["blobs"]}
    assert json.loads(listed.stdout)["fits"] is True
    assert rows["conv/1.a", 0]["file"] == [4, 3, 3, 3]
    assert rows["fc", 0]["file"] == [64, 5]


@pytest.mark.parametrize("kind", FORMATS)
def test_fine_tuning(net, trained, kind, tmp_path):
    other = tmp_path / "other.prototxt"
    other.write_text(NET.format(fc="fc.new"))
    target = netc.load(other, seed=1)
    report = start_from(target, saved(trained, tmp_path / f"w.{kind}"))
    assert set(report.loaded) == {"conv/1.a", "bn"}
    assert report.missing == ("fc.new",)
    report = start_from(target, saved(trained, tmp_path / f"w.{kind}"), {"fc": "fc.new"})
    assert set(report.loaded) == {"conv/1.a", "bn", "fc.new"}
    same(dict(zip(trained.state_dict(), target.state_dict().values())), trained.state_dict())
    with pytest.raises(NetcError, match="has no layer `fd` to rename"):
        start_from(target, saved(trained, tmp_path / f"w.{kind}"), {"fd": "fc.new"})


@pytest.mark.parametrize("kind", FORMATS)
def test_a_layer_whose_name_torch_reserves_can_be_renamed(net, kind, tmp_path):
    other = tmp_path / "other.prototxt"
    other.write_text(NET.format(fc="train"))
    trained, target = netc.load(other, seed=3), netc.load(net, seed=1)
    report = start_from(target, saved(trained, tmp_path / f"w.{kind}"), {"train": "fc"})
    assert "fc" in report.loaded
    assert torch.equal(target.state_dict()["fc.weight"], trained.state_dict()["%train.weight"])


def test_a_state_that_has_a_part_of_a_layer(net, trained, tmp_path):
    state = trained.state_dict()
    del state["fc.bias"]
    torch.save(state, tmp_path / "w.pt")
    with pytest.raises(NetcError, match=r"has `fc.weight`, but not `fc.bias` of layer `fc`"):
        netc.load(net, tmp_path / "w.pt")


def test_a_state_of_other_shapes(net, trained, tmp_path):
    torch.save({**trained.state_dict(), "fc.weight": torch.zeros(5, 64)}, tmp_path / "w.pt")
    with pytest.raises(
        NetcError, match=r"do not match layer `fc`: \[5,64\] \[5\] in the file, \[64,5\] \[5\] in the net"
    ):
        netc.load(net, tmp_path / "w.pt")


def test_half_precision(net, trained, tmp_path):
    for kind in (torch.bfloat16, torch.float16, torch.float64):
        save_file({name: tensor.to(kind) for name, tensor in trained.state_dict().items()}, tmp_path / "w")
        same(netc.load(net, tmp_path / "w").state_dict(), trained.state_dict())


def test_a_listing_without_a_net(trained, tmp_path):
    path = saved(trained, tmp_path / "w.npz")
    rows = list_weights(path, stats=True).rows
    assert [(row.layer, row.type, row.file) for row in rows if row.layer != "bn"] == [
        ("conv/1%2Ea", "weight", (4, 3, 3, 3)),
        ("conv/1%2Ea", "bias", (4,)),
        ("fc", "weight", (64, 5)),
        ("fc", "bias", (5,)),
    ]
    assert rows[0].statistics.min == 1
    shown = CliRunner().invoke(cli.netc, ["weights", str(path)]).stdout
    assert shown.startswith("(unnamed): 3 layers, 446 values\n")
    assert [line.split()[:2] for line in shown.splitlines()[-2:]] == [["fc", "weight"], ["fc", "bias"]]


@pytest.mark.parametrize(
    ("data", "what", "help"),
    [
        (b"<!DOCTYPE html><html>404</html>", "an HTML or XML page", "download the file itself"),
        (b"\xef\xbb\xbf\n <HTML>", "an HTML or XML page", "download the file itself"),
        (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code>", "an HTML or XML page", "download the file itself"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 9\n", "a Git LFS pointer", "git lfs pull"),
        (b"\x1f\x8b\x08", "a gzip archive", "gunzip"),
        (b"7z\xbc\xaf\x27\x1c", "a compressed archive", "unpack it"),
    ],
)
@pytest.mark.parametrize("reader", [netc.weights.read, read_any, netc.weights.read_blob, netc.weights.read_solverstate])
def test_what_a_download_may_be(data, what, help, reader, tmp_path):
    path = tmp_path / "net.caffemodel"
    path.write_bytes(data)
    with pytest.raises(NetcError) as error:
        reader(path)
    (found,) = error.value.diagnostics
    assert found.code == "E402"
    assert what in found.message
    assert help in found.help


@pytest.mark.parametrize("verb", ["check", "summary", "weights"])
def test_what_is_saved_in_place_of_a_prototxt(verb, tmp_path, capsys):
    for data, what in ((b"<html>", "an HTML"), (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer")):
        path = tmp_path / "net.prototxt"
        path.write_bytes(data)
        assert cli.main([verb, str(path)]) == 1
        assert f"error[E402]: `{path}` is {what}" in capsys.readouterr().err


def test_a_solver_state_in_hdf5(tmp_path):
    state = netc.weights.SolverState(3, None, ())
    netc.weights.write_solverstate_hdf5(tmp_path / "a.h5", state)
    with pytest.raises(NetcError, match="is a Caffe solver state, not a Caffe weight file"):
        read_any(tmp_path / "a.h5")


def test_an_onnx_model_is_named(tmp_path):
    pytest.importorskip("onnx")
    path = tmp_path / "net.prototxt"
    path.write_text(NET.format(fc="fc"))
    netc.convert(path, to="onnx", output=tmp_path / "m.onnx")
    with pytest.raises(NetcError, match="is an ONNX model, not a Caffe weight file"):
        read_any(tmp_path / "m.onnx")


def test_old_torch_files(net, trained, tmp_path):
    torch.save(trained.state_dict(), tmp_path / "w.pth", _use_new_zipfile_serialization=False)
    assert isinstance(read_any(tmp_path / "w.pth"), StateDict)
    same(netc.load(net, tmp_path / "w.pth").state_dict(), trained.state_dict())
