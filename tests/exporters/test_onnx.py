"""Nets as ONNX: checked, run by onnxruntime at two batch sizes, under the net's own names."""

import io
import subprocess
import sys

import numpy as np
import pytest

from netc.conversion.models import net_of
from netc.diagnostics import NetcError
from netc.exporters.input_stage import InputStage
from netc.exporters.onnx import onnx_model
from netc.passes.drop_identities import drop_identities
from netc.passes.fold_batch_norm import fold_batch_norm
from netc.weights import BlobArray, LayerBlobs, Weights, write_caffemodel
from tests.conversion.nets import MIXED, close, hostile_net, inputs_of, trained, write

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

ONE = """layer {{ name: "data" type: "Input" top: "data" input_param {{ shape {{ dim: 2 dim: 4 dim: 9 dim: 7 }} }} }}
layer {{ name: "one" bottom: "data" top: "one" {} }}
"""
DUMP = """layer {{ name: "dump" type: "HDF5Output" bottom: "{0}" bottom: "{0}"
  hdf5_output_param {{ file_name: "out.h5" }} }}
"""
LAYERS = {
    "dilated": 'type: "Convolution" convolution_param { num_output: 3 kernel_size: 2 dilation: 2 stride: 3 }',
    "transposed product": 'type: "InnerProduct" inner_product_param { num_output: 5 transpose: true }',
    "product of rows": 'type: "InnerProduct" inner_product_param { num_output: 5 axis: -1 bias_term: false }',
    "product of planes": 'type: "InnerProduct" inner_product_param { num_output: 5 axis: 2 }',
    "within": 'type: "LRN" lrn_param { local_size: 3 alpha: 2 norm_region: WITHIN_CHANNEL }',
    "across": 'type: "LRN" lrn_param { local_size: 3 alpha: 2 beta: 0.5 k: 3 }',
    "overhang": 'type: "Pooling" pooling_param { pool: AVE kernel_size: 4 stride: 3 pad: 2 }',
    "outside": 'type: "Pooling" pooling_param { pool: MAX kernel_size: 1 stride: 4 }',
    "wide": 'type: "Pooling" pooling_param { pool: MAX kernel_h: 3 kernel_w: 2 stride: 2 pad_h: 2 pad_w: 1 }',
    "floor": 'type: "Pooling" pooling_param { pool: AVE kernel_size: 4 stride: 2 round_mode: FLOOR }',
    "global": 'type: "Pooling" pooling_param { pool: MAX global_pooling: true }',
    "reshape": 'type: "Reshape" reshape_param { shape { dim: 0 dim: -1 dim: 3 } axis: 1 num_axes: 2 }',
    "flatten": 'type: "Flatten" flatten_param { axis: 1 end_axis: 2 }',
    "tile": 'type: "Tile" tile_param { axis: 2 tiles: 3 }',
    "slope": 'type: "PReLU" prelu_param { filler { value: 0.3 } channel_shared: true }',
    "mvn": 'type: "MVN" mvn_param { across_channels: true }',
    "power": 'type: "Power" power_param { power: 2 scale: 0.5 shift: 1 }',
    "constant": 'type: "Power" power_param { power: 2 scale: 0 shift: 3 }',
    "exp": 'type: "Exp" exp_param { base: 2 scale: 0.5 shift: 1 }',
    "clip": 'type: "Clip" clip_param { min: -0.5 max: 0.25 }',
    "elu": 'type: "ELU" elu_param { alpha: 0.4 }',
    "reduction": 'type: "Reduction" reduction_param { operation: SUMSQ axis: 1 coeff: 0.5 }',
    "scale": 'type: "Scale" scale_param { axis: 2 num_axes: 2 bias_term: true }',
    "bias": 'type: "Bias" bias_param { axis: 1 num_axes: 2 }',
    "threshold": 'type: "Threshold" threshold_param { threshold: 0.2 }',
    "softmax": 'type: "Softmax" softmax_param { axis: 2 }',
    "scores of planes": 'type: "BatchNorm" batch_norm_param { eps: 0.01 }',
}


def run(model, feeds):
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads, settings.log_severity_level = 1, 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), settings, ["CPUExecutionProvider"])
    return dict(zip([one.name for one in session.get_outputs()], session.run(None, feeds)))


@pytest.mark.parametrize("folded", [False, True])
@pytest.mark.parametrize("batch", [1, 3])
def test_a_model_returns_the_results_of_the_net(tmp_path, folded, batch):
    model = trained(write(tmp_path, MIXED))
    graph = drop_identities(model)
    made = fold_batch_norm(graph) if folded else graph
    feed = inputs_of(model, batch)
    exported = onnx_model(made).proto()
    assert close(net_of(model).run(feed)["prob"], run(exported, feed)["prob"])
    kinds = [node.op_type for node in exported.graph.node]
    assert kinds.count("LRN") == 1
    assert kinds.count("BatchNormalization") == (0 if folded else 2)
    assert "Identity" not in kinds


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.filterwarnings("ignore:invalid value")
def test_a_layer_has_the_same_meaning(tmp_path, name):
    model = trained(write(tmp_path, ONE.format(LAYERS[name])))
    exported = onnx_model(model).proto()
    for batch in (1, 3):
        feed = inputs_of(model, batch)
        expected, found = net_of(model).run(feed)["one"], run(exported, feed)["one"]
        assert found.shape == expected.shape
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4 * np.nanmax(np.abs(expected)))


def test_names_are_the_nets_own(tmp_path):
    model = trained(write(tmp_path, hostile_net()))
    exported = onnx_model(model).proto()
    assert [node.name for node in exported.graph.node] == [node.name or "Convolution" for node in model.nodes]
    feed = inputs_of(model, 2)
    (expected,) = net_of(model).run({model.values[n].blob: a for n, a in feed.items()}).values()
    (found,) = run(exported, feed).values()
    assert close(expected, found)


def test_the_input_stage_accepts_images_of_bytes(tmp_path):
    model = trained(write(tmp_path, MIXED))
    mean = np.random.default_rng(1).random((3, 23, 19), np.float32) * 100
    exported = onnx_model(model, InputStage(True, mean, 0.02)).proto()
    images = np.random.default_rng(0).integers(0, 256, (3, 23, 19, 3), np.uint8)
    fed = (images.transpose(0, 3, 1, 2)[:, ::-1].astype(np.float32) - mean) * np.float32(0.02)
    assert close(net_of(model).run(data=fed)["prob"], run(exported, {"images": images})["prob"])


def test_half_precision(tmp_path):
    model = trained(write(tmp_path, MIXED))
    feed = inputs_of(model, 1)
    found = run(onnx_model(model, dtype="float16").proto(), {k: v.astype(np.float16) for k, v in feed.items()})
    assert found["prob"].dtype == np.float16
    assert close(net_of(model).run(feed)["prob"], found["prob"].astype(np.float32), 0.03)


def test_a_layer_that_cannot_be_exported_is_an_error_at_its_line(tmp_path):
    text = ONE.format('type: "Power"') + DUMP.format("one")
    model = trained(write(tmp_path, text))
    with pytest.raises(NetcError, match="`HDF5Output` cannot be exported to ONNX") as caught:
        onnx_model(model)
    (found,) = caught.value.diagnostics
    assert found.line == 3
    assert found.notes[0] == "layer `dump`"


def test_a_file_has_what_the_message_has(tmp_path, monkeypatch):
    monkeypatch.setattr("netc.exporters.onnx.model.SMALL", 64)
    model = trained(write(tmp_path, MIXED))
    for dtype in ("float32", "float16", "float64"):
        made, file = onnx_model(model, dtype=dtype), io.BytesIO()
        made.write(file)
        found = onnx.ModelProto.FromString(file.getvalue())
        assert len(made.arrays) > 2
        assert found == made.proto()
        onnx.checker.check_model(found, full_check=True)


LARGE = """layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 dim: 4096 } } }
layer { name: "fc" type: "InnerProduct" bottom: "x" top: "fc"
  inner_product_param { num_output: 16384 bias_term: false } }
"""
PEAK = """
import resource, sys
import onnx, torch
from netc.conversion.convert import convert

before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
convert(*sys.argv[1:3], to="onnx", output=sys.argv[3])
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024)
"""


@pytest.mark.slow
def test_writing_a_model_takes_little_more_memory_than_its_weights(tmp_path):
    array = np.ones((16384, 4096), np.float32)
    layer = LayerBlobs("fc", "InnerProduct", (BlobArray(array),))
    write_caffemodel(tmp_path / "in.caffemodel", Weights((layer,)).with_blobs)
    files = [write(tmp_path, LARGE), tmp_path / "in.caffemodel", tmp_path / "out.onnx"]
    done = subprocess.run([sys.executable, "-c", PEAK, *map(str, files)], check=True, capture_output=True, text=True)
    assert int(done.stdout) < 1.5 * array.nbytes
    assert files[-1].stat().st_size > array.nbytes
