"""AnnotatedData: batches that SSD's fork read, boxes that move with their pixels, records that are damaged."""

from __future__ import annotations

import contextlib
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from netc.compiler import graph_of, record_shapes, resolver
from netc.data import open_source
from netc.data.pipeline.annotated_augmentation import meets, parts_of, random_parts
from netc.data.pipeline.boxes import BoxRegion, BoxTransform, first_boxes, join_boxes, projected
from netc.data.sources.annotated_datum import Annotations, no_boxes, read_annotated, write_annotated
from netc.data.sources.datum import write_datum
from netc.data.sources.opening import open_records
from netc.frontends import read_net
from netc.ir.augmentation import Expansion, Resize
from netc.ir.box_sampling import BatchSampler, EmitConstraint, PartConstraint, PartShape
from netc.ir.graph import State
from netc.ir.transform import Transform
from netc.layers.detection.annotated_data import AnnotatedData
from netc.schema import caffe
from tests.data.databases import fault, write

REFERENCE = Path(__file__).parent.parent / "reference" / "forks" / "data" / "ssd"
CASES = sorted(path.stem for path in (REFERENCE / "vectors").glob("*.prototxt"))


def test_the_cases_exist():
    assert len(CASES) == 6


@pytest.mark.parametrize("case", CASES)
def test_batches_of_the_fork(case, monkeypatch):
    monkeypatch.chdir(REFERENCE)
    vectors = np.load(f"vectors/{case}.npz")
    net = read_net(f"vectors/{case}.prototxt")
    net.report.raise_errors()
    (node,) = (n for n in graph_of(net, State("TEST"), record_shapes).nodes if n.layer.is_data)
    source = open_source(node.layer, "TEST", resolve_path=resolver(node), tops=node.origin.tops)
    source.configure(np.empty, normalize_on_host=True)
    with contextlib.closing(source):
        for number in range(len(vectors.files) // 2):
            data, label = source.next_batch().tops
            # OpenCV's newer versions resize with other rounding: one gray level.
            np.testing.assert_allclose(data, vectors[f"data/{number}"], atol=1.0)
            np.testing.assert_allclose(label, vectors[f"label/{number}"], atol=2e-6)


def boxes_of(*rows) -> np.ndarray:
    """Rows of label, xmin, ymin, xmax, ymax."""
    return np.array([[row[0], 0, *row[1:], 0] for row in rows], np.float32).reshape(-1, 7)


def record(image: np.ndarray, boxes: np.ndarray) -> bytes:
    c, h, w = image.shape
    return write_annotated(write_datum((c, h, w), image.tobytes(), encoded=False), boxes)


def white_boxes(count: int, random: np.random.Generator):
    """Black images of several sizes with one white rectangle each, and its box."""
    for _ in range(count):
        h, w = random.integers(200, 300, 2).tolist()
        y, x = (int(random.integers(0, extent // 2)) for extent in (h, w))
        height, width = (int(random.integers(extent // 5, extent // 2)) for extent in (h, w))
        image = np.zeros((3, h, w), np.uint8)
        image[:, y : y + height, x : x + width] = 255
        yield image, boxes_of((1, x / w, y / h, (x + width) / w, (y + height) / h))


def annotated_layer(path, batch_size=4, samplers=(), anno_type="", jitter=0.0, **transform) -> AnnotatedData:
    return AnnotatedData(
        source=str(path),
        batch_size=batch_size,
        backend="LMDB",
        batch_sampler=samplers,
        anno_type=anno_type,
        yolo_data_type=int(jitter > 0),
        yolo_data_jitter=jitter,
        transform=Transform(**transform),
    )


@pytest.fixture(scope="module")
def white(tmp_path_factory):
    random = np.random.default_rng(5)
    return write(tmp_path_factory.mktemp("white") / "db", [record(*one) for one in white_boxes(40, random)])


SAMPLERS = (
    BatchSampler(max_sample=1, max_trials=1),
    BatchSampler(True, PartShape(0.3, 1, 0.5, 2), PartConstraint(min_jaccard_overlap=0.3), 1, 50),
    BatchSampler(True, PartShape(0.3, 1, 0.5, 2), PartConstraint(max_jaccard_overlap=1.0), 1, 50),
)


@pytest.mark.parametrize(
    "transform",
    [
        {},
        {"mirror": True},
        {"expand_param": Expansion(0.5, 3.0)},
        {"samplers": SAMPLERS},
        {"jitter": 0.4, "mirror": True},
        {"samplers": SAMPLERS, "expand_param": Expansion(0.5, 3.0), "mirror": True, "crop_size": 150},
        {"resize_param": Resize("FIT_LARGE_SIZE_AND_PAD", 180, 160), "samplers": SAMPLERS, "mirror": True},
    ],
    ids=["resize", "mirror", "expand", "sample", "jitter", "all", "pad"],
)
def test_boxes_move_with_their_pixels(white, transform):
    transform.setdefault("resize_param", Resize("WARP", 170, 180))
    source = open_source(annotated_layer(white, 10, scale=1 / 255, **transform), "TRAIN", seed=3)
    source.configure(np.empty, normalize_on_host=True)
    seen = 0
    with contextlib.closing(source):
        for _ in range(8):
            data, label = source.next_batch().tops
            assert label.shape[:2] == (1, 1)
            for item, _, _, xmin, ymin, xmax, ymax, _ in label[0, 0]:
                if item < 0:
                    continue
                rows, columns = np.nonzero(data[int(item)].min(0) > 0.5)
                found = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
                h, w = data.shape[2:]
                # A part begins at a whole pixel of the original image, up to five pixels of the resized one.
                np.testing.assert_allclose(found, (xmin * w, ymin * h, xmax * w, ymax * h), atol=9)
                seen += 1
    assert seen > 40


def test_a_batch_is_the_same_after_resuming(white):
    layer = annotated_layer(white, 5, SAMPLERS, mirror=True, resize_param=Resize("WARP", 20, 20))

    def batches(position, count):
        source = open_source(layer, "TRAIN", seed=3)
        source.configure(np.empty, normalize_on_host=True)
        with contextlib.closing(source):
            source.restore({"seed": 3, "position": position})
            return [source.next_batch().tops for _ in range(count)]

    for one, other in zip(batches(0, 5)[3:], batches(15, 2)):
        for a, b in zip(one, other):
            np.testing.assert_array_equal(a, b)


def test_the_device_gets_the_same_boxes(white):
    layer = annotated_layer(white, 4, mirror=True, resize_param=Resize("WARP", 20, 20))
    found = []
    for on_host in (True, False):
        source = open_source(layer, "TRAIN", seed=3)
        source.configure(np.empty, normalize_on_host=on_host)
        with contextlib.closing(source):
            found.append([source.next_batch().tops[1] for _ in range(3)])
    for a, b in zip(*found):
        np.testing.assert_array_equal(a, b)


def test_boxes_project_as_in_a_transcription_of_the_fork():
    random = np.random.default_rng(1)
    sides = np.sort(random.uniform(-0.3, 1.3, (500, 2, 2)), 1).reshape(500, 4)[:, [0, 1, 2, 3]]
    sides[::9, [0, 2]] = sides[::9, [2, 0]]  # inverted
    sides[::11] = np.nan
    boxes = np.zeros((500, 7), np.float32)
    boxes[:, 0], boxes[:, 2:6] = np.arange(500), sides
    for emit in (None, EmitConstraint(), EmitConstraint("MIN_OVERLAP", 0.4)):
        part = np.array([0.2, 0.1, 0.9, 0.75], np.float32)
        found = projected(boxes, part, emit)
        expected = [row for row in (transcribed(box, part, emit) for box in boxes) if row is not None]
        np.testing.assert_allclose(found, np.array(expected), rtol=1e-5, atol=1e-6)
        assert 20 < len(found) < 400


def transcribed(row, part, emit):
    """ProjectBBox after MeetEmitConstraint, box by box in float64."""
    xmin, ymin, xmax, ymax = row[2:6].astype(np.float64)
    left, top, right, bottom = part.astype(np.float64)
    if emit is not None and emit.emit_type == "CENTER":
        x, y = (xmin + xmax) / 2, (ymin + ymax) / 2
        if not (left <= x <= right and top <= y <= bottom):
            return None
    elif emit is not None:
        shared = max(0, min(xmax, right) - max(xmin, left)) * max(0, min(ymax, bottom) - max(ymin, top))
        area = 0 if xmax < xmin or ymax < ymin else (xmax - xmin) * (ymax - ymin)
        if not (shared and shared / area > emit.emit_overlap):
            return None
    if xmin >= right or xmax <= left or ymin >= bottom or ymax <= top:
        return None
    moved = [(xmin - left) / (right - left), (ymin - top) / (bottom - top)]
    moved += [(xmax - left) / (right - left), (ymax - top) / (bottom - top)]
    a, b, c, d = (min(max(side, 0.0), 1.0) for side in moved)
    if c < a or d < b or not (c - a) * (d - b) > 0:
        return None
    return [*row[:2], a, b, c, d, row[6]]


def test_parts_have_the_requested_size_and_overlap():
    random = np.random.default_rng(0)
    shape = PartShape(0.3, 0.8, 0.5, 2.0)
    parts = random_parts(shape, 2000, random)
    extents = parts[:, 2:] - parts[:, :2]
    scale, ratio = np.sqrt(extents.prod(1)), extents[:, 0] / extents[:, 1]
    assert parts.min() >= 0
    assert parts.max() <= 1
    assert scale.min() == pytest.approx(0.3, abs=0.01)
    assert scale.max() == pytest.approx(0.8, abs=0.01)
    assert ratio.min() >= 0.49
    assert ratio.max() <= 2.01
    sides = np.array([[0.1, 0.2, 0.5, 0.6], [0.7, 0.7, 0.9, 0.95]], np.float32)
    boxes = np.zeros((2, 7), np.float32)
    boxes[:, 2:6] = sides
    for constraint in (
        PartConstraint(min_jaccard_overlap=0.3),
        PartConstraint(max_jaccard_overlap=0.1),
        PartConstraint(min_sample_coverage=0.2, min_jaccard_overlap=0.05),
        PartConstraint(min_object_coverage=0.9, max_object_coverage=0.99),
    ):
        kept = parts[meets(parts, sides, constraint)]
        expected = [part for part in parts if transcribed_constraint(part, sides, constraint)]
        np.testing.assert_array_equal(kept, np.array(expected))
        assert 10 < len(kept) < 2000
        few = parts_of(BatchSampler(True, shape, constraint, 3, 500), boxes, random)
        assert len(few) == 3
        assert meets(few, sides, constraint).all()
    assert not len(parts_of(BatchSampler(True, shape, PartConstraint(min_jaccard_overlap=0.1)), no_boxes(), random))
    assert len(parts_of(BatchSampler(True, shape), no_boxes(), random)) == 100


def transcribed_constraint(part, sides, constraint) -> bool:
    """SatisfySampleConstraint: a test that a box passes stays passed, so that the first kind of test decides."""
    found = False
    for box in sides:
        extent = np.minimum(part[2:], box[2:]) - np.maximum(part[:2], box[:2])
        shared = float(extent.prod()) if (extent > 0).all() else 0.0
        area, whole = float((box[2:] - box[:2]).prod()), float((part[2:] - part[:2]).prod())
        for kind, ratio in (
            ("jaccard_overlap", shared / (area + whole - shared)),
            ("sample_coverage", shared / whole),
            ("object_coverage", shared / area),
        ):
            low, high = getattr(constraint, f"min_{kind}"), getattr(constraint, f"max_{kind}")
            if low is None and high is None:
                continue
            if (low is not None and ratio < low) or (high is not None and ratio > high):
                break
            found = True
        if found:
            return True
    return found


def test_a_small_crop_in_fractions_of_a_fixed_size():
    resize = Resize("FIT_SMALL_SIZE", 40, 60, height_scale=30, width_scale=20)
    move = BoxTransform(Transform(resize_param=resize))
    label = Annotations(boxes_of((1, 0.25, 0.25, 0.75, 0.75)), (80, 120))
    found = move(label, BoxRegion((40, 60), (0, 0), (40, 60)))
    np.testing.assert_allclose(found[0, 2:6], [0.75, 1 / 3, 2.25, 1], rtol=1e-6)
    with pytest.raises(ValueError, match="a crop of 20x60 is smaller than `height_scale` and `width_scale`, 30x20"):
        move(label, BoxRegion((40, 60), (0, 0), (20, 60)))


def test_a_pass_ends_with_the_boxes_of_its_images():
    label = torch.from_numpy(join_boxes([boxes_of((1, 0, 0, 1, 1)), no_boxes(), boxes_of((2, 0, 0, 1, 1))]))
    assert first_boxes(label, 3).equal(label)
    assert first_boxes(label, 2)[0, 0, :, :2].tolist() == [[0, 1]]
    assert first_boxes(label[:, :, 1:], 2).tolist() == [[[[-1.0] * 8]]]


def test_records_are_protobuf_messages():
    boxes = boxes_of((3, 0.1, 0.2, 0.3, 0.4), (1, 0, 0, 1, 1), (3, 0.5, 0.5, 1, 1))
    boxes[2, 1], boxes[1, 6] = 7, 1
    value = write_annotated(write_datum((1, 1, 1), b"x", label=5), boxes)
    message = caffe.AnnotatedDatum.FromString(value)
    assert [group.group_label for group in message.annotation_group] == [3, 1]
    assert message.datum.label == 5
    assert message.annotation_group[1].annotation[0].bbox.difficult
    datum, label = read_annotated(message.SerializeToString())
    assert (datum.channels, bytes(datum.data)) == (1, b"x")
    np.testing.assert_array_equal(label.boxes, boxes[[0, 2, 1]])


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (b"", "ends inside its image"),
        (b"\x0a\x05\x08", "ends inside its image"),
        (b"\x0a\xff\xff\xff\xff\xff\xff", "ends inside its image"),
        (write_datum((1, 1, 1), b"x"), "it is a Datum, which a `Data` layer reads"),
        (b"\x0a\x00\x10\x00\x1a\x05", "its annotations are damaged"),
        (b"\x0a\x00\x10\x00\x0a\x00", "it has two images"),
    ],
)
def test_damaged_records(value, words):
    with pytest.raises(ValueError, match=words):
        read_annotated(value)


def test_a_database_of_the_other_kind(white, tmp_path):
    plain = write(tmp_path / "plain", [write_datum((1, 2, 2), bytes(4), i, encoded=False) for i in range(3)])
    with fault("E503", "record `00000000`", "it is a Datum"):
        open_source(annotated_layer(plain), "TEST")
    from tests.data.databases import data_layer

    with fault("E503", "it is an AnnotatedDatum, which an `AnnotatedData` layer reads"):
        open_source(data_layer(white), "TEST")


def test_records_without_a_type_have_plain_labels(tmp_path):
    def value(number: int, typed: bool) -> bytes:
        message = caffe.AnnotatedDatum(
            datum={"channels": 1, "height": 2, "width": 2, "data": bytes(4), "label": number}
        )
        if typed:
            message.type = caffe.AnnotatedDatum.BBOX
        return message.SerializeToString()

    path = write(tmp_path / "db", [value(i, False) for i in range(4)])
    with contextlib.closing(open_source(annotated_layer(path, 2), "TEST")) as source:
        assert source.record_shapes == ((1, 2, 2), ())
        assert [source.next_batch().tops[1].tolist() for _ in range(2)] == [[0, 1], [2, 3]]
    with contextlib.closing(open_source(annotated_layer(path, 2, anno_type="BBOX"), "TEST")) as source:
        assert source.next_batch().tops[1].tolist() == [[[[-1.0] * 8]]]
    mixed = write(tmp_path / "mixed", [value(0, False), value(1, True)])
    with contextlib.closing(open_source(annotated_layer(mixed, 2), "TEST")) as source, fault("E503", "it has boxes"):
        source.next_batch()
    with contextlib.closing(open_source(annotated_layer(mixed, 2), "TEST", skip_bad=True)) as source:
        assert source.next_batch().tops[1].tolist() == [0, 0]


def test_a_cut_of_a_tiny_image_keeps_a_pixel(tmp_path):
    path = write(tmp_path / "db", [record(np.full((3, 1, 2), 9, np.uint8), boxes_of((1, 0, 0, 1, 1)))])
    sampler = BatchSampler(True, PartShape(0.1, 0.2))
    layer = annotated_layer(path, 1, (sampler,), resize_param=Resize("WARP", 4, 4))
    with contextlib.closing(open_source(layer, "TRAIN")) as source:
        assert (source.next_batch().tops[0] == 9).all()


def test_open_records_reads_either_kind(white):
    with contextlib.closing(open_records(white)) as records, records.reading() as read:
        assert isinstance(read(0).label, Annotations)
        assert cv2.countNonZero(read(0).image[0])
