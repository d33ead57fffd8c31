"""Weights of classes by the median of their frequencies, from the label maps of a list (`netc data class-weights`)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from netc.data.pipeline.parallel_map import parallel_map
from netc.data.sources.label_map_list import CLASSES, LabelMapRecords
from netc.data.tools.progress import Progress, no_progress
from netc.ir.image_size import ImageSize

if TYPE_CHECKING:
    import numpy.typing as npt

    from netc.paths import ResolvePath


AS_THEY_ARE = ImageSize()


@dataclass(frozen=True)
class ListedLabelMaps:
    """The parameters of a layer that reads a list of images and label maps."""

    source: str
    root_folder: str = ""
    message: str = "dense_image_data_param"
    is_color: bool = True
    size: ImageSize = AS_THEY_ARE
    label_kind: str = "PIXEL"
    ignored: int = CLASSES - 1
    has_windows: bool = False
    is_edge_map: bool = False
    map_factor: int = 1
    crop: tuple[int, int] = (0, 0)


class ClassWeight(NamedTuple):
    """The weight of a class."""

    label: int
    pixels: int
    frequency: float
    """Its pixels in relation to all pixels of the images that have the class."""
    weight: float
    """The median of the frequencies of all classes, divided by this one."""


def class_weights(
    source: str,
    root: str = "",
    ignored: tuple[int, ...] = (CLASSES - 1,),
    *,
    resolve: ResolvePath = Path,
    threads: int | None = None,
    progress: Progress = no_progress,
) -> list[ClassWeight]:
    """The weights of the classes that occur in the label maps of a list, except `ignored` ones.

    Raises NetcError E501 to E506 for a list or a label map that cannot be read.
    """
    records = LabelMapRecords(ListedLabelMaps(source, root), resolve)
    pixels, present = np.zeros(CLASSES, np.int64), np.zeros(CLASSES, np.int64)
    for done, counts in enumerate(parallel_map(partial(_pixels, records), range(len(records)), threads), 1):
        counts[list(ignored)] = 0
        pixels += counts
        present += (counts > 0) * counts.sum()
        progress(done, len(records))
    return weights_of(pixels, present)


def _pixels(records: LabelMapRecords, index: int) -> npt.NDArray[np.int64]:
    """The number of pixels of each class in a label map."""
    return np.bincount(records.label_map(index).ravel(), minlength=CLASSES)


def weights_of(pixels: npt.NDArray[np.int64], present: npt.NDArray[np.int64]) -> list[ClassWeight]:
    """The weights, from the pixels of each class and of the images that have it.

    >>> [round(one.weight, 2) for one in weights_of(np.array([60, 0, 20, 10]), np.array([100, 0, 100, 50]))]
    [0.33, 1.0, 1.0]
    """
    labels = np.flatnonzero(pixels)
    frequencies = pixels[labels] / present[labels]
    weights = np.median(frequencies) / frequencies if len(labels) else frequencies
    rows = zip(labels.tolist(), pixels[labels].tolist(), frequencies.tolist(), weights.tolist())
    return [ClassWeight(*row) for row in rows]
