"""Draws detected objects on their images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from netc.data.images import IMREAD_COLOR, LARGEST, decode, encode
from netc.diagnostics import NetcError
from netc.files import read_bytes, reason_of
from netc.weights import atomic_write

if TYPE_CHECKING:
    from collections.abc import Iterable

    from netc.conversion.detect import ImageDetections
    from netc.conversion.detections import Detection

HUES = 37
"""Steps of OpenCV's 180 hues from one label to the next: neighbors differ, and none of many repeats."""
FORMATS = ("png", "jpg", "jpeg", "bmp", "webp")


def draw_detections(found: Iterable[ImageDetections], folder: str | Path) -> list[Path]:
    """Write each image with its objects into a folder, which is created; returns the files.

    A file has the name of its image; images of one name are numbered. Raises NetcError E408 for a file that cannot be
    written, E505 for an image that cannot be read.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise NetcError(f"folder `{folder}` cannot be created: {reason_of(error)}", code="E408") from None
    written: list[Path] = []
    for one in found:
        path = _unused(folder, Path(one.image), written)
        with atomic_write(path) as file:
            file.write(encode(drawn(_image(one.image), one.objects).transpose(2, 0, 1), path.suffix[1:]))
        written.append(path)
    return written


def drawn(image: Any, objects: Iterable[Detection]) -> Any:
    """A copy of an image (h, w, 3), blue first, with a rectangle, the name and the score of each object."""
    import cv2

    image = np.ascontiguousarray(image).copy()
    width = max(1, round(max(image.shape[:2]) / 400))
    size = max(0.35, max(image.shape[:2]) / 1200)
    for one in sorted(objects, key=lambda one: one.score):  # the best are in front
        color = _color(one.label)
        left, top, right, bottom = (round(side) for side in one.box)
        cv2.rectangle(image, (left, top), (right, bottom), color, width)
        text = f"{one.name or one.label} {one.score:.2f}"
        (w, h), below = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, size, 1)
        base = max(top, h + below)
        cv2.rectangle(image, (left, base - h - below), (left + w, base), color, cv2.FILLED)
        cv2.putText(image, text, (left, base - below // 2), cv2.FONT_HERSHEY_SIMPLEX, size, (0, 0, 0), 1, cv2.LINE_AA)
    return image


def _color(label: int) -> tuple[int, ...]:
    import cv2

    pixel = np.array([[[label * HUES % 180, 200, 255]]], np.uint8)
    return tuple(cv2.cvtColor(pixel, cv2.COLOR_HSV2BGR)[0, 0].tolist())


def _image(path: str) -> Any:
    try:
        return decode(memoryview(read_bytes(path, LARGEST)), IMREAD_COLOR).transpose(1, 2, 0)
    except (OSError, ValueError) as error:
        raise NetcError(f"cannot read `{path}`: {reason_of(error)}", code="E505") from None


def _unused(folder: Path, image: Path, written: list[Path]) -> Path:
    suffix = image.suffix.lower() if image.suffix[1:].lower() in FORMATS else ".png"
    path, number = folder / f"{image.stem}{suffix}", 1
    while path in written:
        number += 1
        path = folder / f"{image.stem}_{number}{suffix}"
    return path
