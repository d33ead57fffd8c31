"""Layers that formats once wrote with other results, or not at all: each format has Caffe's numbers."""

import numpy as np
import pytest
import torch

from netc.conversion.convert import convert
from netc.conversion.verify import verify
from netc.diagnostics import NetcError, Source
from netc.weights import BlobArray, LayerBlobs, Weights, write_caffemodel

INPUT = 'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 } } }\n'
WEIGHT = np.arange(12, dtype=np.float32).reshape(3, 4)
TRANSPOSED = (
    'layer { name: "fc" type: "InnerProduct" bottom: "data" top: "fc" inner_product_param { num_output: 4 %s } }'
)
LOSS = """
layer { name: "label" type: "Input" top: "label" input_param { shape { dim: 2 } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "data" bottom: "label" top: "loss" }
layer { name: "twice" type: "Power" bottom: "loss" top: "twice" power_param { scale: 2 } }
"""


def run(file, **inputs):
    """The outputs of an exported model."""
    tensors = {name: torch.tensor(value, dtype=torch.float32) for name, value in inputs.items()}
    if file.suffix == ".onnx":
        session = pytest.importorskip("onnxruntime").InferenceSession(file, providers=["CPUExecutionProvider"])
        return session.run(None, {name: tensor.numpy() for name, tensor in tensors.items()})
    if file.suffix == ".pt2":
        found = torch.export.load(file).module()(*tensors.values())
    else:
        space = {"__file__": str(file)}
        exec(compile(file.read_text(), file.name, "exec"), space)
        found = space["load"]()(*tensors.values())
    found = found.values() if isinstance(found, dict) else [found]
    return [tensor.detach().numpy() for tensor in found]


@pytest.fixture
def transposed(tmp_path):
    """The weights of a fully connected layer that Caffe stores transposed."""
    blobs = (BlobArray(WEIGHT), BlobArray(np.zeros(4, np.float32)))
    write_caffemodel(tmp_path / "fc.caffemodel", Weights((LayerBlobs("fc", "InnerProduct", blobs),)).with_blobs)
    return Source("net", INPUT + TRANSPOSED % "transpose: true"), tmp_path / "fc.caffemodel"


@pytest.mark.parametrize("to", ["py", "onnx", "pt2"])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_a_transposed_inner_product(tmp_path, transposed, to):
    done = convert(*transposed, to=to, output=tmp_path / "out")
    (found,) = run(done.files[0], data=[[1, 0, 0], [0, 10, 1]])
    np.testing.assert_array_equal(found, [[0, 1, 2, 3], [48, 59, 70, 81]])


def test_the_safetensors_of_a_transposed_inner_product(tmp_path, transposed):
    from safetensors.numpy import load_file

    for to, name in (("safetensors", "out.safetensors"), ("py", "out.safetensors")):
        convert(*transposed, to=to, output=tmp_path / "out")
        assert sorted(map(float, load_file(tmp_path / name)["fc.weight"].ravel())) == sorted(WEIGHT.ravel())


def test_a_dropout_that_scales_in_test_is_a_factor_in_onnx(tmp_path):
    text = 'layer { name: "d" type: "Dropout" bottom: "data" top: "d" dropout_param { dropout_ratio: 0.25 %s } }'
    done = convert(Source("net", INPUT + text % "scale_train: false"), to="onnx", output=tmp_path / "out")
    (found,) = run(done.files[0], data=[[4, 8, -4]])
    np.testing.assert_array_equal(found, [[3, 6, -3]])
    with pytest.raises(NetcError, match="cannot be exported to ONNX") as caught:
        convert(Source("net", INPUT + text % "sample_weights_test: true"), to="onnx", output=tmp_path / "out")
    assert "draws random numbers, also in test" in caught.value.render()


@pytest.mark.parametrize("to", ["py", *(pytest.param(to, marks=pytest.mark.slow) for to in ("onnx", "pt2"))])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_a_layer_that_reads_a_loss(tmp_path, to):
    done = convert(Source("net", INPUT + LOSS), to=to, output=tmp_path / "out")
    assert not done.warnings
    (found,) = run(done.files[0], data=[[0, 0, np.log(2)], [0, 0, 0]], label=[2, 1])
    assert np.isclose(found, np.log(2) + np.log(3))


def test_a_layer_that_reads_a_loss_keeps_it_for_caffe(tmp_path):
    done = convert(Source("net", INPUT + LOSS), to="caffe", output=tmp_path / "out", scores=True)
    found = verify(done.files[0], done.files[0], weights=done.files[1], inputs={
        "data": np.zeros((2, 3)), "label": np.zeros(2)})  # fmt: skip
    assert [one.name for one in found.differences] == ["prob", "loss", "twice"]


def test_a_layer_that_writes_a_file_is_left_out(tmp_path):
    text = 'layer { name: "r" type: "ReLU" bottom: "data" top: "r" }\n'
    text += 'layer { name: "out" type: "HDF5Output" bottom: "r" bottom: "r" hdf5_output_param { file_name: "x.h5" } }'
    for to in ("py", "onnx", "pt2"):
        done = convert(Source("net", INPUT + text), to=to, output=tmp_path / "out")
        (found,) = done.warnings
        assert (found.code, found.line) == ("W805", 3)
        assert found.message == "the layer `out` has no top: it is left out of the model"


def test_unknown_extents_are_not_written_for_caffe(tmp_path):
    text = """layer { name: "data" type: "ImageData" top: "data" top: "label" image_data_param { source: "x" } }
    layer { name: "r" type: "ReLU" bottom: "data" top: "r" }"""
    with pytest.raises(NetcError) as caught:
        convert(Source("net", text), to="caffe", output=tmp_path / "out")
    (found,) = caught.value.diagnostics
    assert (found.code, found.help) == ("E802", "pass the shape of the data: `--shape data=n,c,h,w`")
    with pytest.raises(NetcError) as caught:
        convert(Source("net", text.replace('"data"', '"image"')), to="caffe", output=tmp_path / "out")
    assert caught.value.diagnostics[0].help == "pass the shape of the data: `--shape image=n,c,h,w`"
    done = convert(Source("net", text), to="caffe", output=tmp_path / "out", shapes={"data": (1, 3, 4, 5)})
    assert "-1" not in done.files[0].read_text()
