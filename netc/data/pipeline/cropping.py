"""Where images are cropped and which are mirrored.

Rules from `data_transformer.cpp`: crops are random in the TRAIN phase and centered (rounded down) otherwise; `mirror`
flips every other image, at random, in both phases.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from netc.data.records import Records
    from netc.ir.transform import Transform

FEW_PLACES, MANY_PLACES = 5, 13
"""Numbers of fixed places of crops."""


def fixed_places(rows: int, columns: int, more: bool) -> list[tuple[int, int]]:
    """The corners and the center of what a crop leaves, in quarters rounded down; `more` adds edges and quarters.

    >>> fixed_places(8, 17, more=False)
    [(0, 0), (0, 16), (8, 0), (8, 16), (4, 8)]
    """
    y, x = rows // 4, columns // 4
    places = [(0, 0), (0, 4), (4, 0), (4, 4), (2, 2)]
    if more:
        places += [(0, 2), (4, 2), (2, 0), (2, 4), (1, 1), (1, 3), (3, 1), (3, 3)]
    return [(i * y, j * x) for i, j in places]


@dataclass(frozen=True)
class Cropping:
    """Where images are cropped, and whether they are mirrored at random."""

    size: int = 0
    """Height and width of the crop; 0 keeps the whole image."""
    random: bool = False
    mirror: bool = False
    width: int = 0
    """The width of the crop, if it differs from the height."""
    places: int = 0
    """5 or 13: a random crop is at one of so many fixed places (yjxiong); 0 is any place."""
    inverted: slice | None = None
    """The channels whose values become 255 - x in a mirrored image: horizontal optical flow (yjxiong, LRCN)."""

    def offset(self, rows: int, columns: int, draw: Any) -> tuple[Any, Any]:
        """Row and column of the crop's first pixel, if `rows` and `columns` are cut off in total.

        `draw` are the random numbers of a record. For several, an array (4, n); random rows and columns are arrays (n).

        >>> Cropping(4).offset(5, 2, [0, 0, 0, 0])
        (2, 1)
        """
        if self.random and self.size and self.places:
            # For several, rows and columns are of equal sizes: `read_many` reads records of one size.
            table = np.array(fixed_places(rows, columns, more=self.places > FEW_PLACES))
            y, x = table[np.asarray(draw[0], np.uint64) % np.uint64(self.places)].T
            return (int(y), int(x)) if y.ndim == 0 else (y, x)
        if self.random and self.size:
            return draw[0] % (rows + 1), draw[1] % (columns + 1)
        return rows // 2, columns // 2

    def extents(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of the crop of an image."""
        return (self.size, self.width or self.size) if self.size else (height, width)

    def mirrored(self, draws: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_] | None:
        """Which images of a batch are flipped; None without `mirror`."""
        return (draws[:, 2] & np.uint64(1)).astype(bool) if self.mirror else None


def cropping_of(transform: Transform, train: bool, channels: int, records: Records) -> Cropping:
    """How records are cropped and mirrored."""
    height, width = transform.crop
    places = (MANY_PLACES if transform.more_fix_crop else FEW_PLACES) if transform.fix_crop else 0
    inverted = None
    if transform.flow:
        inverted = slice(2, 3)
    elif transform.is_flow:
        inverted = slice(None, channels // 2) if records.read_many([0]) is not None else slice(None, None, 2)
    return Cropping(height, train, transform.mirror, width if width != height else 0, places, inverted)
