"""SSD's database record: an image with boxes (AnnotatedDatum of weiliu89/caffe, `caffe.proto`)."""

from __future__ import annotations

import contextlib
import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from netc.data.records import EXAMINED
from netc.data.sources.database import DatumRecords
from netc.data.sources.datum import Datum, is_annotated, read_datum
from netc.diagnostics import NetcError
from netc.schema import DecodeError, caffe
from netc.weights.wire import tag, varint

if TYPE_CHECKING:
    from netc.data.batch import Shape
    from netc.data.records import RecordBatch
    from netc.data.stores.store import Store

Boxes = npt.NDArray[np.float32]
"""One row per box: label, instance, xmin, ymin, xmax, ymax, difficult; coordinates in fractions of the image."""
COLUMNS = 7


@dataclass(frozen=True, eq=False)
class Annotations:
    """The boxes of an image; the label of a record of an annotated database."""

    boxes: Boxes
    """Grouped by label, in the order of the record (k, 7)."""
    before_resize: tuple[int, int] | None = None
    """Height and width of the image before its resize, in relation to which the boxes are given; None without one."""

    def changed(self, boxes: Boxes) -> Annotations:
        """The same image with other boxes."""
        return dataclasses.replace(self, boxes=boxes)


def no_boxes() -> Boxes:
    """The boxes of an image without any."""
    return np.empty((0, COLUMNS), np.float32)


def read_annotated(value: Any, typed: bool = False) -> tuple[Datum, Annotations | int]:
    """The image of a record, and its boxes, or its label if the record has no type.

    With `typed` every record has boxes. Raises ValueError for bytes that are not an AnnotatedDatum.

    >>> from netc.data.sources.datum import write_datum
    >>> boxes = np.array([[3, 0, 0.25, 0.5, 0.75, 1, 0]], np.float32)
    >>> datum, found = read_annotated(write_annotated(write_datum((1, 1, 1), b"x"), boxes))
    >>> bytes(datum.data), found.boxes.tolist()
    (b'x', [[3.0, 0.0, 0.25, 0.5, 0.75, 1.0, 0.0]])
    """
    if len(value) and not is_annotated(value):
        raise ValueError("it is a Datum, which a `Data` layer reads, not an AnnotatedDatum")
    view = memoryview(value)
    start, end = _datum_place(view)
    datum = read_datum(view[start:end])
    rest = _rest(bytes(view[end:]))
    if not typed and not rest.HasField("type"):
        return datum, datum.label
    if rest.type != caffe.AnnotatedDatum.BBOX:
        raise ValueError(f"annotations of type {rest.type} are not boxes")
    return datum, Annotations(_boxes(rest))


def _datum_place(view: memoryview) -> tuple[int, int]:
    """Start and end of the Datum, the first field: it is not copied with the rest."""
    size, at = 0, 1
    for shift in range(0, 35, 7):
        if at >= len(view):
            break
        byte, at = view[at], at + 1
        size |= (byte & 0x7F) << shift
        if byte < 0x80:
            if at + size > len(view):
                break
            return at, at + size
    raise ValueError(f"the record of {len(view)} bytes ends inside its image")


def _rest(data: bytes) -> caffe.AnnotatedDatum:
    try:
        rest = caffe.AnnotatedDatum.FromString(data)
    except DecodeError as error:
        raise ValueError(f"its annotations are damaged: {error}") from None
    if rest.HasField("datum"):
        raise ValueError("it has two images")
    return rest


def _boxes(record: caffe.AnnotatedDatum) -> Boxes:
    rows = [
        (group.group_label, one.instance_id, box.xmin, box.ymin, box.xmax, box.ymax, box.difficult)
        for group in record.annotation_group
        for one in group.annotation
        for box in (one.bbox,)
    ]
    return np.array(rows, np.float32) if rows else no_boxes()


def write_annotated(datum: bytes, boxes: Boxes) -> bytes:
    """The bytes of a record: an encoded Datum with boxes, which are grouped by label in the order of their first."""
    record = caffe.AnnotatedDatum(type=caffe.AnnotatedDatum.BBOX)
    groups: dict[int, caffe.AnnotationGroup] = {}
    for label, instance, xmin, ymin, xmax, ymax, difficult in boxes.tolist():
        if label not in groups:
            groups[label] = record.annotation_group.add(group_label=int(label))
        box = caffe.NormalizedBBox(xmin=xmin, ymin=ymin, xmax=xmax, ymax=ymax, difficult=bool(difficult))
        groups[label].annotation.add(instance_id=int(instance), bbox=box)
    return b"".join((tag(1, 2), varint(len(datum)), datum, record.SerializeToString()))


class AnnotatedRecords(DatumRecords):
    """The images and boxes of a database of AnnotatedDatum; see `Records`.

    The label of a record is its `Annotations`. With `typed`, records without a type have boxes too; otherwise, if the
    first record has no type, the label of each is that of its Datum.
    """

    def __init__(self, store: Store, color: bool = False, gray: bool = False, typed: bool = False) -> None:
        super().__init__(store, color, gray)
        self._typed = typed
        self.annotated: bool | None = None
        self.annotated = self._first_is_annotated()

    def parse(self, value: Any) -> tuple[Datum, Any]:
        """See DatumRecords. Raises ValueError for a record with boxes among records without, and the reverse."""
        datum, label = read_annotated(value, self._typed)
        if self.annotated is not None and isinstance(label, Annotations) != self.annotated:
            raise ValueError(f"it has {'no ' if self.annotated else ''}boxes, unlike the first record")
        return datum, label

    def shapes(self, index: int = 0) -> tuple[Shape, ...]:
        """Planes of a record, and one row of its label, or a scalar for a label that is a number."""
        with self.reading() as read:
            return read(index).image.shape, (1, COLUMNS + 1) if self.annotated else ()

    def _first_is_annotated(self) -> bool:
        """Whether the first good record has boxes."""
        with self.store.reading() as get:
            for index in range(EXAMINED):
                with contextlib.suppress(NetcError):  # reported when it is read
                    return isinstance(self._parsed(index, get)[1], Annotations)
        return True

    def read_many(self, indices: list[int]) -> RecordBatch | None:
        """None: boxes are read record by record."""
        return None
