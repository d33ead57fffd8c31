"""VideoData: frames of a video, clips and segments of lists, in order, resized, and from where the layer says."""

from __future__ import annotations

import contextlib

import cv2
import numpy as np
import pytest

from netc.data import open_source
from netc.data.pipeline.device_feed import DeviceFeed
from netc.ir.transform import Transform
from netc.layers.video_data import OldVideoClips, VideoClips, VideoFrames, VideoSegments
from netc.weights import write_blob
from tests.data.databases import fault

FRAMES = 20


@pytest.fixture
def video(tmp_path):
    """Frame i has the gray level 10 i, about."""
    path = tmp_path / "a.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (48, 32))
    for number in range(FRAMES):
        writer.write(np.full((32, 48, 3), 10 * number, np.uint8))
    writer.release()
    return path


@pytest.fixture
def folder(tmp_path):
    """Frames 1 to 20 in three spellings; frame i has blue i, green 2 i, red 3 i, x component 4 i, y component 5 i."""
    for number in range(1, FRAMES + 1):
        pixel = np.full((6, 8, 3), (number, 2 * number, 3 * number), np.uint8)
        for name in (f"{number:06d}.jpg", f"image_{number:04d}.png"):
            (tmp_path / "frames").mkdir(exist_ok=True)
            path = tmp_path / "frames" / name
            path.write_bytes(cv2.imencode(".png", pixel)[1].tobytes())
        for one, factor in (("x", 4), ("y", 5)):
            cv2.imwrite(str(tmp_path / "frames" / f"flow_{one}_{number:04d}.png"), np.full((6, 8), factor * number))
    return tmp_path


def listed(folder, text: str) -> str:
    (folder / "list.txt").write_text(text)
    return str(folder / "list.txt")


def tops(layer, batches=1, phase="TEST", seed=0):
    with contextlib.closing(open_source(layer, phase, seed=seed)) as source:
        feed = DeviceFeed(source, "cpu")
        return [tuple(top.clone().numpy() for top in feed.next()) for _ in range(batches)]


def test_frames_of_a_video(video):
    layer = VideoFrames(3, Transform(crop_size=16, mean_value=(5.0,)), "VIDEO", video_file=str(video))
    found = tops(layer, 8)
    data = np.concatenate([data for data, _ in found])
    assert data.shape == (24, 3, 16, 16)
    np.testing.assert_allclose(data.mean((1, 2, 3)), [10 * (i % FRAMES) - 5 for i in range(24)], atol=2)
    assert not found[0][1].any()
    skipping = VideoFrames(3, Transform(), "VIDEO", video_file=str(video), skip_frames=2)
    data = np.concatenate([data for data, _ in tops(skipping, 3)])
    np.testing.assert_allclose(data.mean((1, 2, 3)), [10 * (3 * (i % 6) + 2) for i in range(9)], atol=2)


def test_a_video_is_a_file(tmp_path):
    for name in ("none.avi", "http://127.0.0.1:9/a.avi", "/dev/video0"):
        with fault("E501", f"video `{name}` does not exist"):
            open_source(VideoFrames(1, Transform(), "VIDEO", video_file=name), "TEST")
    (tmp_path / "text.avi").write_text("text")
    with fault("E501", "is not a video that OpenCV can read"):
        open_source(VideoFrames(1, Transform(), "VIDEO", video_file=str(tmp_path / "text.avi")), "TEST")


def test_clips_of_folders(folder):
    path = listed(folder, "frames 3 7\nframes 10 8\n")
    layer = VideoClips(2, Transform(mean_value=(1.0, 2.0, 3.0)), path, new_length=4, sampling_rate=2)
    ((data, labels),) = tops(layer)
    assert data.shape == (2, 3, 4, 6, 8)
    assert labels.tolist() == [7, 8]
    for clip, first in zip(data, (3, 10)):
        for channel in range(3):
            expected = [(channel + 1) * (first + 2 * i) - (channel + 1) for i in range(4)]
            assert clip[channel].mean((1, 2)).tolist() == expected
    small = VideoClips(1, Transform(crop_size=2), path, new_length=2, new_height=3, new_width=4)
    assert tops(small)[0][0].shape == (1, 3, 2, 2, 2)


def test_clips_of_c3d_1_0_and_a_mean_of_clips(folder):
    path = listed(folder, "frames 3 7\n")
    mean = np.random.default_rng(0).integers(0, 9, (1, 3, 2, 6, 8)).astype(np.float32)
    write_blob(folder / "mean.binaryproto", mean)
    transform = Transform(crop_size=4, mean_file=str(folder / "mean.binaryproto"))
    ((data, labels),) = tops(OldVideoClips(1, transform, path, new_length=2))
    frames = np.array([[c * 3, c * 4] for c in (1, 2, 3)], np.float32)[None, :, :, None, None]
    np.testing.assert_array_equal(data, (frames - mean)[..., 1:5, 2:6])
    assert labels.tolist() == [7]
    with fault("E506", "line 1 is not a path, a number and a label") as caught:
        open_source(OldVideoClips(1, Transform(), listed(folder, "frames\n")), "TEST")
    assert caught.value.diagnostics[0].field == "image_data_param.source"


def test_clips_begin_at_random_in_training_only(folder):
    path = listed(folder, "frames 20 1\n" * 3)
    layer = VideoClips(1, Transform(), path, new_length=4, use_temporal_jitter=True)
    starts = [int(data[0, 0, 0, 0, 0]) for data, _ in tops(layer, 40, "TRAIN", seed=3)]
    assert min(starts) >= 1
    assert 12 < max(starts) <= 17
    assert len(set(starts)) > 8
    assert starts == [int(data[0, 0, 0, 0, 0]) for data, _ in tops(layer, 40, "TRAIN", seed=3)]
    assert {int(data[0, 0, 0, 0, 0]) for data, _ in tops(layer, 4)} == {1}
    short = VideoClips(1, Transform(), path, new_length=21, use_temporal_jitter=True)
    with fault("E504", "`frames` has 20 frames, a clip needs 21"):
        tops(short)


def test_clips_of_videos(video):
    path = listed(video.parent, "a.avi 5 1\na.avi 2 0\n")
    layer = VideoClips(2, Transform(), path, new_length=3, sampling_rate=3, use_image=False)
    ((data, labels),) = tops(layer)
    assert data.shape == (2, 3, 3, 32, 48)
    np.testing.assert_allclose(data.mean((1, 3, 4)), [[50, 80, 110], [20, 50, 80]], atol=2)
    assert labels.tolist() == [1, 0]
    path = listed(video.parent, "a.avi 1\n")
    jitter = VideoClips(1, Transform(), path, new_length=3, use_image=False, use_temporal_jitter=True)
    ((data, _),) = tops(jitter)
    np.testing.assert_allclose(data.mean((1, 3, 4)), [[0, 10, 20]], atol=2)


def test_segments(folder):
    path = listed(folder, "frames 20 4\n")
    layer = VideoSegments(
        1, Transform(), path, new_length=2, num_segments=3, modality="RGB", name_pattern="image_%04d.png"
    )
    ((data, labels),) = tops(layer)
    assert data.shape == (1, 18, 6, 8)
    # Parts of 6 frames, of which the third and fourth are the middle ones (offset 2, counted from 1).
    numbers = [offset + i for offset in (3, 9, 15) for i in range(2)]
    assert data[0, :, 0, 0].tolist() == [(channel + 1) * number for number in numbers for channel in range(3)]
    assert labels.tolist() == [4]
    flow = VideoSegments(1, Transform(), path, new_length=5, num_segments=2, name_pattern="flow_%c_%04d.png")
    ((data, _),) = tops(flow)
    assert data[0, :, 0, 0].tolist() == [
        factor * (first + i) for first in (4, 14) for i in range(5) for factor in (4, 5)
    ]
    starts = {int(data[0, 0, 0, 0]) for data, _ in tops(layer, 30, "TRAIN", seed=1)}
    assert starts == {1, 2, 3, 4, 5}
    short = VideoSegments(
        1,
        Transform(),
        listed(folder, "frames 4 4\n"),
        new_length=3,
        num_segments=2,
        modality="RGB",
        name_pattern="image_%04d.png",
    )
    assert tops(short)[0][0][0, :, 0, 0].tolist() == [(c + 1) * n for n in (1, 2, 3) * 2 for c in range(3)]


def test_bad_lists(folder):
    for text in ("frames 3\n", "frames x 3\n", "frames -1 3\n", "3 4\n"):
        with fault("E506", "line 1 is not a path, a number and a label"):
            open_source(VideoClips(1, source=listed(folder, text)), "TEST")
    with fault("E502", "is empty"):
        open_source(VideoClips(1, source=listed(folder, "\n")), "TEST")
    with fault("E504", "frame `", "000021.jpg"):
        open_source(VideoClips(1, source=listed(folder, "frames 19 1\n"), new_length=3), "TEST")
    (folder / "frames" / "000004.jpg").write_bytes(cv2.imencode(".png", np.zeros((3, 3, 3), np.uint8))[1].tobytes())
    with fault("E505", "has frames of several sizes"):
        open_source(VideoClips(1, source=listed(folder, "frames 3 1\n"), new_length=2), "TEST")
