"""Where images are cropped and which are mirrored.

Rules from `data_transformer.cpp`: crops are random in the TRAIN phase and centered (rounded down) otherwise; `mirror`
flips every other image, at random, in both phases.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Cropping:
    """Where images are cropped, and whether some are mirrored."""

    size: int = 0
    """Height and width of the crop; 0 takes the whole image."""
    random: bool = False
    mirror: bool = False
    width: int = 0
    """The crop's width where it is not the height."""

    def offset(self, rows: int, columns: int, draw: Any) -> tuple[Any, Any]:
        """Row and column of the crop's first pixel, from a record's draws, where so many are left out.

        For several records `draw` is an array (4, n), and random rows and columns are arrays (n).

        >>> Cropping(4).offset(5, 2, [0, 0, 0, 0])
        (2, 1)
        """
        if self.random and self.size:
            return draw[0] % (rows + 1), draw[1] % (columns + 1)
        return rows // 2, columns // 2

    def extents(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of what is taken of an image."""
        return (self.size, self.width or self.size) if self.size else (height, width)

    def mirrored(self, draws: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_] | None:
        """Which of a batch's images are flipped, None where none can be."""
        return (draws[:, 2] & np.uint64(1)).astype(bool) if self.mirror else None
