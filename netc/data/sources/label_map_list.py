"""Lists of images and their label maps: ImageSegData, DenseImageData, WindowSegData and ImageLabelmapData."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from netc.data import images
from netc.data.label_map import decode_gray, decode_indices, resized
from netc.data.records import Record
from netc.data.sources.image_list import ImageListParameters, ListedRecords
from netc.diagnostics import Diagnostic, NetcError, Source, Span
from netc.files import reason_of
from netc.ir.transform import MAX_PIXELS

if TYPE_CHECKING:
    from collections.abc import Callable

    from netc.data.batch import Shape
    from netc.data.images import Image
    from netc.paths import ResolvePath

CLASSES = 256
"""Number of classes that a label map can hold."""
HALF = 127
"""Edges are brighter than this."""
LIMIT = 1_000_000
"""Limit of the corners of windows."""
PARTS = {
    "PIXEL": "the paths of an image and its label map",
    "IMAGE": "the path of an image and its label",
    "NONE": "the path of an image",
}
"""What a line has."""
_LABEL = re.compile(r"[0-9]{1,9}")
_CORNER = re.compile(r"[+-]?[0-9]{1,6}")


class LabelMapParameters(ImageListParameters, Protocol):
    """The parameters of a layer that describe its label maps; see LabelMapLayer."""

    @property
    def message(self) -> str: ...
    @property
    def label_kind(self) -> str: ...
    @property
    def ignored(self) -> int: ...
    @property
    def has_windows(self) -> bool: ...
    @property
    def is_edge_map(self) -> bool: ...
    @property
    def map_factor(self) -> int: ...
    @property
    def crop(self) -> tuple[int, int]: ...


class PairLine(NamedTuple):
    """A line of a list."""

    image: str
    label: str
    """The path of a label map, or one label for all pixels; empty if all are ignored."""
    window: tuple[int, ...] = ()
    """The first and the last pixel, x1, y1, x2, y2; empty without a window."""


class LabelMapRecords(ListedRecords):
    """Images with their label maps, and the sizes of the images; see `Records`.

    Raises NetcError E501 for a list that cannot be read, E502 for an empty one, E506 with the place of every bad line.
    """

    def __init__(self, parameters: LabelMapParameters, resolve: ResolvePath) -> None:
        super().__init__(parameters, resolve, f"{parameters.message}.source")
        self._parameters, factor = parameters, parameters.map_factor
        self._fixed = self._size.fixed
        self._map_size = (self._fixed[0] // factor, self._fixed[1] // factor) if self._fixed else None
        self._lines = _parse(self._source, parameters, self.field)
        self._names = [line.image for line in self._lines]
        self._check_length()

    def shapes(self, index: int = 0) -> tuple[Shape, ...]:
        """Planes of an image, resized, its label map (1, h, w), and its size."""
        record = self.read(index)
        return record.image.shape, record.label.shape, *(array.shape for array in record.more)

    def read(self, index: int) -> Record:
        """An image with its label map, resized, and its size.

        Raises NetcError E504 if one is missing or cannot be decoded, E505 if their sizes differ.
        """
        line, p = self._lines[index % len(self._lines)], self._parameters
        image = self._decoded(line.image, lambda data: images.decode(data, self._flag))
        label = self._label_map(line, image.shape[1:])
        size = image.shape[1:]
        if p.has_windows or p.is_edge_map:
            self._check_sizes(line, image, label)
        if p.has_windows:
            image, label = cut(image, line.window, 0), cut(label, line.window, p.ignored)
        image, label = images.resize(image, self._fixed), resized(label, self._map_size, nearest=not p.is_edge_map)
        if p.map_factor == 1:
            self._check_sizes(line, image, label)
        if p.is_edge_map:
            label = (label > HALF).view(np.uint8)
        return Record(image, label, more=(self._limited(size if p.has_windows else image.shape[1:]),))

    def label_map(self, index: int) -> Image:
        """The label map (1, h, w) of a line, as it is stored. Raises NetcError E504 if it cannot be decoded."""
        return self._label_map(self._lines[index % len(self._lines)], (1, 1))

    def _label_map(self, line: PairLine, size: Shape) -> Image:
        p = self._parameters
        if p.label_kind == "PIXEL":
            return self._decoded(line.label, decode_gray if p.is_edge_map else decode_indices)
        return np.broadcast_to(np.uint8(line.label or p.ignored), (1, *size))

    def _decoded(self, name: str, decode: Callable[[memoryview], Image]) -> Image:
        try:
            return decode(memoryview(self._bytes(name)))
        except (OSError, ValueError) as error:
            what = f"`{self._root}{name}` of `{self.name}`: {reason_of(error)}"
            raise NetcError(what, code="E504", field=self.field) from None

    def _check_sizes(self, line: PairLine, image: Image, label: Image) -> None:
        if image.shape[1:] != label.shape[1:]:
            sizes = [f"{h}x{w}" for _, h, w in (image.shape, label.shape)]
            raise NetcError(
                f"`{self._root}{line.image}` of `{self.name}` is {sizes[0]}, but its label map `{line.label}` is "
                f"{sizes[1]}",
                code="E505",
                field=self.field,
            )

    def _limited(self, size: Shape) -> npt.NDArray[np.float32]:
        """Height and width of an image (1, 1, 2), at most those of the top."""
        crop = self._parameters.crop
        limits = crop if crop[0] else self._fixed or size
        return np.array([[[min(*pair) for pair in zip(size, limits)]]], np.float32)


def cut(planes: Image, window: tuple[int, ...], fill: int) -> Image:
    """A window of an image, from x1, y1 to x2, y2 inclusive, filled beyond the image."""
    x1, y1, x2, y2 = window
    inside = planes[:, max(0, y1) : max(0, y2 + 1), max(0, x1) : max(0, x2 + 1)]
    height, width = y2 - y1 + 1, x2 - x1 + 1
    if inside.shape[1:] == (height, width):
        return inside
    # Interleaved as OpenCV's images, so that it is resized without a copy.
    result = np.full((height, width, len(planes)), fill, np.uint8).transpose(2, 0, 1)
    top, left = max(0, -y1), max(0, -x1)
    result[:, top : top + inside.shape[1], left : left + inside.shape[2]] = inside
    return result


def _parse(source: Source, parameters: LabelMapParameters, field: str) -> list[PairLine]:
    lines, bad, at = [], [], 0
    for line in source.text.split("\n"):
        if words := line.split():
            found = _pair(words, parameters)
            if isinstance(found, PairLine):
                lines.append(found)
            else:
                span = Span(source, at, at + max(1, len(line)))
                bad.append(Diagnostic("E506", f"line {span.line} {found}", span, field=field))
        at += len(line) + 1
    if bad:
        raise NetcError(bad)
    return lines


def _pair(words: list[str], parameters: LabelMapParameters) -> PairLine | str:
    """A line, or what is wrong with it."""
    kind, corners = parameters.label_kind, 4 if parameters.has_windows else 0
    paths = 1 if kind == "NONE" else 2
    if len(words) < paths + corners or (kind != "NONE" and len(words) > paths + corners):
        return f"is not {PARTS[kind]}{' and a window, `x1 y1 x2 y2`' if corners else ''}"
    label = "" if kind == "NONE" else words[1]
    if kind == "IMAGE" and not (_LABEL.fullmatch(label) and int(label) < CLASSES):
        return f"has the label `{label}`, expected 0 to {CLASSES - 1}"
    window = _window(words[paths : paths + corners])
    return window if isinstance(window, str) else PairLine(words[0], label, window)


def _window(words: list[str]) -> tuple[int, ...] | str:
    if not words:
        return ()
    if not all(map(_CORNER.fullmatch, words)):
        return f"has a window that is not four integers below {LIMIT}"
    x1, y1, x2, y2 = corners = tuple(map(int, words))
    if x2 < x1 or y2 < y1:
        return f"has an empty window: {' '.join(words)}"
    if (x2 - x1 + 1) * (y2 - y1 + 1) > MAX_PIXELS:
        return f"has a window of more than {MAX_PIXELS:,} pixels"
    return corners
