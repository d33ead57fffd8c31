"""MS-CNN's files of objects: images, objects in them, and regions to ignore (`image_gt_data_layer.cpp`).

# 0
path
channels
height
width
matrices                        one line, only in files of the panoramic port
number of objects
class ignored x1 y1 x2 y2       one line per object; 7 more numbers in files of the panoramic port
number of regions
x1 y1 x2 y2                     one line per region
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from netc.data.sources.image_list import read_text
from netc.diagnostics import NetcError, Source, Span, counted

if TYPE_CHECKING:
    from pathlib import Path

Floats = npt.NDArray[np.float64]
FIELD = "image_gt_data_param.source"
PLANE, SPHERE = 12, 22
"""Numbers of the matrices of an image that is projected on a plane (3 x 4), and on a sphere (4 x 4 and 2 x 3)."""
OBJECT, POSE, REGION = 6, 7, 4
"""Numbers of an object, those it has besides in a file of the panoramic port, and numbers of a region."""
LIMIT = 2.0**31
"""Bound of the numbers in a file."""


class ObjectImage(NamedTuple):
    """An image of a file."""

    path: str
    size: tuple[int, int]
    """Height and width as the file says, which only count for the last image."""
    objects: Floats
    """Rows (g, 13) of class, whether it is ignored, corners, length, height, width, location (3) and rotation; the last
    seven are 0 in MS-CNN's files."""
    regions: Floats
    """Corners (r, 4) of regions to ignore."""
    projection: Floats
    """(2, 3); 0 in MS-CNN's files."""
    model: Floats
    """(4, 4); 0 in MS-CNN's files."""


class ObjectFile(NamedTuple):
    """The content of a file."""

    images: list[ObjectImage]
    in_space: bool
    """Whether it is one of the panoramic port."""


def read_objects(path: Path, name: str, sphere: bool) -> ObjectFile:
    """The images of a file; with `sphere` they have the matrices of a projection on a sphere.

    Raises NetcError E501 for a file that cannot be read, E502 for an empty one, and E506 with the place of a bad line.
    """
    reader = _Reader(Source(name, read_text(path, name, FIELD)), SPHERE if sphere else PLANE)
    images = []
    while reader.skip_empty():
        images.append(reader.image())
    if not images:
        raise NetcError(f"file of objects `{name}` is empty", code="E502", field=FIELD)
    return ObjectFile(images, bool(reader.in_space))


class _Reader:
    """Reads lines; `at` is the next one."""

    def __init__(self, source: Source, matrices: int) -> None:
        self.source, self.matrices = source, matrices
        self.lines = [line.strip() for line in source.text.split("\n")]
        self.at = 0
        self.in_space: bool | None = None
        """Whether it is a file of the panoramic port; unknown before the first image."""

    def skip_empty(self) -> bool:
        """Move to the next line with text; whether there is one."""
        while self.at < len(self.lines) and not self.lines[self.at]:
            self.at += 1
        return self.at < len(self.lines)

    def image(self) -> ObjectImage:
        """The next image. Raises NetcError E506."""
        if not self._next().startswith("#"):
            raise self._bad("an image must begin with `#` and its number")
        path = self._next()
        channels, height, width = (self._count(what) for what in ("channels", "height", "width"))
        if min(channels, height, width) < 1:
            raise self._bad("channels, height and width must be positive")
        if self.in_space is None:
            self.in_space = self.at < len(self.lines) and len(self.lines[self.at].split()) > 1
        projection, model = np.zeros((2, 3)), np.zeros((4, 4))
        if self.in_space:
            numbers = self._numbers(self.matrices, f"{self.matrices} numbers of matrices")
            projection, model = _on_sphere(numbers) if self.matrices == SPHERE else self._on_plane(numbers)
        what = "class ignored x1 y1 x2 y2" + " height width length tx ty tz ry" * self.in_space
        objects = self._rows(OBJECT + POSE * self.in_space, "objects", what)
        if len(objects) and objects[:, 0].min() < 1:
            self.at -= len(objects) - int(objects[:, 0].argmin())
            self.at += 1
            raise self._bad(f"the class {objects[:, 0].min():g} is not positive")
        regions = self._rows(REGION, "regions", "x1 y1 x2 y2")
        if self.in_space:  # length first, as in the tops
            objects = objects[:, [0, 1, 2, 3, 4, 5, 8, 6, 7, 9, 10, 11, 12]]
        else:
            objects = np.pad(objects, ((0, 0), (0, POSE)))
        return ObjectImage(path, (height, width), objects, regions, projection, model)

    def _on_plane(self, numbers: Floats) -> tuple[Floats, Floats]:
        p, model = numbers.reshape(3, 4), np.eye(4)
        if not p[0, 0] or not p[1, 1]:
            raise self._bad("the focal lengths of the projection matrix must not be 0")
        model[:3, 3] = p[0, 3] / p[0, 0], p[1, 3] / p[1, 1], p[2, 3]
        return p[:2, :3].copy(), model

    def _rows(self, count: int, kind: str, what: str) -> Floats:
        """The rows after a line with their number."""
        rows = self._count(f"the number of {kind}")
        if rows > len(self.lines) - self.at:
            raise self._bad(f"expected {counted(rows, 'line')} of {kind} after this line")
        return np.array([self._numbers(count, f"`{what}`") for _ in range(rows)]).reshape(rows, count)

    def _numbers(self, count: int, what: str) -> Floats:
        words = self._next().split()
        try:
            found = np.array([float(word) for word in words])
        except ValueError:
            found = np.empty(0)
        if len(words) != count or len(found) != count:
            raise self._bad(f"expected {what}")
        if not (np.abs(found) < LIMIT).all():  # also NaN
            raise self._bad("numbers must be finite and below 2^31")
        return found

    def _count(self, what: str) -> int:
        word = self._next()
        if not (word.isascii() and word.isdecimal() and len(word) < 10):
            raise self._bad(f"expected {what}")
        return int(word)

    def _next(self) -> str:
        if self.at >= len(self.lines):
            self.at = len(self.lines)
            raise self._bad("the file ends within this image")
        self.at += 1
        return self.lines[self.at - 1]

    def _bad(self, what: str) -> NetcError:
        """The error of the line that was read last."""
        number = max(self.at, 1)
        start = sum(len(line) + 1 for line in self.source.text.split("\n")[: number - 1])
        end = start + max(1, len(self.source.line(number)))
        return NetcError(f"line {number}: {what}", code="E506", span=Span(self.source, start, end), field=FIELD)


def _on_sphere(numbers: Floats) -> tuple[Floats, Floats]:
    return numbers[16:].reshape(2, 3), numbers[:16].reshape(4, 4)
