"""Data layers of C3D with a truth for each voxel, compared with the files that they read."""

from __future__ import annotations

import struct
from dataclasses import replace

import numpy as np
import pytest

import netc.pycaffe
from netc.data import open_source
from netc.diagnostics import NetcError
from netc.ir.dims import UNKNOWN
from netc.ir.transform import Transform
from netc.layers.volumes.voxel_truth_data import VideoSegmentationData, VideoWithVoxelTruthData
from netc.weights import write_blob
from tests.layers.contract import raises
from tests.layers.harness import layer_of

REQUIRED = {
    "VideoWithVoxelTruthData": 'source: "a" batch_size: 1 num_truth_channels: 1',
    "VideoSegmentationData": 'source: "a" batch_size: 1',
}
TRANSFORM = {"crop_size": 4, "mirror": True}
WHOLE = {
    f"{name} transform_param": {"image_data_param": fields, "transform_param": TRANSFORM}
    for name, fields in {
        "VideoWithVoxelTruthData": {"source": "a", "batch_size": 1, "num_truth_channels": 1},
        "VideoSegmentationData": {"source": "a", "batch_size": 1},
    }.items()
}
RANDOM = np.random.default_rng(5)
COUNT, C, LENGTH, H, W = 3, 5, 2, 6, 8
VIDEOS = RANDOM.normal(size=(COUNT, C, LENGTH, H, W)).astype(np.float32)
BYTES = RANDOM.integers(0, 256, (COUNT, C, LENGTH, H, W), np.uint8)


def written(folder, arrays):
    """The list of the files that hold arrays."""
    for index, array in enumerate(arrays):
        (folder / f"{index}.bin").write_bytes(struct.pack("<5i", 1, *array.shape) + array.tobytes())
    (folder / "list.txt").write_text("".join(f"{index}.bin\n" for index in range(len(arrays))))
    return str(folder / "list.txt")


def batches(layer, count, phase="TEST", **more):
    source = open_source(layer, phase, tops=("data", "truth"), **{"seed": 1, **more})
    try:
        return source.record_shapes, [source.next_batch().tops for _ in range(count)], dict(source.skipped)
    finally:
        source.close()


def flow(source, **more):
    return VideoWithVoxelTruthData(source=source, batch_size=2, num_truth_channels=2, **more)


def test_whole_videos_in_their_order(tmp_path):
    layer = flow(written(tmp_path, VIDEOS), truth_scale=0.5)
    shapes, (first, second), _ = batches(layer, 2)
    assert layer.batch(shapes, 2) == tuple(top.shape for top in first) == ((2, 3, LENGTH, H, W), (2, 2, LENGTH, H, W))
    for (video, truth), places in ((first, [0, 1]), (second, [2, 0])):
        np.testing.assert_array_equal(video, VIDEOS[places, :3])
        np.testing.assert_array_equal(truth, VIDEOS[places, 3:])


def test_the_middle_of_a_video_of_bytes(tmp_path):
    layer = VideoSegmentationData(source=written(tmp_path, BYTES), batch_size=2, transform=Transform(crop_size=4))
    shapes, ((video, truth),), _ = batches(layer, 1)
    assert shapes == ((C - 1, LENGTH, H, W), (1, LENGTH, H, W))
    np.testing.assert_array_equal(video, BYTES[:2, :4, :, 1:5, 2:6])
    np.testing.assert_array_equal(truth, BYTES[:2, 4:, :, 1:5, 2:6])


def test_random_crops_of_a_mean_and_mirrored_flow(tmp_path):
    mean = RANDOM.normal(size=(3, LENGTH, H, W)).astype(np.float32)
    write_blob(tmp_path / "mean.binaryproto", mean)
    transform = Transform(crop_size=4, mirror=True, scale=0.5, mean_file=str(tmp_path / "mean.binaryproto"))
    layer = flow(written(tmp_path, VIDEOS[:1]), truth_scale=2.0, is_flow=True, transform=transform)
    _, found, _ = batches(layer, 40, "TRAIN")
    seen = set()
    for videos, truths in found:
        for video, truth in zip(videos, truths):
            seen.add(place_of(video, truth, (VIDEOS[0, :3] - mean) * np.float32(0.5), VIDEOS[0, 3:] * np.float32(2)))
    assert {place[0] for place in seen} == {0, 1}
    assert {place[1] for place in seen} == {0, 1, 2, 3}
    assert {place[2] for place in seen} == {False, True}
    again = batches(layer, 1, "TRAIN")[1][0]
    np.testing.assert_array_equal(again[0], found[0][0])


def place_of(video, truth, whole, whole_truth):
    """Where a crop of 4 pixels is, and whether it is mirrored."""
    for top in range(H - 3):
        for left in range(W - 3):
            for mirrored in (False, True):
                step = -1 if mirrored else 1
                window = (..., slice(top, top + 4), slice(left, left + 4))
                if np.allclose(video, whole[window][..., ::step]):
                    expected = whole_truth[window][..., ::step].copy()
                    expected[0] *= step
                    np.testing.assert_allclose(truth, expected)
                    return top, left, mirrored
    raise AssertionError("not a crop of the video")


def test_an_order_for_each_epoch(tmp_path):
    layer = replace(flow(written(tmp_path, VIDEOS), shuffle=True), batch_size=3)
    _, found, _ = batches(layer, 12, "TRAIN")
    orders = {tuple(np.flatnonzero((VIDEOS[:, :3] == one).all((1, 2, 3, 4)))[0] for one in top) for top, _ in found}
    assert all(sorted(order) == [0, 1, 2] for order in orders)
    assert len(orders) > 1


def test_bad_files(tmp_path):
    source = written(tmp_path, VIDEOS)
    (tmp_path / "1.bin").write_bytes(b"\1\0\0\0")
    with pytest.raises(NetcError, match="too short"):
        batches(flow(source), 1)
    _, ((video, _),), skipped = batches(flow(source), 1, skip_bad=True)
    np.testing.assert_array_equal(video, VIDEOS[[0, 2], :3])
    assert len(skipped) == 1
    (tmp_path / "1.bin").write_bytes(struct.pack("<5i", 1, C, LENGTH, H, W))
    with pytest.raises(NetcError, match="20 bytes are not a video"):
        batches(flow(source), 1)
    written(tmp_path, [VIDEOS[0], VIDEOS[1, :, :1]])
    with pytest.raises(NetcError, match="that of the first is"):
        batches(flow(source), 1)
    with pytest.raises(NetcError, match="has 5 channels, of which 5 are the truth"):
        batches(replace(flow(source), num_truth_channels=5), 1)
    with raises("E102", "must be larger than `crop_size` 6"):
        batches(flow(source, transform=Transform(crop_size=6)), 1)
    write_blob(tmp_path / "mean.binaryproto", VIDEOS[0])
    with pytest.raises(NetcError, match="does not fit videos"):
        batches(flow(source, transform=Transform(mean_file=str(tmp_path / "mean.binaryproto"))), 1)
    (tmp_path / "list.txt").write_text("")
    with pytest.raises(NetcError, match="is empty"):
        batches(flow(source), 1)


def test_shapes_and_errors_without_files():
    size = (UNKNOWN, 4, 4)
    layer = flow("none", transform=Transform(crop_size=4))
    assert layer.batch(None, 2) == ((2, UNKNOWN, *size), (2, 2, *size))
    fields = {"source": "a", "batch_size": 1}
    with raises("E103", "`num_truth_channels` must be positive"):
        layer_of("VideoWithVoxelTruthData", {"image_data_param": fields})
    with raises("E103", "`mirror` needs `crop_size`"):
        layer_of("VideoSegmentationData", {"image_data_param": fields, "transform_param": {"mirror": True}})
    with raises("E101", "`mean_value` is not supported"):
        layer_of("VideoSegmentationData", {"image_data_param": fields, "transform_param": {"mean_value": [3]}})


def test_a_net_of_version_1_trains_on_it(tmp_path):
    source = written(tmp_path, VIDEOS)
    (tmp_path / "net.prototxt").write_text(f"""
layers {{ name: "data" type: VIDEO_WITH_VOXEL_TRUTH_DATA top: "data" top: "truth" image_data_param {{ source: "{source}"
  batch_size: 2 num_truth_channels: 2 crop_size: 4 mirror: true is_flow: true truth_scale: 0.5 show_data: 0 }} }}
layers {{ name: "conv" type: CONVOLUTION3D bottom: "data" top: "conv" convolution_param {{ num_output: 2 kernel_size: 3
  kernel_depth: 3 pad: 1 temporal_pad: 1 weight_filler {{ type: "xavier" }} }} }}
layers {{ name: "loss" type: EUCLIDEAN_LOSS bottom: "conv" bottom: "truth" top: "loss" }}
""")
    solver = tmp_path / "solver.prototxt"
    solver.write_text(f'net: "{tmp_path}/net.prototxt" base_lr: 0.01 lr_policy: "fixed" max_iter: 9 random_seed: 1')
    made = netc.pycaffe.SGDSolver(str(solver))
    made.step(3)
    assert made.net.blobs["data"].data.shape == (2, 3, LENGTH, 4, 4)
    assert made.net.blobs["truth"].data.shape == (2, 2, LENGTH, 4, 4)
    assert np.isfinite(made.net.blobs["loss"].data)
