"""Layers with label maps: batches that forks of Caffe recorded, and that image and map always move together."""

from __future__ import annotations

import contextlib
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from netc.compiler import graph_of, record_shapes, resolver
from netc.data import open_source
from netc.data.accepted_labels import AcceptedLabels
from netc.data.label_map import decode_indices
from netc.frontends import read_net
from netc.ir.graph import State
from netc.ir.transform import Transform
from netc.layers.segmentation.label_map_data import DenseImageData, ImageLabelmapData, ImageSegData, WindowSegData
from tests.data.databases import fault, random_images

REFERENCE = Path(__file__).parent.parent / "reference" / "forks" / "data" / "label_maps"
CASES = sorted(path.stem for path in (REFERENCE / "vectors").glob("*.prototxt"))
THRESHOLD = 127


def test_the_cases_exist():
    assert CASES == ["data_dense_resized", "data_seg_image", "data_seg_pixel_padded_crop"]


@pytest.mark.parametrize("case", CASES)
def test_recorded_batches(case, monkeypatch):
    monkeypatch.chdir(REFERENCE)
    vectors = np.load(f"vectors/{case}.npz")
    net = read_net(f"vectors/{case}.prototxt")
    net.report.raise_errors()
    (node,) = graph_of(net, State("TEST"), record_shapes).nodes
    source = open_source(node.layer, "TEST", resolve_path=resolver(node))
    source.configure(np.empty, normalize_on_host=True)
    with contextlib.closing(source):
        for number in range(len(vectors.files) // len(node.tops)):
            batch = source.next_batch()
            for top, found in zip(node.origin.tops, batch.tops):
                np.testing.assert_array_equal(found, vectors[f"{top}/{number}"])


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Five gray images with a bright square, `i.png`, and the maps of the squares, `m.png`, with a palette if odd."""
    random = np.random.default_rng(3)
    for i in range(5):
        h, w = 30 + 3 * i, 44 - 2 * i
        image = random.integers(0, THRESHOLD, (h, w), dtype=np.uint8)
        y, x = random.integers(0, 12, 2)
        image[y : y + 14, x : x + 17] = random.integers(THRESHOLD + 1, 255)
        cv2.imwrite(str(tmp_path / f"i{i}.png"), image)
        write_map(tmp_path / f"m{i}.png", (image > THRESHOLD).astype(np.uint8), palette=i % 2 == 1)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_map(path: Path, labels: np.ndarray, palette: bool = True) -> None:
    if palette:
        path.write_bytes(palette_png(labels))
    else:
        cv2.imwrite(str(path), labels)


def palette_png(labels: np.ndarray, bits: int = 8) -> bytes:
    """A PNG of indices with random colors, of which the first is transparent."""
    h, w = labels.shape
    colors = np.random.default_rng(0).integers(0, 256, 3 << bits, dtype=np.uint8).tobytes()
    places = np.unpackbits(labels[:, :, None], axis=2)[:, :, 8 - bits :].reshape(h, w * bits)
    rows = np.hstack([np.zeros((h, 1), np.uint8), np.packbits(places, axis=1)])  # each row without a filter
    parts = (
        (b"IHDR", struct.pack(">IIBBBBB", w, h, bits, 3, 0, 0, 0)),
        (b"PLTE", colors),
        (b"tRNS", b"\0"),
        (b"IDAT", zlib.compress(rows.tobytes())),
        (b"IEND", b""),
    )
    packed = (struct.pack(">I", len(x)) + kind + x + struct.pack(">I", zlib.crc32(kind + x)) for kind, x in parts)
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


PAIRS = "".join(f"i{i}.png m{i}.png\n" for i in range(5))


def layer(kind=ImageSegData, text=PAIRS, transform=None, name="list.txt", **settings):
    Path(name).write_text(text)
    if kind in (ImageSegData, WindowSegData):
        settings = {"label_type": "PIXEL", **settings}
    return kind(
        source=name, transform=Transform(**(transform or {})), **{"batch_size": 1, "is_color": False, **settings}
    )


def batches(made, count=1, phase="TRAIN", on_host=True, **settings):
    """The tops of batches, normalized by the threads or as on a device."""
    source = open_source(made, phase, **settings)
    source.configure(np.empty, normalize_on_host=on_host)
    with contextlib.closing(source):
        for _ in range(count):
            batch = source.next_batch()
            data, *others = batch.tops
            if not on_host:
                tensor = torch.from_numpy(np.ascontiguousarray(data))
                data = source.normalization(tensor, batch.mirror, batch.offsets, batch.valid).numpy()
            yield (data, *others)


AUGMENTED = [
    (ImageSegData, {"mirror": True}, {}),
    (ImageSegData, {"crop_size": 24, "mirror": True}, {"batch_size": 3}),
    (ImageSegData, {"crop_height": 50, "crop_width": 37, "mirror": True}, {"batch_size": 3, "ignore_label": 0}),
    (
        ImageSegData,
        {"scale_factors": (1.0, 2.0, 3.0), "crop_size": 40, "mirror": True},
        {"batch_size": 3, "ignore_label": 0},
    ),
    (DenseImageData, {}, {"mirror": True, "crop_height": 21, "crop_width": 17, "batch_size": 4}),
    (DenseImageData, {"mirror": True, "crop_size": 20}, {"batch_size": 4}),
]


@pytest.mark.parametrize("on_host", [True, False])
@pytest.mark.parametrize(("kind", "transform", "settings"), AUGMENTED)
def test_label_and_image_move_together(folder, kind, transform, settings, on_host):
    made = layer(kind, transform=transform, shuffle=True, **settings)
    seen = 0
    for data, label, *_ in batches(made, 12, seed=4, on_host=on_host):
        # An enlarged image is smooth at the edges of the square.
        sure = (data < 60) | (data > THRESHOLD) if made.transform.scale_factors else np.ones_like(data, bool)
        found, wanted = label[sure], (data > THRESHOLD)[sure]
        if made.transform.scale_factors:
            assert (found == wanted).mean() > 0.97
        else:
            np.testing.assert_array_equal(found, wanted)
        seen += int(label.max())
    assert seen > 5


def test_padding_is_the_mean_and_is_ignored(folder):
    transform = {"crop_size": 50, "mean_value": (77.0,), "scale": 0.5, "mirror": True}
    made = layer(transform=transform, batch_size=2, ignore_label=9)
    for on_host in (True, False):
        mirrored = set()
        found = batches(made, 10, seed=1, on_host=on_host)
        for number, (data, label, dims) in enumerate(found):
            for item in range(2):
                i = (2 * number + item) % 5
                h, w = 30 + 3 * i, 44 - 2 * i
                assert dims[item].tolist() == [[[h, w]]]
                outside = label[item, 0] == 9
                assert outside.sum() == 50 * 50 - h * w
                assert (data[item, 0][outside] == 0).all()
                image = cv2.imread(f"i{i}.png", cv2.IMREAD_GRAYSCALE)
                flipped = outside[0, 0]
                mirrored.add(bool(flipped))
                part = data[item, 0, :h, -w:] if flipped else data[item, 0, :h, :w]
                np.testing.assert_array_equal(part, ((image[:, ::-1] if flipped else image) - np.float32(77)) / 2)
        assert mirrored == {True, False}


def test_crops_are_centered_in_testing(folder):
    made = layer(transform={"crop_height": 20, "crop_width": 11})
    ((data, label, dims),) = batches(made, phase="TEST")
    image, labels = (cv2.imread(name, cv2.IMREAD_UNCHANGED) for name in ("i0.png", "m0.png"))
    np.testing.assert_array_equal(data[0, 0], image[5:25, 16:27])
    np.testing.assert_array_equal(label[0, 0], labels[5:25, 16:27])
    assert dims.ravel().tolist() == [20, 11]


@pytest.mark.parametrize("kind", [DenseImageData, ImageLabelmapData])
def test_these_crops_are_random_in_testing_too(folder, kind):
    own = {"crop_height": 9, "crop_width": 9} if kind is DenseImageData else {}
    made = layer(kind, "i0.png m0.png\n", {} if own else {"crop_size": 9}, **own)
    assert len({data.tobytes() for data, *_ in batches(made, 8, phase="TEST", seed=3)}) > 4


def test_maps_are_resized_by_their_nearest_pixels(folder):
    labels = np.zeros((30, 44), np.uint8)
    labels[:, 22:] = 200
    write_map(folder / "m0.png", labels)
    for made in (layer(new_height=45, new_width=88), layer(DenseImageData, new_height=45, new_width=88)):
        data, label = next(batches(made))[:2]
        image = cv2.imread("i0.png", cv2.IMREAD_GRAYSCALE)
        np.testing.assert_array_equal(data[0, 0], cv2.resize(image, (88, 45)))
        np.testing.assert_array_equal(label[0, 0, 0], np.repeat([0.0, 200.0], 44))
    smaller = layer(DenseImageData, new_height=45, new_width=50, label_divide_factor=4)
    assert [top.shape for top in next(batches(smaller))[:2]] == [(1, 1, 45, 50), (1, 1, 11, 12)]


def test_scales_are_those_of_the_list(folder):
    made = layer(text="i0.png m0.png\n", transform={"scale_factors": (0.5, 1.0, 1.25)})
    sizes = {data.shape[2:] for data, *_ in batches(made, 30, seed=2)}
    assert sizes == {(15, 22), (30, 44), (37, 55)}
    dims = {tuple(dims.ravel()) for *_, dims in batches(made, 5, seed=2)}
    assert dims == {(30, 44)}


def test_one_label_for_an_image_and_none(folder):
    made = layer(text="i0.png 3\ni1.png 254\n", label_type="IMAGE")
    assert [set(label.ravel()) for _, label, _ in batches(made, 2)] == [{3}, {254}]
    made = layer(text="i0.png m0.png and more\n", label_type="NONE", ignore_label=17)
    assert [set(label.ravel()) for _, label, _ in batches(made)] == [{17}]


def test_windows(folder):
    text = "i0.png m0.png 3 5 20 17\ni1.png m1.png -4 -6 50 40\n"
    made = layer(WindowSegData, text, {"mean_value": (10.0,)}, ignore_label=99)
    (inside, wide) = batches(made, 2)
    image, labels = (cv2.imread(name, cv2.IMREAD_UNCHANGED) for name in ("i0.png", "m0.png"))
    np.testing.assert_array_equal(inside[0][0, 0], image[5:18, 3:21] - np.float32(10))
    np.testing.assert_array_equal(inside[1][0, 0], labels[5:18, 3:21])
    assert inside[2].ravel().tolist() == [30, 44]
    data, label, dims = wide
    image = cv2.imread("i1.png", cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(data[0, 0], np.pad(image, ((6, 8), (4, 9))) - np.float32(10))
    assert (label[0, 0] == 99).sum() == data.size - image.size
    np.testing.assert_array_equal(label[0, 0, 6:39, 4:46], image > THRESHOLD)
    assert dims.ravel().tolist() == [33, 42]
    resized = next(batches(layer(WindowSegData, text, {"crop_size": 8}, new_height=10, new_width=12), phase="TEST"))
    image = cv2.imread("i0.png", cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(resized[0][0, 0], cv2.resize(image[5:18, 3:21], (12, 10))[1:9, 2:10])
    assert resized[2].ravel().tolist() == [8, 8]
    outside = layer(WindowSegData, "i0.png m0.png -9 -9 -2 -2\n")
    data, label, _ = next(batches(outside))
    assert data.shape == (1, 1, 8, 8)
    assert set(data.ravel()) == {0}
    assert set(label.ravel()) == {255}


def test_edges_are_one_where_a_map_is_brighter_than_half(folder):
    edges = np.arange(44, dtype=np.uint8) * 5 * np.ones((30, 1), np.uint8)
    cv2.imwrite("m0.png", edges)
    _, label = next(batches(layer(ImageLabelmapData)))[:2]
    np.testing.assert_array_equal(label[0, 0], edges >= 128)
    _, label = next(batches(layer(ImageLabelmapData, new_height=15, new_width=22)))[:2]
    np.testing.assert_array_equal(label[0, 0], cv2.resize(edges, (22, 15)) >= 128)


def test_each_epoch_has_every_pair_once(folder):
    made = layer(shuffle=True, batch_size=1)
    sizes = [tuple(dims.ravel()) for *_, dims in batches(made, 10, seed=5)]
    assert len(set(sizes[:5])) == len(set(sizes[5:])) == 5
    assert sizes[:5] != sizes[5:]


def test_a_resumed_run_reads_the_same_batches(folder):
    settings = {"transform": {"scale_factors": (0.5, 1.0, 1.5), "crop_size": 25, "mirror": True}}
    made = layer(shuffle=True, batch_size=2, **settings)
    source = open_source(made, "TRAIN", seed=6, threads=2)
    with contextlib.closing(source):
        for _ in range(3):
            source.next_batch()
        state = source.state()
        wanted = [source.next_batch() for _ in range(3)]
    again = open_source(made, "TRAIN", threads=1)
    with contextlib.closing(again):
        again.restore(state)
        for batch in wanted:
            for a, b in zip(batch.tops, again.next_batch().tops):
                np.testing.assert_array_equal(a, b)


def test_a_mean_image_is_cropped_and_mirrored_with_the_image(folder):
    from netc.schema import caffe

    mean = np.random.default_rng(1).integers(0, 50, (1, 30, 44)).astype(np.float32)
    Path("mean.binaryproto").write_bytes(
        caffe.BlobProto(channels=1, height=30, width=44, num=1, data=mean.ravel()).SerializeToString()
    )
    text = "i0.png m0.png\n"
    transform = {"mean_file": "mean.binaryproto", "crop_size": 16, "mirror": True}
    plain = layer(ImageLabelmapData, text, {"crop_size": 16, "mirror": True})
    means = set()
    for (data, label, _), (raw, same, _) in zip(
        batches(layer(ImageLabelmapData, text, transform, "with.txt"), 6, seed=2), batches(plain, 6, seed=2)
    ):
        np.testing.assert_array_equal(label, same)
        means.add((raw - data).tobytes())
    assert len(means) > 3
    with fault("E505", "is 1x33x42, but the mean image is 1x30x44"):
        next(batches(layer(ImageLabelmapData, "i1.png m1.png\n", transform)))


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_indices_of_palettes(bits):
    labels = np.random.default_rng(0).integers(0, 1 << bits, (13, 17), dtype=np.uint8)
    data = palette_png(labels, bits)
    assert cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED).shape == (13, 17, 4)  # colors
    np.testing.assert_array_equal(decode_indices(memoryview(data))[0], labels)
    for end in (20, 40, len(data) // 2, len(data) - 13):
        with pytest.raises(ValueError, match=r"ends early|cannot decode"):
            decode_indices(memoryview(data[:end]))


def test_gray_maps_with_three_equal_channels_and_with_colors():
    gray = random_images(1, (1, 6, 7))[0, 0]
    for channels in (3, 4):
        done, packed = cv2.imencode(".png", np.repeat(gray[:, :, None], channels, 2))
        assert done
        np.testing.assert_array_equal(decode_indices(memoryview(bytes(packed)))[0], gray)
    _, packed = cv2.imencode(".png", random_images(1, (3, 6, 7))[0].transpose(1, 2, 0))
    with pytest.raises(ValueError, match="the label map has colors"):
        decode_indices(memoryview(bytes(packed)))


LINES = [
    ("PIXEL", "i0.png\n", "line 1 is not the paths of an image and its label map"),
    ("PIXEL", "i0.png m0.png\n\ni 1.png m1.png\n", "line 3 is not the paths of an image and its label map"),
    ("IMAGE", "i0.png m0.png\n", "line 1 has the label `m0.png`, expected 0 to 255"),
    ("IMAGE", "i0.png 256\n", "line 1 has the label `256`, expected 0 to 255"),
    ("IMAGE", "i0.png -1\n", "line 1 has the label `-1`"),
]
WINDOWS = [
    ("i0.png m0.png 1 2 3\n", "and a window, `x1 y1 x2 y2`"),
    ("i0.png m0.png 1 2 3 x\n", "has a window that is not four integers"),
    ("i0.png m0.png 4 2 3 9\n", "has an empty window: 4 2 3 9"),
    ("i0.png m0.png 0 0 99999 99999\n", "has a window of more than 268,435,456 pixels"),
]


@pytest.mark.parametrize(("kind", "text", "message"), LINES)
def test_bad_lines(folder, kind, text, message):
    with fault("E506", message) as caught:
        open_source(layer(text=text, label_type=kind), "TRAIN")
    assert caught.value.diagnostics[0].field == "image_data_param.source"


@pytest.mark.parametrize(("text", "message"), WINDOWS)
def test_bad_windows(folder, text, message):
    with fault("E506", message):
        open_source(layer(WindowSegData, text), "TRAIN")


def test_what_does_not_belong_together(folder):
    with fault("E505", "`i0.png` of `list.txt` is 30x44, but its label map `m1.png` is 33x42"):
        next(batches(layer(text="i0.png m1.png\n")))
    resized = layer(ImageLabelmapData, "i0.png m1.png\n", new_height=9, new_width=9)
    with fault("E505", "but its label map `m1.png` is 33x42"):
        next(batches(resized))
    assert next(batches(layer(text="i0.png m1.png\n", new_height=9, new_width=9)))[1].shape == (1, 1, 9, 9)
    with fault("E504", "`gone.png` of `list.txt`: no such file"):
        next(batches(layer(text="i0.png gone.png\n")))
    with fault("E502", "is empty"):
        next(batches(layer(DenseImageData, "\n")))
    with fault("E505", "is smaller than the crop of 40x20"):
        next(batches(layer(DenseImageData, crop_height=40, crop_width=20)))
    with fault("E505", "does not fit a batch of 1x30x44"):
        next(batches(layer(batch_size=2)))
    with fault("E505", "leaves no pixels"):
        next(batches(layer(transform={"scale_factors": (0.01,)})))


def test_bad_pairs_are_skipped(folder):
    write_map(folder / "m1.png", np.full((33, 42), 7, np.uint8))
    text = "i0.png m0.png\ni1.png m1.png\ni2.png gone.png\ni3.png m3.png\n"
    source = open_source(layer(text=text), "TEST", skip_bad=True, accepted=AcceptedLabels(((2, 255),)), threads=1)
    with contextlib.closing(source):
        sizes = [tuple(source.next_batch().tops[2].ravel()) for _ in range(2)]
        assert sizes == [(30, 44), (39, 38)]
        messages = [error.diagnostics[0].message for error in source.skipped.values()]
    assert messages[0] == "`i1.png` of `list.txt`: label outside 0 to 1: 7"
    assert "gone.png" in messages[1]
