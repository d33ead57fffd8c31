"""Statistics of the values of a blob, computed without copying all of them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from collections.abc import Iterator

CHUNK = 1 << 20
"""Values that are converted to float64 at a time."""


@dataclass(frozen=True)
class BlobStatistics:
    """A summary of one blob; extremes and moments ignore NaN, and are NaN if every value is."""

    count: int
    """Number of values."""
    min: float
    max: float
    mean: float
    std: float
    """Population standard deviation: divided by the count."""
    nans: int
    """Number of values that are NaN."""
    zeros: int
    """Number of values that are zero."""

    @property
    def all_zero(self) -> bool:
        """Whether every value is zero, and there is at least one: a weight that was never filled or never trained."""
        return 0 < self.count == self.zeros


def statistics(data: npt.NDArray[Any]) -> BlobStatistics:
    """The summary of an array of floats, computed in float64.

    >>> found = statistics(np.array([1, 3, np.nan]))
    >>> found.mean, found.std, found.nans
    (2.0, 1.0, 1)
    """
    nans = zeros = known = 0
    total, low, high = 0.0, math.inf, -math.inf
    with np.errstate(all="ignore"):
        for part in _parts(data):
            values = part[~np.isnan(part)]
            nans += part.size - values.size
            if values.size:
                known += values.size
                zeros += values.size - int(np.count_nonzero(values))
                total += float(values.sum())
                low, high = min(low, float(values.min())), max(high, float(values.max()))
        if not known:
            return BlobStatistics(data.size, math.nan, math.nan, math.nan, math.nan, nans, zeros)
        mean = total / known
        squares = sum(float(np.nansum((part - mean) ** 2)) for part in _parts(data))
    std = math.sqrt(squares / known) if math.isfinite(mean) else math.nan
    return BlobStatistics(data.size, low, high, mean, std, nans, zeros)


def _parts(data: npt.NDArray[Any]) -> Iterator[npt.NDArray[np.float64]]:
    flat = data.reshape(-1)
    for start in range(0, flat.size, CHUNK):
        yield flat[start : start + CHUNK].astype(np.float64)
