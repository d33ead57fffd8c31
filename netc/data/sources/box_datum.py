"""BoxData: Datum records whose floats are boxes, and the random parts of their images (yolo9000)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from netc.data.images import planes
from netc.data.pipeline.sampling import AUGMENT, generator
from netc.data.sources.database import DatumRecords

if TYPE_CHECKING:
    from netc.data.batch import Array, Shape
    from netc.data.records import Record, RecordBatch
    from netc.data.sources.datum import Datum

BOXES, STORED, COLUMNS = 30, 6, 5
SMALLEST, STEPS = 70, 30
"""A part has 70 to 100 percent of the extents."""
TRIALS = 1000
"""Random parts that are tried; then the image stays whole (the fork tries without end)."""


class BoxRecords(DatumRecords):
    """The images and boxes of a database; the label of a record is its boxes (150). See `Records`."""

    def parse(self, value: Any) -> tuple[Datum, Any]:
        """See DatumRecords. Raises ValueError for floats that are not boxes."""
        datum, _ = super().parse(value)
        if not datum.encoded:
            raise ValueError("its image is not encoded, so its floats are not boxes")
        floats = np.empty(0, np.float32) if datum.floats is None else datum.floats
        if not len(floats) or len(floats) % STORED:
            raise ValueError(f"{len(floats)} floats are not boxes of {STORED} numbers each")
        boxes = floats.reshape(-1, STORED)
        if len(boxes) > BOXES:
            raise ValueError(f"it has {len(boxes)} boxes, at most {BOXES} are possible")
        return datum, label_of(boxes[:, [0, 2, 3, 4, 5]])

    def shapes(self, index: int = 0) -> tuple[Shape, ...]:
        """Planes of a record, and its boxes."""
        with self.reading() as read:
            return read(index).image.shape, (BOXES * COLUMNS,)

    def read_many(self, indices: list[int]) -> RecordBatch | None:
        """None: boxes are read record by record."""
        return None


def label_of(boxes: Array) -> Array:
    """Rows of class, x, y, width, height, filled up with 0, as one axis."""
    label = np.zeros((BOXES, COLUMNS), np.float32)
    label[: len(boxes)] = boxes
    return label.ravel()


class BoxAugmenter:
    """Replaces an image by a random part of it that contains the center of a box, in the size of the image."""

    active = True

    def record(self, record: Record, seed: int, number: int) -> Record:
        """The part and its boxes, in whole pixels as in the fork."""
        import cv2

        random = np.random.Generator(generator(seed, AUGMENT, number << 64))
        _, height, width = record.image.shape
        rows = record.label.reshape(BOXES, COLUMNS)
        boxes = rows[(rows[:, 3:] != 0).any(1)]
        pixels = (boxes[:, 1:] * np.array([width, height, width, height], np.float32)).astype(np.int64)
        for _ in range(TRIALS):
            scale = (SMALLEST + 1 + int(random.integers(STEPS))) / 100
            w, h = max(1, int(width * scale) - 1), max(1, int(height * scale) - 1)
            x, y = int(random.integers(max(1, width - w))), int(random.integers(max(1, height - h)))
            inside = (pixels[:, 0] >= x) & (pixels[:, 0] < x + w) & (pixels[:, 1] >= y) & (pixels[:, 1] < y + h)
            if inside.any():
                part = np.ascontiguousarray(record.image[:, y : y + h, x : x + w].transpose(1, 2, 0))
                moved = (pixels[inside] - (x, y, 0, 0)) / np.array([w, h, w, h], np.float32)
                label = label_of(np.concatenate([boxes[inside, :1], moved], 1))
                return record._replace(image=planes(cv2.resize(part, (width, height))), label=label)
        return record
