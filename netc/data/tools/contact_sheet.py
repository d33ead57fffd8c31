"""A contact sheet: thumbnails of the images of a database with their labels."""

from __future__ import annotations

import contextlib
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from netc.data.images import Image, encode
from netc.data.pipeline.boxes import COORDINATES
from netc.data.sources.annotated_datum import Annotations
from netc.data.sources.opening import open_records
from netc.diagnostics import NetcError
from netc.weights import atomic_write

if TYPE_CHECKING:
    from pathlib import Path

    from netc.data.records import Record
    from netc.data.sources.database import DatumRecords

CELL, TEXT, GAP = 96, 16, 6
"""Pixels of the square of an image, of the line below it, and between cells."""
PAPER, INK, BOX = 255, (40, 40, 40), (60, 60, 230)


def contact_sheet(database: Path | str, out: Path | str, count: int = 64) -> int:
    """Write a PNG of `count` records, spread evenly over the database; returns how many are on it.

    Records that cannot be read are omitted. Raises NetcError E501, E502, E507 for the database, E408 for the file.
    """
    with contextlib.closing(open_records(database)) as records:
        cells = list(_cells(records, min(count, len(records))))
    if not cells:
        raise NetcError(f"database `{database}` has no readable record", code="E502")
    page = encode(_page(cells).transpose(2, 0, 1), "png")
    with atomic_write(out) as file:
        file.write(page)
    return len(cells)


def _cells(records: DatumRecords, count: int) -> Any:
    total = len(records)
    for number in range(count):
        with contextlib.suppress(NetcError), records.reading() as read:
            record = read(number * total // count)
            yield _labeled_cell(record)


def _labeled_cell(record: Record) -> npt.NDArray[np.uint8]:
    """The image of a record with its label, or with its boxes and their labels."""
    if not isinstance(record.label, Annotations):
        return _cell(record.image, str(record.label))
    boxes = record.label.boxes
    labels = " ".join(str(int(label)) for label in boxes[:, 0])
    return _cell(record.image, labels, boxes[:, COORDINATES])


def _page(cells: list[npt.NDArray[np.uint8]]) -> npt.NDArray[np.uint8]:
    columns = math.ceil(math.sqrt(len(cells)))
    rows = math.ceil(len(cells) / columns)
    high, wide = CELL + TEXT + GAP, CELL + GAP
    page = np.full((rows * high + GAP, columns * wide + GAP, 3), PAPER, np.uint8)
    for number, cell in enumerate(cells):
        y, x = GAP + number // columns * high, GAP + number % columns * wide
        page[y : y + CELL + TEXT, x : x + CELL] = cell
    return page


def _cell(image: Image, label: str, boxes: npt.NDArray[np.float32] | None = None) -> npt.NDArray[np.uint8]:
    """The image scaled to the cell and centered, boxes (k, 4) in fractions of it, and its label."""
    import cv2

    image = _colors(image)
    scale = CELL / max(image.shape[:2])
    size = [max(1, round(extent * scale)) for extent in image.shape[:2]]
    shrunk = cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST)
    cell = np.full((CELL + TEXT, CELL, 3), PAPER, np.uint8)
    y, x = ((CELL - extent) // 2 for extent in size)
    cell[y : y + size[0], x : x + size[1]] = shrunk
    if boxes is not None:
        scaled = np.nan_to_num(np.clip(boxes, 0, 1)) * (size[1], size[0], size[1], size[0]) + (x, y, x, y)
        for left, top, right, bottom in np.rint(scaled).astype(int).tolist():
            cv2.rectangle(cell, (left, top), (max(left, right - 1), max(top, bottom - 1)), BOX)
    cv2.putText(cell, label, (1, CELL + TEXT - 4), cv2.FONT_HERSHEY_SIMPLEX, 0.4, INK, 1, cv2.LINE_AA)
    return cell


def _colors(image: Image) -> npt.NDArray[np.uint8]:
    """Any planes as an image for OpenCV: three planes are colors, of others the first is shown as gray.

    Floats are scaled from black to white.
    """
    planes = image if len(image) == 3 else image[:1].repeat(3, 0)
    if planes.dtype != np.uint8:
        low, high = float(planes.min()), float(planes.max())
        planes = (planes - low) * (255 / (high - low) if high > low else 0)
    return np.ascontiguousarray(planes.transpose(1, 2, 0)).astype(np.uint8)
