"""MNC's MNCDataLayer: images with their objects and the masks of these."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from netc.ir.dims import UNKNOWN, Shape
from netc.ir.fields import Fields
from netc.ir.layer import Count, Shapes
from netc.ir.traits import FedBy
from netc.layers._python_replacement import param_values
from netc.layers._registry import register
from netc.layers.detection.roi_data import RoiDataLayer

WITH_MASKS: dict[str, Any] = {"source": "data/VOCdevkitSDS", "image_set": "train"}
"""Settings for the data set of masks."""
TOPS_WITH_MASKS = 5
"""Number of tops with masks."""


@register("Python", dialect="mnc", field="python_param", python=("pylayer.mnc_data_layer.MNCDataLayer",))
@dataclass(frozen=True)
class MncDataLayer(RoiDataLayer):
    """Images with their objects, scaled, and with the masks of these, at random.

    Images are read as they are and mirrored, and scaled as by py-faster-rcnn's RoIDataLayer. With five tops `source` is
    in the layout of the Semantic Boundaries Dataset: `img/NAME.jpg`, `inst/NAME.mat` and `cls/NAME.mat`, the maps of
    objects and classes, and the list `SET.txt`, where SET is `image_set`. With three it is in PASCAL VOC's. The
    settings are those of MNC's configuration and may be set in `param_str`.

    Masks are not scaled. A mask is that of the object's box, from the first row and column of the top on.

    Shapes: to images (1, 3, h, w), height, width and scale (1, 3), objects (g, 5), of x1, y1, x2, y2 and class, masks
    (g, mh, mw), and the height and width of each (g, 2).

    >>> MncDataLayer(21, with_masks=True).batch(None, 5)
    ((1, 3, ?, ?), (1, 3), (?, 5), (?, ?, ?), (?, 2))

    Reference: `pylayer/mnc_data_layer.py`, `datasets/pascal_voc_seg.py` and `pascal_voc_det.py` of MNC.
    """

    with_masks: bool = False
    """Whether there are masks; true with five tops."""

    top_count: ClassVar[Count] = Count(3, TOPS_WITH_MASKS)
    fed_by: ClassVar[FedBy] = "instance masks"

    @classmethod
    def from_caffe(cls, layer: Fields) -> Self:
        """Reads `param_str` and the number of tops. Raises NetcError E103."""
        given = param_values(layer.message("python_param")["param_str"])
        settings: dict[str, Any] = {"has_rpn": True}
        if len(list(layer.get("top", ()))) == TOPS_WITH_MASKS:
            settings |= {"with_masks": True, **WITH_MASKS}
        settings = {key: value for key, value in settings.items() if key not in given}
        return dataclasses.replace(super().from_caffe(layer), **settings)

    def batch(self, record: Shapes | None, tops: int) -> tuple[Shape | None, ...]:
        """The extents of images and the number of objects depend on the data."""
        masks = ((UNKNOWN, UNKNOWN, UNKNOWN), (UNKNOWN, 2)) if self.with_masks else ()
        return (*super().batch(record, 3), *masks)[:tops]
