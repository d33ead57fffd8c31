"""Images with the masks of their objects, from folders in the layout of the Semantic Boundaries Dataset (MNC).

`img/NAME.jpg` is an image; `inst/NAME.mat` holds the number of the object at each pixel, `GTinst.Segmentation`, and
`cls/NAME.mat` its class, `GTcls.Segmentation`. `SET.txt` lists names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from netc.data import images
from netc.data.matlab import read_variable
from netc.data.sources.image_list import read_text
from netc.data.sources.region_images import FIELD, RegionImage, RegionImages, RegionSource
from netc.diagnostics import NetcError, counted
from netc.files import reason_of

if TYPE_CHECKING:
    from netc.data.batch import Array
    from netc.data.pipeline.sampling import Sampler
    from netc.paths import ResolvePath

MOST_OBJECTS = 1000
"""Largest number of objects in an image."""


class InstanceMaskImages(RegionImages):
    """The images of a layer, each twice if it is also read mirrored; see `RegionSource`.

    Raises NetcError E501 and E502 for a folder or a list that cannot be read.
    """

    layout = "the Semantic Boundaries Dataset"

    def listed(self, proposals: dict[str, Array]) -> list[RegionImage]:
        """The images of the list; their objects are read with them, and there are no proposals."""
        name = f"{self.layer.image_set}.txt"
        names = read_text(self.folder / name, name, FIELD).split()
        none = np.empty((0, 4))
        return [RegionImage(self.folder / f"img/{name}.jpg", none, none[:, 0], none) for name in names]

    def opened(self, number: int) -> RegionImage:
        """An image with its objects. Raises NetcError E504 for files that cannot be read or do not match."""
        entry = self.entries[number]
        instances, classes = (self._map(entry.path.stem, kind) for kind in ("inst", "cls"))
        try:
            return _with_objects(entry, instances, classes, self.layer.num_classes)
        except ValueError as error:
            raise NetcError(f"objects of `{entry.path.stem}`: {error}", code="E504", field=FIELD) from None

    def _map(self, name: str, kind: str) -> Array:
        path = self.folder / kind / f"{name}.mat"
        try:
            found: Array = read_variable(images.read([path]), f"GT{kind}.Segmentation")
        except NetcError:  # SciPy is missing
            raise
        except (OSError, ValueError) as error:
            raise NetcError(f"`{path}`: {reason_of(error)}", code="E504", field=FIELD) from None
        return found


def _with_objects(entry: RegionImage, instances: Array, classes: Array, count: int) -> RegionImage:
    """An image with the boxes, classes and masks of the objects in two maps. Raises ValueError unless they match."""
    if instances.ndim != 2 or instances.shape != classes.shape:
        raise ValueError(f"maps of objects and of classes have shapes {instances.shape} and {classes.shape}")
    numbers = np.unique(instances[instances != 0])
    if len(numbers) > MOST_OBJECTS:
        raise ValueError(f"{counted(len(numbers), 'object')}, more than {MOST_OBJECTS:,}")
    boxes, kinds, masks = [], [], []
    for number in numbers:
        mask = instances == number
        kind = np.unique(classes[mask & (classes != 0)])
        if len(kind) != 1 or not 0 < kind[0] < count:
            raise ValueError(f"object {number} has classes {kind[:5].tolist()}: expected one from 1 to {count - 1}")
        rows, columns = mask.any(1).nonzero()[0], mask.any(0).nonzero()[0]
        (top, bottom), (left, right) = rows[[0, -1]], columns[[0, -1]]
        boxes.append((left, top, right, bottom))
        kinds.append(kind[0])
        masks.append(mask[top : bottom + 1, left : right + 1])
    return entry._replace(
        boxes=np.array(boxes, np.float64).reshape(-1, 4),
        classes=np.array(kinds, np.float64),
        masks=tuple(masks),
        extents=instances.shape,
    )


class InstanceMaskSource(RegionSource):
    """Batches of images with objects and their masks; see `BatchSource`."""

    def __init__(self, records: InstanceMaskImages, sampler: Sampler) -> None:
        most = records.layer.max_size
        super().__init__(records, sampler, ((1, most, most), (1, 2)))

    def objects_of(self, found: tuple[Array, float, RegionImage]) -> tuple[Array, ...]:
        """The image's information, its objects, their masks, and the masks' heights and widths."""
        masks = found[2].masks
        sizes = np.array([mask.shape for mask in masks], int).reshape(-1, 2)
        joined = np.zeros((len(masks), *sizes.max(0, initial=1)), np.float32)
        for target, mask in zip(joined, masks):
            target[: mask.shape[0], : mask.shape[1]] = mask
        return (*super().objects_of(found), joined, sizes)


def region_source(layer: Any, resolve: ResolvePath, sampler: Sampler) -> RegionSource:
    """The batches of a layer with objects or regions, and with masks where it has them."""
    if getattr(layer, "with_masks", False):
        return InstanceMaskSource(InstanceMaskImages(layer, resolve), sampler)
    return RegionSource(RegionImages(layer, resolve), sampler)
