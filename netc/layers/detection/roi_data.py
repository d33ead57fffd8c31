"""RoIDataLayer: images with their objects, or with sampled regions, for Fast and Faster R-CNN."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import ClassVar, Self

from netc.diagnostics import counted
from netc.ir.dims import UNKNOWN, Shape
from netc.ir.fields import Fields
from netc.ir.layer import Cost, Count, DataLayer, Shapes, fail
from netc.ir.traits import FedBy
from netc.layers._python_replacement import PythonReplacement
from netc.layers._registry import register

VOC_CLASSES = tuple(
    """aeroplane bicycle bird boat bottle bus car cat chair cow diningtable dog horse motorbike person pottedplant
    sheep sofa train tvmonitor""".split()
)
FIELD = "python_param.param_str"


@register("Python", dialect="fast_rcnn", field="python_param", python=("roi_data_layer.layer.RoIDataLayer",))
@dataclass(frozen=True)
class RoiDataLayer(PythonReplacement, DataLayer):
    """Images of PASCAL VOC's layout, scaled, with their objects; for Fast R-CNN with regions drawn at random.

    Images are read in random order, as they are and mirrored. They are scaled so that the shorter side has one of
    `scales`, and the longer at most `max_size`. Objects that are difficult are left out, and so are images without
    objects. The settings are those of py-faster-rcnn's configuration; `source` and the others are set in `param_str`.

    With the tops data, im_info and gt_boxes there is one image per batch, its height, width and scale, and its objects,
    of x1, y1, x2, y2 and class. With data, rois, labels, codes and weights there are `ims_per_batch` images, and
    `num_rois` regions, drawn from the objects and the boxes of `proposals` as by ProposalTargetLayer.

    Shapes: to (1, 3, h, w), (1, 3) and (g, 5); or to (n, 3, h, w), (r, 5), (r), and (r, 4 num_classes) for the others.

    >>> RoiDataLayer(21).batch(None, 3)
    ((1, 3, ?, ?), (1, 3), (?, 5))

    Reference: `roi_data_layer/layer.py`, `minibatch.py`, `roidb.py` and `datasets/pascal_voc.py` of py-faster-rcnn;
    Fast R-CNN's normalizes the codes of each class by the moments of the data set.
    """

    num_classes: int = 0
    """Number of classes, with the background, which is class 0."""
    source: str = "data/VOCdevkit2007/VOC2007"
    """Folder of the data set: `JPEGImages`, `Annotations` and `ImageSets/Main`."""
    image_set: str = "trainval"
    """The list of images in `ImageSets/Main`."""
    classes: tuple[str, ...] = VOC_CLASSES
    """Names of the classes from 1 on."""
    use_difficult: bool = False
    """Whether difficult objects are used."""
    scales: tuple[int, ...] = (600,)
    """Length of the shorter side of an image, drawn from these (`SCALES`)."""
    max_size: int = 1000
    """Greatest length of the longer side (`MAX_SIZE`)."""
    use_flipped: bool = True
    """Whether images are also read mirrored (`USE_FLIPPED`)."""
    pixel_means: tuple[float, ...] = (102.9801, 115.9465, 122.7717)
    """Subtracted from the channels, blue first (`PIXEL_MEANS`)."""
    ims_per_batch: int = 2
    """Number of images per batch of Fast R-CNN (`IMS_PER_BATCH`)."""
    proposals: str = ""
    """A text file of regions for Fast R-CNN: the name of an image and x1, y1, x2, y2 per line, counted from 0."""
    num_rois: int = 128
    """Number of regions per batch (`BATCH_SIZE`)."""
    fg_fraction: float = 0.25
    """Largest part of them that are of objects (`FG_FRACTION`)."""
    fg_thresh: float = 0.5
    """Overlap from which a region is of its object's class (`FG_THRESH`)."""
    bg_thresh_hi: float = 0.5
    """Overlap below which a region may be background (`BG_THRESH_HI`)."""
    bg_thresh_lo: float = 0.1
    """Smallest overlap of background (`BG_THRESH_LO`)."""
    bbox_normalize_means: tuple[float, ...] = (0.0, 0.0, 0.0, 0.0)
    """Subtracted from codes (`BBOX_NORMALIZE_MEANS`)."""
    bbox_normalize_stds: tuple[float, ...] = (0.1, 0.1, 0.2, 0.2)
    """Divisors of codes (`BBOX_NORMALIZE_STDS`)."""
    has_rpn: bool = True
    """Whether there are three tops for a region proposal network; false if the second top is `rois`."""

    bottom_count: ClassVar[Count] = Count(0)
    top_count: ClassVar[Count] = Count(3, 6)
    fed_by: ClassVar[FedBy] = "regions"

    @classmethod
    def from_caffe(cls, layer: Fields) -> Self:
        """Reads `param_str` and the names of the tops. Raises NetcError E103."""
        tops = list(layer.get("top", ()))
        found = super().from_caffe(layer)
        if "has_rpn" not in layer.message("python_param")["param_str"]:
            found = dataclasses.replace(found, has_rpn=len(tops) == 3 and tops[1] != "rois")
        found._check()
        return found

    def check_names(self) -> None:
        """Raises NetcError E103 unless there is a name for each class."""
        if len(self.classes) + 1 != self.num_classes:
            fail(
                f"`num_classes` is {self.num_classes}: expected {len(self.classes) + 1}, of the background and "
                f"{counted(len(self.classes), 'name')} in `classes`",
                code="E103",
                field=FIELD,
                help="name the classes in `param_str`: `'classes': [...]`",
            )

    def _check(self) -> None:
        if self.classes != VOC_CLASSES:  # data of other classes may be read where the names are set
            self.check_names()
        if self.num_classes < 1:
            fail("`num_classes` is required and must be positive", code="E103", field=FIELD)
        numbers = (*self.scales, self.max_size, self.ims_per_batch, self.num_rois, *self.bbox_normalize_stds)
        fours = (self.bbox_normalize_means, self.bbox_normalize_stds)
        if not all(isinstance(one, (int, float)) and one > 0 for one in numbers) or not self.scales:
            fail("sizes and numbers in `param_str` must be positive", code="E103", field=FIELD)
        if len(self.pixel_means) != 3 or any(len(four) != 4 for four in fours):
            fail("expected 3 `pixel_means`, and 4 means and deviations of codes", code="E103", field=FIELD)

    @property
    def batch_size(self) -> int:
        """Number of images per batch."""
        return 1 if self.has_rpn else self.ims_per_batch

    def batch(self, record: Shapes | None, tops: int) -> tuple[Shape | None, ...]:
        """The extents of images and the numbers of objects and regions depend on the data."""
        images = (self.batch_size, 3, UNKNOWN, UNKNOWN)
        if self.has_rpn:
            return (images, (1, 3), (UNKNOWN, 5))[:tops]
        codes = (UNKNOWN, 4 * self.num_classes)
        return (images, (UNKNOWN, 5), (UNKNOWN,), codes, codes, codes)[:tops]

    def random_fields(self, train: bool) -> tuple[str, ...]:
        """Images are read in random order."""
        return ("use_flipped",)

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """Zero: the images are produced outside the net."""
        return Cost()
