"""DisparityData of DispNet: .pfm files and labels from a list (`disparity_data_layer.cpp`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from netc.data.float_files import open_pfm
from netc.data.records import Record
from netc.data.sources.image_list import FIELD, ImageListRecords
from netc.diagnostics import NetcError
from netc.files import exists, reason_of

if TYPE_CHECKING:
    from netc.data.batch import Shape
    from netc.paths import ResolvePath


class DisparityRecords(ImageListRecords):
    """The negated planes that a list of .pfm files names, and labels; see `ImageListRecords`."""

    def __init__(self, layer: Any, resolve: ResolvePath) -> None:
        super().__init__(layer, resolve)
        self._extents = (layer.new_height, layer.new_width)

    def shapes(self, index: int = 0) -> tuple[Shape, ...]:
        """One plane, of the size that the layer names, and its label or labels."""
        return (1, *self._extents), self._labels.shape[1:]

    def read(self, index: int) -> Record:
        """A disparity, as DispNet computes it. Raises NetcError E504 if it is missing, damaged or of another size."""
        candidates = list(self._candidates(self._names[index % len(self._names)]))
        try:
            file = open_pfm(next(filter(exists, candidates), candidates[0]))
            if file.shape != (1, *self._extents):
                expected, found = ("x".join(map(str, shape)) for shape in ((1, *self._extents), file.shape))
                raise ValueError(f"it has {found} numbers, expected {expected}")
            plane = -file.read()
        except (OSError, ValueError) as error:
            raise NetcError(f"{self.describe(index)}: {reason_of(error)}", code="E504", field=FIELD) from None
        return Record(plane, self._labels[index % len(self._labels)])
