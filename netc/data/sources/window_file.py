"""R-CNN's window files: images, and windows in them with their overlap with objects.

# 0
path
channels
height
width
number of windows
label overlap x1 y1 x2 y2      one line per window
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from netc.data.sources.image_list import read_text
from netc.diagnostics import NetcError, Source, Span, counted

if TYPE_CHECKING:
    from pathlib import Path

    from netc.data.batch import Shape

FIELD = "window_data_param.source"
Windows = npt.NDArray[np.int32]
"""Image, label, x1, y1, x2, y2 in each row."""


LIMIT = np.float32(2**31)
"""Bound of the numbers of a window."""


class WindowImage(NamedTuple):
    """An image as the window file describes it."""

    path: str
    shape: Shape
    """(c, h, w)."""


class WindowFile(NamedTuple):
    """The content of a window file."""

    images: list[WindowImage]
    background: Windows
    foreground: Windows


def read_windows(path: Path, name: str, fg_threshold: float, bg_threshold: float) -> WindowFile:
    """The windows, divided by their overlap with objects.

    Foreground overlaps by `fg_threshold` or more, background by less than `bg_threshold`; background gets label 0.
    Raises NetcError E501 for a file that cannot be read, E502 for an empty one, and E506 with the place of a bad line.
    """
    source = Source(name, read_text(path, name, FIELD))
    lines = [line.strip() for line in source.text.split("\n")]
    images: list[WindowImage] = []
    blocks: list[npt.NDArray[np.float32]] = []
    at = 0
    while at < len(lines):
        if not lines[at]:
            at += 1
            continue
        image, rows, at = _image(source, lines, at)
        blocks.append(np.column_stack([np.full(len(rows), len(images), np.float32), rows]))
        images.append(image)
    if not images:
        raise NetcError(f"window file `{name}` is empty", code="E502", field=FIELD)
    return _parted(images, np.concatenate(blocks), name, fg_threshold, bg_threshold)


def _image(source: Source, lines: list[str], at: int) -> tuple[WindowImage, npt.NDArray[np.float32], int]:
    """One image, its windows as label, overlap, x1, y1, x2, y2, and the line after them."""
    if not lines[at].startswith("#"):
        raise _bad(source, at, "an image must begin with `#` and its number")
    if at + 6 > len(lines):
        raise _bad(source, at, "the file ends within this image")
    try:
        channels, height, width, count = (int(line) for line in lines[at + 2 : at + 6])
    except ValueError:
        raise _bad(source, at + 2, "expected channels, height, width and the number of windows, one per line") from None
    low = at + 6
    high = low + count
    if count < 0 or len(lines) < high:
        raise _bad(source, at + 5, f"expected {counted(count, 'window')} after this line")
    words = [line.split() for line in lines[low:high]]
    for i, line in enumerate(words):
        if len(line) != 6:
            raise _bad(source, low + i, "expected `label overlap x1 y1 x2 y2`")
    try:
        with np.errstate(over="ignore"):  # which becomes infinity
            rows = np.array(words, np.float32).reshape(count, 6)
    except ValueError:
        raise _bad(source, low, "the windows of this image are not numbers") from None
    within = np.abs(rows) < LIMIT  # False for NaN too
    if not within.all():
        row, column = map(int, np.argwhere(~within)[0])
        raise _bad(source, low + row, f"`{words[row][column]}` is out of range: numbers must be finite and below 2^31")
    return WindowImage(lines[at + 1], (channels, height, width)), rows, high


def _parted(
    images: list[WindowImage], rows: npt.NDArray[np.float32], name: str, fg_threshold: float, bg_threshold: float
) -> WindowFile:
    overlap = rows[:, 2]
    is_foreground = overlap >= np.float32(fg_threshold)
    is_background = ~is_foreground & (overlap < np.float32(bg_threshold))
    windows = np.delete(rows, 2, axis=1).astype(np.int32)
    foreground, background = windows[is_foreground], windows[is_background]
    if len(foreground) and foreground[:, 1].min() < 1:
        worst = foreground[int(foreground[:, 1].argmin())]
        raise NetcError(
            f"`{name}` has a foreground window of label {worst[1]}: the labels of objects start at 1",
            code="E509",
            field=FIELD,
            notes=[f"it is in `{images[worst[0]].path}`"],
        )
    background[:, 1] = 0
    return WindowFile(images, background, foreground)


def _bad(source: Source, index: int, what: str) -> NetcError:
    start = sum(len(line) + 1 for line in source.text.split("\n")[:index])
    end = start + max(1, len(source.line(index + 1)))
    return NetcError(f"line {index + 1}: {what}", code="E506", span=Span(source, start, end), field=FIELD)
