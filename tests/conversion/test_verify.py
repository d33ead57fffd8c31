"""Two forms of one net: where they differ."""

import zipfile

import numpy as np
import pytest

from netc.conversion.convert import convert
from netc.conversion.models import net_of
from netc.conversion.verify import difference, verify
from netc.diagnostics import NetcError
from tests.conversion.nets import inputs_of


def test_the_first_value_that_departs_is_reported(mixed, tmp_path):
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


def test_differences_report_shapes_and_nan():
    assert difference("x", np.zeros((2, 3)), np.zeros((2, 4))).note == "[2,3] and [2,4]"
    assert difference("x", np.array([1, np.nan]), np.array([1, 2.0])).note == "1 and 0 NaN"
    assert difference("x", np.array([np.inf, 1]), np.array([np.inf, 1])).departs is False
    assert difference("x", np.array([np.inf, 1]), np.array([1, 1])).departs is True
    assert difference("x", np.zeros(3), np.zeros(3)).relative == 0


FOLDABLE = """
layer { name: "in" type: "Input" top: "data" input_param { shape { dim: 1 dim: 2 dim: 5 dim: 5 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "x" convolution_param { num_output: 3 kernel_size: 3
  weight_filler { type: "gaussian" std: 1 } } }
layer { name: "scale" type: "Scale" bottom: "x" top: "x" scale_param { bias_term: true filler { value: 3 } } }
"""


def test_a_caffemodel_as_the_second_form_has_its_own_weights(tmp_path):
    (tmp_path / "net.prototxt").write_text(FOLDABLE)
    _, weights = convert(tmp_path / "net.prototxt", to="caffe", output=tmp_path / "w").files
    done = convert(tmp_path / "net.prototxt", weights, to="caffe", fold=True, output=tmp_path / "folded")
    prototxt, folded = done.files
    assert verify(tmp_path / "net.prototxt", folded, weights=weights).agrees
    assert not verify(tmp_path / "net.prototxt", prototxt, weights=weights).agrees  # those of the net before the fold
    assert not verify(tmp_path / "net.prototxt", folded, weights=weights, other_weights=[weights]).agrees


@pytest.mark.parametrize(
    ("to", "kind", "advice"),
    [
        ("safetensors", "a safetensors file", "`--other-weights`"),
        ("pt", "a PyTorch file", "`--other-weights`"),
        ("pt2", "a zip archive", "`torch.export.load`"),
    ],
)
def test_a_file_that_is_not_a_net_is_named_as_what_it_is(to, kind, advice, tmp_path):
    (tmp_path / "net.prototxt").write_text(FOLDABLE)
    if to == "pt2":  # convert writes it in seconds
        with zipfile.ZipFile(tmp_path / "net.pt2", "w") as archive:
            archive.writestr("archive_format", "pt2")
    else:
        convert(tmp_path / "net.prototxt", to=to, output=tmp_path / f"net.{to}")
    with pytest.raises(NetcError) as caught:
        verify(tmp_path / "net.prototxt", tmp_path / f"net.{to}")
    found = caught.value.diagnostics[0]
    assert found.code == "E402"
    assert found.message.endswith(f"is {kind}, not a net")
    assert advice in found.help
