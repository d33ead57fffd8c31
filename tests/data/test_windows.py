"""WindowData: window files, how windows are drawn, scaled and padded."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from netc.data import open_source
from netc.data.pipeline.device_feed import DeviceFeed
from netc.data.sources.windows import Corners, WindowRecords, place_window
from netc.diagnostics import NetcError
from netc.ir.transform import Transform
from netc.layers.data import WindowData
from netc.weights import write_blob
from tests.data.databases import fault, labels, random_images

SIZE = 16


@pytest.fixture
def folder(tmp_path):
    for i, image in enumerate(random_images(2, (3, 40, 50))):
        cv2.imwrite(str(tmp_path / f"{i}.png"), image.transpose(1, 2, 0))
    (tmp_path / "windows.txt").write_text(
        "# 0\n0.png\n3\n40\n50\n3\n7 0.9 5 6 24 35\n8 0.5 0 0 9 9\n3 0.3 30 20 49 39\n"
        "# 1\n1.png\n3\n40\n50\n2\n2 0.1 10 10 20 20\n9 1 0 5 49 30\n"
    )
    return tmp_path


def layer(folder, transform=None, **settings) -> WindowData:
    transform = transform or {}
    own = {"batch_size": 8, "fg_threshold": 0.5, "bg_threshold": 0.2, "root_folder": f"{folder}/", **settings}
    return WindowData(
        source=str(folder / "windows.txt"), transform=Transform(**{"crop_size": SIZE, **transform}), **own
    )


def test_windows_are_divided_by_overlap(folder):
    file = WindowRecords(layer(folder), lambda name: folder / "windows.txt").file
    assert file.foreground.tolist() == [[0, 7, 5, 6, 24, 35], [0, 8, 0, 0, 9, 9], [1, 9, 0, 5, 49, 30]]
    assert file.background.tolist() == [[1, 0, 10, 10, 20, 20]]


@pytest.mark.parametrize(("fraction", "foreground"), [(0.25, 2), (0.4, 3), (1.0, 8), (0.0, 0)])
def test_background_precedes_the_fraction_of_foreground(folder, fraction, foreground):
    source = open_source(layer(folder, fg_fraction=fraction), "TRAIN", seed=2)
    assert source.record_shapes == ((3, SIZE, SIZE), ())
    drawn = [labels(source, 1) for _ in range(6)]
    source.close()
    for batch in drawn:
        assert batch[: 8 - foreground] == [0] * (8 - foreground)
        assert set(batch[8 - foreground :]) <= {7, 8, 9}
    if foreground:
        assert {label for batch in drawn for label in batch} >= {7, 8, 9}


def expected(image, label, mirror, mean, scale):
    """What Caffe makes of a window that lies inside its image."""
    x1, y1, x2, y2 = {7: (5, 6, 24, 35), 8: (0, 0, 9, 9), 9: (0, 5, 49, 30), 0: (10, 10, 20, 20)}[label]
    warped = cv2.resize(image[y1 : y2 + 1, x1 : x2 + 1], (SIZE, SIZE))
    warped = warped[:, ::-1] if mirror else warped
    return (warped.transpose(2, 0, 1).astype(np.float32) - mean) * np.float32(scale)


@pytest.mark.parametrize(
    ("settings", "scale"), [({}, 1), ({"mean_value": (10.0, 20.0, 30.0), "scale": 3}, 0.5), ({"mean_file": "mean"}, 2)]
)
def test_warped_windows(folder, settings, scale):
    images = random_images(2, (3, 40, 50)).transpose(0, 2, 3, 1)
    mean = np.float32(settings.get("mean_value", (0, 0, 0))).reshape(3, 1, 1)
    if "mean_file" in settings:
        whole = np.random.default_rng(1).uniform(0, 255, (1, 3, 21, 21)).astype(np.float32)
        write_blob(folder / "mean", whole)
        settings, mean = {"mean_file": str(folder / "mean")}, whole[0, :, 2:18, 2:18]
    windows = layer(folder, {"mirror": True, **settings}, cache_images=True, scale=scale)
    feed = DeviceFeed(open_source(windows, "TRAIN", seed=1))
    flips = set()
    for _ in range(3):
        for data, label in zip(*(top.numpy() for top in feed.next())):
            image = images[1 if label in (0, 9) else 0]
            both = [expected(image, int(label), flip, mean, scale) for flip in (False, True)]
            match = [np.array_equal(data, want) for want in both]
            assert any(match)
            flips.add(match.index(True))
    feed.source.close()
    assert flips == {0, 1}


def test_context_around_a_window_inside_its_image():
    place = place_window(Corners(20, 15, 29, 24), (40, 50), SIZE, 3, False)
    assert place.corners == Corners(17, 12, 33, 28)  # 10 pixels become 16: center 25 and 20, half of 5 times 1.6
    assert (place.height, place.width, place.top, place.left) == (16, 16, 0, 0)


def test_the_scale_of_the_layer_applies(tmp_path):
    color = np.full((20, 20, 3), (50, 100, 200), np.uint8)
    cv2.imwrite(str(tmp_path / "0.png"), color)
    (tmp_path / "windows.txt").write_text("# 0\n0.png\n3\n20\n20\n2\n1 1 2 2 9 9\n0 0 3 3 9 9\n")
    feed = DeviceFeed(open_source(layer(tmp_path, {"scale": 7}, scale=2), "TRAIN"))
    data = feed.next()[0].numpy()
    feed.source.close()
    assert [set(data[:, plane].ravel().tolist()) for plane in range(3)] == [{100.0}, {200.0}, {400.0}]


def test_context_beyond_the_image_is_padding():
    place = place_window(Corners(0, 0, 9, 9), (40, 50), SIZE, 3, False)
    assert place.corners == Corners(0, 0, 13, 13)  # from -3
    scale = SIZE / 17
    assert (place.top, place.left) == (round(3 * scale), round(3 * scale))
    assert (place.height, place.width) == (round(14 * scale), round(14 * scale))


def test_a_square_around_a_window():
    place = place_window(Corners(10, 10, 19, 29), (40, 50), SIZE, 0, True)
    assert place.corners == Corners(5, 10, 25, 30)


@pytest.mark.parametrize("mirror", [False, True])
def test_padding_is_zero_after_the_mean_and_is_mirrored(folder, mirror):
    (folder / "windows.txt").write_text("# 0\n0.png\n3\n40\n50\n1\n5 1 0 10 9 25\n")
    transform = {"mean_value": (100.5,), "mirror": mirror}
    made = layer(folder, transform, fg_fraction=1.0, context_pad=4, batch_size=12)
    host, device = open_source(made, "TRAIN", seed=6), open_source(made, "TRAIN", seed=6)
    data = DeviceFeed(host).next()[0].numpy()
    batch = device.next_batch()
    import torch

    again = device.normalization(torch.from_numpy(batch.tops[0]), batch.mirror, batch.offsets, batch.valid)
    np.testing.assert_array_equal(again.numpy(), data)
    for source in (host, device):
        source.close()
    sides = {"left" if (window[:, :, 0] == 0).all() else "right" for window in data}
    assert all((window[:, :, 0] == 0).all() != (window[:, :, -1] == 0).all() for window in data)
    assert sides == ({"left", "right"} if mirror else {"left"})


@pytest.mark.parametrize(
    ("text", "code", "part"),
    [
        ("", "E502", "is empty"),
        ("0.png\n", "E506", "line 1: an image must begin with `#`"),
        ("# 0\n0.png\n3\n", "E506", "line 1: the file ends"),
        ("# 0\n0.png\n3\nx\n50\n0\n", "E506", "line 3: expected channels"),
        ("# 0\n0.png\n3\n40\n50\n3\n1 1 0 0 1 1\n", "E506", "line 6: expected 3 windows"),
        ("# 0\n0.png\n3\n40\n50\n1\n1 1 0 0 1\n", "E506", "line 7: expected `label overlap"),
        ("# 0\n0.png\n3\n40\n50\n1\n1 1 0 0 1 b\n", "E506", "line 7: the windows of this image are not numbers"),
        ("# 0\n0.png\n3\n40\n50\n2\n1 1 0 0 1 1\n1 1 0 nan 1 1\n", "E506", "line 8: `nan` is out of range"),
        ("# 0\n0.png\n3\n40\n50\n1\n1 1 0 0 1 inf\n", "E506", "line 7: `inf` is out of range"),
        ("# 0\n0.png\n3\n40\n50\n1\n1 1 0 0 1 1e60\n", "E506", "line 7: `1e60` is out of range"),
        ("# 0\n0.png\n3\n40\n50\n1\n1 1 0 -3000000000 1 1\n", "E506", "line 7: `-3000000000` is out of range"),
        ("# 0\n0.png\n3\n40\n50\n1\n1 nan 0 0 1 1\n", "E506", "line 7: `nan` is out of range"),
        ("# 0\n0.png\n3\n40\n50\n1\n0 1 0 0 1 1\n", "E509", "label 0"),
        ("# 0\n0.png\n3\n40\n50\n1\n1 1 0 0 1 1\n", "E509", "no background windows, but a batch needs 6"),
    ],
)
@pytest.mark.filterwarnings("error")
def test_invalid_window_files(folder, text, code, part):
    (folder / "windows.txt").write_text(text)
    with fault(code, part):
        open_source(layer(folder), "TRAIN")


@pytest.mark.parametrize(
    ("corners", "settings", "code", "part"),
    [
        ("0 0 50 9", {}, "E509", "not inside an image of 40x50"),
        ("9 9 8 12", {}, "E509", "not inside"),
        ("80 80 90 90", {"context_pad": 1}, "E509", "outside an image of 40x50"),
        ("9 9 7 12", {"context_pad": 1}, "E509", "empty, or outside"),
    ],
)
@pytest.mark.filterwarnings("error")
def test_windows_outside_their_image(folder, corners, settings, code, part):
    (folder / "windows.txt").write_text(f"# 0\n0.png\n3\n40\n50\n1\n1 1 {corners}\n")
    source = open_source(layer(folder, fg_fraction=1.0, **settings), "TRAIN")
    with fault(code, f"window {corners} of", part):
        source.next_batch()
    source.close()


@pytest.mark.parametrize(
    ("settings", "code", "part", "field"),
    [
        ({"context_pad": 8}, "E505", "`context_pad` 8 on both sides fills the `crop_size` 16", "context_pad"),
        ({"context_pad": 9}, "E505", "`context_pad` 9 on both sides fills the `crop_size` 16", "context_pad"),
        ({"fg_fraction": 1.5}, "E509", "`fg_fraction` 1.5 must be from 0 to 1", "fg_fraction"),
        ({"fg_fraction": -0.1}, "E509", "`fg_fraction` -0.1 must be from 0 to 1", "fg_fraction"),
        ({"fg_fraction": float("nan")}, "E509", "`fg_fraction` nan must be from 0 to 1", "fg_fraction"),
    ],
)
def test_invalid_settings(folder, settings, code, part, field):
    with pytest.raises(NetcError, match=part) as caught:
        open_source(layer(folder, **settings), "TRAIN")
    assert [(d.code, d.field) for d in caught.value.diagnostics] == [(code, f"window_data_param.{field}")]


@pytest.mark.parametrize("described", ["1\n40\n50", "4\n0\n0"])
def test_windows_are_always_in_color(folder, described):
    (folder / "windows.txt").write_text(f"# 0\n0.png\n{described}\n1\n5 1 0 10 9 25\n")
    made = layer(folder, {"mean_value": (1.0, 2.0, 3.0)}, fg_fraction=1.0)
    feed = DeviceFeed(open_source(made, "TRAIN"))
    assert made.batch(feed.source.record_shapes, 2) == tuple(tuple(top.shape) for top in feed.next())
    feed.source.close()


def test_a_mean_file_of_one_pixel_is_not_a_value(folder):
    write_blob(folder / "mean", np.full((1, 1, 1, 1), 5, np.float32))
    with fault("E505", "is 3x1x1, but the mean image is 1x1x1"):
        open_source(layer(folder, {"mean_file": str(folder / "mean"), "crop_size": 1}), "TRAIN")


def test_images_and_means_that_do_not_match(folder):
    (folder / "1.png").unlink()
    source = open_source(layer(folder, fg_fraction=0.0), "TRAIN")
    with fault("E504", "1.png", "no such file"):
        source.next_batch()
    source.close()
    write_blob(folder / "mean", np.zeros((1, 3, 12, 15), np.float32))
    with fault("E505", "12x15: too small for a crop of 16"):
        open_source(layer(folder, {"mean_file": str(folder / "mean")}), "TRAIN")
