"""The input stage that a .py file or an ONNX model may have: images in, the net's own input out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class InputStage:
    """`(planes - mean) * scale` of RGB images (n, h, w, 3), in the net's order of channels."""

    bgr: bool
    """The net wants blue first."""
    mean: Array
    """(1, 1, 1), (c, 1, 1) or (c, h, w), in the net's order."""
    scale: float

    @property
    def plain_mean(self) -> list[float] | None:
        """The mean as a few numbers, None where it is an image."""
        return None if self.mean.shape[1:] != (1, 1) else [float(value) for value in np.ravel(self.mean)]
