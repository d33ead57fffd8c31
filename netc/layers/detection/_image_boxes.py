"""Boxes in pixels of the original images, as SSD writes and evaluates them."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from netc.files import read_bytes, reason_of
from netc.ir.augmentation import Resize
from netc.ir.layer import fail

if TYPE_CHECKING:
    from torch import Tensor


def in_pixels(boxes: Tensor, height: int, width: int, resize: Resize | None) -> Tensor:
    """Return boxes (n, 4) in fractions of the net's image as pixels of an image of this size, clipped to it."""
    from netc.functions.boxes import clip

    scale = boxes.new_tensor((width, height) * 2)
    if resize is None or resize.resize_mode == "WARP":
        return clip(boxes) * scale
    if resize.resize_mode == "FIT_LARGE_SIZE_AND_PAD":
        return clip(_without_padding(boxes, width / height, resize)) * scale
    if not resize.height_scale or not resize.width_scale:
        return clip(boxes) * scale
    return clip(boxes * boxes.new_tensor((resize.width_scale, resize.height_scale) * 2), width, height)


def _without_padding(boxes: Tensor, aspect: float, resize: Resize) -> Tensor:
    """Return boxes in fractions of the part of the net's image that is not padding; those outside it unchanged."""
    import torch

    width, height = float(resize.width), float(resize.height)
    if aspect > width / height:
        x, y = 0.0, (height - width / aspect) / 2 / height
    else:
        x, y = (width - height * aspect) / 2 / width, 0.0
    low, high = boxes.new_tensor((x, y)), boxes.new_tensor((1 - x, 1 - y))
    outside = ((boxes[:, :2] >= high) | (boxes[:, 2:] <= low)).any(1, keepdim=True)
    moved = (boxes - low.repeat(2)) / (high - low).repeat(2)
    return torch.where(outside, boxes, moved)


def names_and_sizes(path: Path, field: str) -> tuple[tuple[str, int, int], ...]:
    """Read a file with a line `name height width` for each image. Raises NetcError E501, E506."""
    try:
        words = _words(path, path.stat().st_mtime_ns)
    except OSError as error:
        fail(f"cannot read `{path}`: {reason_of(error)}", code="E501", field=field)
    try:
        return tuple((words[i], int(words[i + 1]), int(words[i + 2])) for i in range(0, len(words) // 3 * 3, 3))
    except ValueError:
        fail(f"expected lines of a name, a height and a width in `{path}`", code="E506", field=field)


@lru_cache(maxsize=16)
def _words(path: Path, changed: int) -> list[str]:  # noqa: ARG001 - a file that changed is read again
    return read_bytes(path).decode("utf-8", "replace").split()
