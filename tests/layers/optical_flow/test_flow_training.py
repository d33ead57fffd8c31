"""A net like FlowNet's, from its database to its loss: it is checked, trained, resumed, deployed and written again."""

from __future__ import annotations

import lmdb
import numpy as np
import pytest
import torch

import netc
import netc.pycaffe as caffe
from netc.data.sources.datum import write_datum
from netc.diagnostics import Source

H, W = 24, 32
BERNOULLI = 'rand_type: "uniform_bernoulli" prob: 1.0'
EIGVEC = " ".join(f"chromatic_eigvec: {v}" for v in (0.51, 0.56, 0.65, 0.79, 0.01, -0.62, 0.35, -0.83, 0.44))
AUGMENTATION = f"""
layer {{ name: "scaled0" type: "Eltwise" bottom: "img0" top: "blob3" eltwise_param {{ coeff: 0.00392156862745 }} }}
layer {{ name: "scaled1" type: "Eltwise" bottom: "img1" top: "blob4" eltwise_param {{ coeff: 0.00392156862745 }} }}
layer {{ name: "img0s_aug" type: "DataAugmentation" bottom: "blob3" top: "img0_aug" top: "blob7" propagate_down: false
  augmentation_param {{ max_multiplier: 1 recompute_mean: 5 mean_per_pixel: false crop_width: 24 crop_height: 16
    translate {{ {BERNOULLI} spread: 0.2 }} rotate {{ {BERNOULLI} spread: 0.3 }} {EIGVEC}
    zoom {{ {BERNOULLI} exp: true mean: 0.2 spread: 0.3 }} squeeze {{ {BERNOULLI} exp: true spread: 0.2 }}
    lmult_pow {{ {BERNOULLI} exp: true mean: -0.2 spread: 0.4 }} sat_mult {{ {BERNOULLI} exp: true spread: 0.5 }}
    col_pow {{ rand_type: "gaussian_bernoulli" exp: true spread: 0.4 }} ladd_add {{ spread: 0.04 }}
    col_rotate {{ {BERNOULLI} spread: 1 }} noise {{ {BERNOULLI} mean: 0.03 spread: 0.03 }} }} }}
layer {{ name: "aug_params1" type: "GenerateAugmentationParameters" bottom: "blob7" bottom: "blob3" bottom: "img0_aug"
  top: "blob8" augmentation_param {{ augment_during_test: false
    translate {{ rand_type: "gaussian_bernoulli" spread: 0.03 }} rotate {{ rand_type: "gaussian" spread: 0.03 }}
    gamma {{ rand_type: "gaussian_bernoulli" exp: true spread: 0.02 }} brightness {{ {BERNOULLI} spread: 0.02 }} }}
  coeff_schedule_param {{ half_life: 50000 initial_coeff: 0.5 final_coeff: 1 }} }}
layer {{ name: "img1s_aug" type: "DataAugmentation" bottom: "blob4" bottom: "blob8" top: "img1_aug"
  propagate_down: false propagate_down: false
  augmentation_param {{ max_multiplier: 1 recompute_mean: 5 mean_per_pixel: false crop_width: 24 crop_height: 16
    {EIGVEC} }} }}
"""
CONV = """
layer { name: "both" type: "Concat" bottom: "%s" bottom: "%s" top: "both" }
layer { name: "conv" type: "Convolution" bottom: "both" top: "predicted" convolution_param { num_output: 2
  kernel_size: 3 pad: 1 weight_filler { type: "msra" } } }
"""
FLOW = """
layer { name: "FlowAugmentation1" type: "FlowAugmentation" bottom: "flow" bottom: "blob7" bottom: "blob8"
  top: "flow_aug" augmentation_param { crop_width: 24 crop_height: 16 } }
layer { name: "black" type: "BlackAugmentation" bottom: "img0_aug" bottom: "img1_aug" bottom: "flow_aug"
  top: "image0" top: "image1" top: "flow_black"
  black_augmentation_param { black { rand_type: "bernoulli" prob: 0.1 } border { prob: 0.1 mean: 0.2
    rand_type: "uniform_bernoulli" } } }
"""
LOSS = """
layer { name: "loss" type: "L1Loss" bottom: "predicted" bottom: "flow_black" top: "loss" loss_weight: 0.32
  l1_loss_param { l2_per_location: true normalize_by_num_entries: true } }
"""
DEPLOY = (
    f"""
layer {{ name: "img0" type: "Input" top: "img0" input_param {{ shape {{ dim: 1 dim: 3 dim: {H} dim: {W} }} }} }}
layer {{ name: "img1" type: "Input" top: "img1" input_param {{ shape {{ dim: 1 dim: 3 dim: {H} dim: {W} }} }} }}
"""
    + AUGMENTATION
    + CONV % ("img0_aug", "img1_aug")
)


def data(folder) -> str:
    return f"""
layer {{ name: "data" type: "CustomData" top: "img0" top: "img1" top: "flow" data_param {{ source: "{folder}/db"
  batch_size: 4 backend: LMDB rand_permute: true rand_permute_seed: 77 slice_point: 3 slice_point: 6 encoding: UINT8
  encoding: UINT8 encoding: UINT16FLOW }} }}
"""


@pytest.fixture
def solver(tmp_path):
    random = np.random.default_rng(3)
    with lmdb.open(str(tmp_path / "db"), map_size=1 << 22) as env, env.begin(write=True) as writing:
        for index in range(6):
            images = random.integers(0, 256, (6, H, W), np.uint8)
            flow = random.integers(-64, 64, (2, H, W)).astype("<i2")
            writing.put(f"{index:08}".encode(), write_datum((8, H, W), images.tobytes() + flow.tobytes(), 0))
    (tmp_path / "train.prototxt").write_text(data(tmp_path) + AUGMENTATION + FLOW + CONV % ("image0", "image1") + LOSS)
    path = tmp_path / "solver.prototxt"
    path.write_text(
        f'net: "{tmp_path}/train.prototxt" type: "Adam" base_lr: 0.01 lr_policy: "fixed" max_iter: 100 random_seed: 1'
        f' snapshot_prefix: "{tmp_path}/s" momentum: 0.9'
    )
    return path


def test_the_net_is_valid(solver):
    found = netc.check(solver.parent / "train.prototxt")
    assert {one.code for one in found} <= {"W108"}, found


def test_it_trains_resumes_and_is_deployed(solver, tmp_path):
    made = caffe.SGDSolver(str(solver))
    made.step(1)
    assert made.net.blobs["img0_aug"].data.shape == (4, 3, 16, 24)
    assert np.isfinite(made.net.blobs["loss"].data)
    assert np.abs(made.net.blobs["blob8"].data).max() > 0
    assert not np.array_equal(made.net.blobs["blob7"].data, made.net.blobs["blob8"].data)
    assert made.net.params["img0s_aug"][0].data.ravel().tolist() == [1]
    made.step(6)
    assert made.net.params["img0s_aug"][0].data.ravel().tolist() == [7]
    assert abs(made.net.params["img0s_aug"][2].data.mean() - 0.5) < 0.2
    before = made.net.params["conv"][0].data.copy()
    made.snapshot()
    made.step(3)
    after = made.net.params["conv"][0].data.copy()
    again = caffe.SGDSolver(str(solver))
    again.restore(f"{tmp_path}/s_iter_7.solverstate")
    np.testing.assert_array_equal(again.net.params["conv"][0].data, before)
    assert again.net.params["img1s_aug"][0].data.ravel().tolist() == [7]
    again.step(3)
    np.testing.assert_allclose(again.net.params["conv"][0].data, after, rtol=1e-5, atol=1e-6)
    weights = tmp_path / "s_iter_7.caffemodel"
    net = netc.load(Source("deploy.prototxt", DEPLOY), weights)
    assert not net.report.warnings
    images = [255 * torch.rand(1, 3, H, W, generator=torch.Generator().manual_seed(i)) for i in range(2)]
    flow = net(*images)["predicted"]
    assert flow.shape == (1, 2, 16, 24)
    wide = DEPLOY.replace("crop_width: 24 crop_height: 16", f"crop_width: {W} crop_height: {H}")
    assert netc.load(Source("deploy.prototxt", wide), weights)(*images)["predicted"].shape == (1, 2, H, W)


@pytest.mark.slow
def test_it_is_written_as_caffe_onnx_and_python(solver, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    made = caffe.SGDSolver(str(solver))
    made.step(2)
    made.net.save(f"{tmp_path}/w.caffemodel")
    (tmp_path / "deploy.prototxt").write_text(DEPLOY)
    for kind, name in (("onnx", "net.onnx"), ("py", "net.py"), ("caffe", "again.prototxt")):
        more = {"dialect": "flownet2"} if kind == "caffe" else {}
        netc.convert(tmp_path / "deploy.prototxt", tmp_path / "w.caffemodel", to=kind, output=tmp_path / name, **more)
    net = netc.load(tmp_path / "deploy.prototxt", tmp_path / "w.caffemodel")
    images = [255 * torch.rand(1, 3, H, W, generator=torch.Generator().manual_seed(i)) for i in range(2)]
    expected = net(*images)["predicted"].detach().numpy()
    again = netc.load(tmp_path / "again.prototxt", tmp_path / "again.caffemodel")
    np.testing.assert_array_equal(again(*images)["predicted"].detach().numpy(), expected)
    session = onnxruntime.InferenceSession(str(tmp_path / "net.onnx"))
    (found,) = session.run(["predicted"], {f"img{i}": image.numpy() for i, image in enumerate(images)})
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
