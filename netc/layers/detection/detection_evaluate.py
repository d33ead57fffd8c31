"""DetectionEvaluate: which detected objects are right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

from netc.ir.augmentation import Resize
from netc.ir.dims import UNKNOWN, differ, product, text
from netc.ir.fields import Fields
from netc.ir.layer import Cost, Count, Layer, Mode, Shapes, StateEntry, fail
from netc.ir.traits import Role
from netc.layers._registry import register
from netc.layers.detection._image_boxes import in_pixels, names_and_sizes

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    Array = NDArray[Any]

FOUND, TRUTH = 7, 8
"""Columns of a row of detections and of ground truth."""


@register("DetectionEvaluate", dialect="ssd", field="detection_evaluate_param")
@dataclass(frozen=True)
class DetectionEvaluate(Layer):
    """Compares detected objects with the ground truth: which are true and which are false positives.

    The first rows are [-1, class, number of objects, -1, -1] for each class but the background. A row [image, label,
    score, true, false] for each detection follows, by image, label and descending score. A detection is true if the
    object that it overlaps most is not yet found and they overlap by `overlap_threshold`. One of a difficult object
    that does not count is neither. Solvers with `eval_type: "detection"` compute the mean average precision from these
    rows.

    Shapes: detections (1, 1, n, 7), ground truth (1, 1, m, 8) to (1, 1, ?, 5).

    >>> DetectionEvaluate(21).infer(((1, 1, 200, 7), (1, 1, 3, 8)), 1)
    ((1, 1, ?, 5),)

    Reference: `detection_evaluate_layer.cpp` and `bbox_util.cpp` of SSD (weiliu89/caffe, branch ssd).
    """

    num_classes: int
    """Number of classes, with the background."""
    background_label_id: int = 0
    """The class that is not evaluated; -1 for none."""
    overlap_threshold: float = 0.5
    """The least intersection over union of a true detection."""
    evaluate_difficult_gt: bool = True
    """Whether difficult objects count."""
    name_size_file: str | None = None
    """A file with a line `name height width` for each image, in the order of the images that have detections; overlaps
    are then those of boxes in pixels."""
    resize_param: Resize | None = None
    """How images were resized, if boxes are compared in pixels."""

    bottom_count: ClassVar[Count] = Count(2)
    no_gradient: ClassVar[tuple[int, ...]] = (0, 1)
    role: ClassVar[Role] = "score"
    rearranges: ClassVar[bool] = True
    overwritable: ClassVar[bool] = True

    @classmethod
    def from_caffe(cls, layer: Fields) -> Self:
        """Reads `detection_evaluate_param`. Raises NetcError E101, E103."""
        p = layer.message("detection_evaluate_param")
        if "num_classes" not in p:
            fail("`num_classes` is missing", code="E101")
        plain = ("num_classes", "background_label_id", "overlap_threshold", "evaluate_difficult_gt")
        resize = Resize.read(p.message("resize_param")) if "resize_param" in p else None
        return cls(
            **{name: p[name] for name in plain}, name_size_file=p.get("name_size_file", None), resize_param=resize
        )

    def to_caffe(self) -> dict[str, Any]:
        """The parameter message, with `resize_param` as a nested dict."""
        values = super().to_caffe()
        return values if self.resize_param is None else {**values, "resize_param": self.resize_param.to_caffe()}

    def __post_init__(self) -> None:
        """Raises NetcError E103 for values out of range."""
        if self.num_classes < 1:
            fail(f"`num_classes` is {self.num_classes}: it must be positive", code="E103", field="num_classes")
        if not self.overlap_threshold > 0:
            found = f"`overlap_threshold` is {self.overlap_threshold:g}: it must be positive"
            fail(found, code="E103", field="overlap_threshold")

    @property
    def carries_state(self) -> bool:  # type: ignore[override]
        """Whether images are counted to find their sizes."""
        return self.name_size_file is not None

    def state_entries(self, bottoms: Shapes) -> tuple[StateEntry, ...]:
        """The number of images with detections so far."""
        return (StateEntry("images", (), "int64"),) if self.carries_state else ()

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 for bottoms of other shapes."""
        for shape, columns, what in zip(bottoms, (FOUND, TRUTH), ("detections", "ground truth")):
            if len(shape) != 4 or any(map(differ, (shape[0], shape[1], shape[3]), (1, 1, columns))):
                fail(f"{what} {text(shape)} must have shape [1,1,n,{columns}]", field="bottom")
        return ((1, 1, UNKNOWN, 5),)

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """Ten operations per pair of a detection and an object."""
        return Cost(operations=10 * product((bottoms[0][2], bottoms[1][2])))

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed on the CPU."""
        import numpy as np
        import torch

        found, truth = (bottom.detach().flatten(0, 2).cpu().numpy() for bottom in bottoms)
        truth = truth[: _first(truth[:, 0].astype(int) == -1)]
        self._check(found, truth, mode)
        classes = [c for c in range(self.num_classes) if c != self.background_label_id]
        counted = truth if self.evaluate_difficult_gt else truth[truth[:, 7] == 0]
        objects = [(-1, c, int((counted[:, 1].astype(int) == c).sum()), -1, -1) for c in classes]
        rows = [np.array(objects, found.dtype).reshape(-1, 5), *self._judged(found, truth, mode)]
        missing = len(classes) + int((found[:, 1] != -1).sum()) - sum(map(len, rows))
        rows.append(np.zeros((missing, 5), found.dtype))  # detections of image -1
        return torch.from_numpy(np.concatenate(rows)).to(bottoms[0].device)[None, None]

    def _check(self, found: Array, truth: Array, mode: Mode) -> None:
        """Report the background among the labels."""
        import torch

        if mode.check is None:
            return
        for rows, what in ((found[found[:, 0] != -1], "a detection"), (truth, "an object")):
            labels = torch.from_numpy(rows[:, 1])
            mode.check(labels, labels.trunc() == self.background_label_id, f"label of {what} is the background")

    def _judged(self, found: Array, truth: Array, mode: Mode) -> list[Array]:
        """Return the rows of each image and label."""
        import numpy as np

        from netc.functions.unstable_sort import descending_order

        sizes = names_and_sizes(mode.find(self.name_size_file), "name_size_file") if self.name_size_file else ()
        images, labels = found[:, 0].astype(int), found[:, 1].astype(int)
        own, kinds = truth[:, 0].astype(int), truth[:, 1].astype(int)
        number, rows = self._images(mode), []
        for image in np.unique(images[images != -1]):
            size = sizes[number % len(sizes)][1:] if sizes else None
            number += 1
            for label in np.unique(labels[images == image]):
                if label != -1:
                    of_label = found[(images == image) & (labels == label)]
                    order = descending_order(of_label[:, 2].tolist())
                    objects = truth[(own == image) & (kinds == label)]
                    rows.append(self._of_label(of_label[order] if len(objects) else of_label, objects, size))
        self._keep(mode, number % len(sizes) if sizes else 0)
        return rows

    def _images(self, mode: Mode) -> int:
        before = mode.kept("images") if self.carries_state else None
        return 0 if before is None else int(before)

    def _keep(self, mode: Mode, number: int) -> None:
        import torch

        if self.carries_state:
            mode.keep("images", torch.tensor(number))

    def _of_label(self, found: Array, objects: Array, size: tuple[int, int] | None) -> Array:
        """Return the rows of the detections of an image and label, which are in order."""
        import numpy as np

        overlaps = self._overlaps(found[:, 3:7], objects[:, 3:7], size)
        rows = np.zeros((len(found), 5), found.dtype)
        rows[:, :3], rows[:, 4] = found[:, :3].astype(found.dtype), 1
        rows[:, :2] = np.trunc(rows[:, :2])
        if not len(objects):
            return rows
        taken: set[int] = set()
        for row, best, overlap in zip(rows, overlaps.argmax(1).tolist(), overlaps.max(1)):
            if not overlap >= self.overlap_threshold:
                continue
            if not self.evaluate_difficult_gt and objects[best, 7]:
                row[3:] = 0
            elif best not in taken:
                taken.add(best)
                row[3:] = 1, 0
        return rows

    def _overlaps(self, first: Array, second: Array, size: tuple[int, int] | None) -> Array:
        """Return the intersections over unions, in pixels if the image's size is known.

        In pixels SSD counts boxes that are apart as if they had one pixel in common.
        """
        import numpy as np
        import torch

        from netc.functions.boxes import areas, intersections, iou

        a, b = torch.from_numpy(first), torch.from_numpy(second)
        if size is None:
            return np.asarray(iou(a, b).numpy())
        a, b = (in_pixels(boxes, *size, self.resize_param) for boxes in (a, b))
        pixels = size[0] > 1 or size[1] > 1
        starts, ends = torch.maximum(a[:, None, :2], b[:, :2]), torch.minimum(a[:, None, 2:], b[:, 2:])
        common = torch.where((starts > ends).any(-1), 1.0, intersections(a, b, inclusive=True))
        union = areas(a, pixels)[:, None] + areas(b, pixels) - common
        return np.asarray((common / union).numpy())


def _first(flags: Array) -> int:
    """Return the index of the first true flag, or the number of flags."""
    return int(flags.argmax()) if flags.any() else len(flags)
