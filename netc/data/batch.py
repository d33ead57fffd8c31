"""A batch as a source returns it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Shape = tuple[int, ...]
Array = npt.NDArray[Any]
Allocate = Callable[[Shape, Any], Array]
"""Creates an array of a shape and a dtype with undefined values."""


@dataclass
class Batch:
    """The tops of one pass. `tops[0]` of an image source is as stored; `Normalization` completes it on the device."""

    tops: tuple[Array, ...]
    """Data (n, c, h, w), uint8 or float32, cropped; then labels, float32."""
    mirror: npt.NDArray[np.bool_] | None = None
    """Which images are to be flipped horizontally (n)."""
    offsets: npt.NDArray[np.int64] | None = None
    """Row and column in the record of each crop's first pixel (n, 2), which a mean image needs."""
    valid: npt.NDArray[np.int64] | None = None
    """Top, left, bottom, right of each image within padding (n, 4), which becomes 0; None without padding."""
    boxes: list[Array | None] | None = None
    """The boxes of each image, which `join_boxes` puts into `tops[1]`; None if the labels are numbers."""
    release: Callable[[], None] = lambda: None
    """Return the arrays for use in another batch; they must not be read afterwards."""

    def note(self, slot: int | slice, offset: Any, valid: tuple[int, int, int, int] | None) -> None:
        """Store what the device needs to know about one image, or about several with equal values."""
        if self.offsets is not None:
            self.offsets[slot] = offset
        if self.valid is not None and valid is not None:
            self.valid[slot] = valid
