"""DetectionOutput: boxes decoded from the predictions, without those that overlap a better one."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

from netc.ir.dims import UNKNOWN, product
from netc.ir.fields import Fields
from netc.ir.layer import CaffeFields, Cost, Count, DTypes, Layer, Mode, Shapes, StateEntry, fail
from netc.ir.traits import Role, Sees
from netc.layers._registry import LayerUse, register
from netc.layers.detection._predictions import CodeType, check_predictions, check_sizes, split_priors
from netc.layers.detection._saved_results import SAVED_FIELDS, SavedResults

if TYPE_CHECKING:
    from torch import Tensor

EVERY_SCORE = -3.4028234663852886e38
"""The threshold of a layer that sets none: the least float32, which scores must exceed."""
_NMS = ("nms_threshold", "top_k", "eta")
_CLIP = ("clip_before_nms", "clip_after_nms")


@register("DetectionOutput", dialect="ssd", field="detection_output_param")
@dataclass(frozen=True)
class DetectionOutput(Layer):
    """Detected objects: decodes boxes, applies non-maximum suppression to each class, and keeps the best of an image.

    Each row is [image, label, score, x1, y1, x2, y2], with coordinates in fractions of the image. Rows are in the order
    of the images, then labels, then descending scores. If nothing is found in the whole batch, there is one row
    [image, -1, ...] per image. Boxes are clipped to the image only as OpenVINO's fields say. `visualize` is ignored.

    Shapes: codes (n, 4 p) or, if not `share_location`, (n, 4 p c), scores (n, p c), priors (1, 2, 4 p) to (1, 1, ?, 7).

    >>> DetectionOutput(21).infer(((2, 34928), (2, 183372), (1, 2, 34928)), 1)
    ((1, 1, ?, 7),)

    Reference: Liu et al., SSD, 2016; `detection_output_layer.cpp` and `bbox_util.cpp` of SSD (weiliu89/caffe, branch
    ssd).
    """

    num_classes: int
    """Number of classes, with the background."""
    share_location: bool = True
    """Whether all classes have the same boxes."""
    background_label_id: int = 0
    """The class that is not reported; -1 for none."""
    nms_threshold: float = 0.3
    """Boxes whose intersection over union with a better box exceeds it are dropped."""
    top_k: int | None = None
    """Number of best scores of a class before suppression; none or negative for all."""
    eta: float = 1.0
    """Each kept box of a class multiplies a threshold above 0.5 by this number."""
    code_type: CodeType = "CORNER"
    """How codes describe boxes relative to the priors."""
    keep_top_k: int = -1
    """Number of best boxes of an image after suppression; -1 for all."""
    variance_encoded_in_target: bool = False
    """Whether the codes are not to be multiplied by the variances."""
    confidence_threshold: float | None = None
    """Only boxes whose score exceeds it are considered; none for all."""
    clip_before_nms: bool = False
    """Whether boxes are clipped to the image before suppression."""
    clip_after_nms: bool = False
    """Whether boxes are clipped to the image after suppression."""
    saved: SavedResults | None = None
    """Files that the results are written to (`save_output_param`), in tests and training only."""

    caffe_fields: ClassVar[CaffeFields] = {
        **{name: (f"detection_output_param.nms_param.{name}",) for name in _NMS},
        "saved": SAVED_FIELDS,
    }
    bottom_count: ClassVar[Count] = Count(3, 4)
    role: ClassVar[Role] = "score"
    sees: ClassVar[Sees] = "all"
    rearranges: ClassVar[bool] = True
    overwritable: ClassVar[bool] = True
    no_gradient: ClassVar[tuple[int, ...]] = (0, 1, 2, -1)

    @classmethod
    def from_caffe(cls, layer: Fields) -> Self:
        """Reads `detection_output_param`. Raises NetcError E101 if `num_classes` is missing."""
        p = layer.message("detection_output_param")
        if "num_classes" not in p:
            fail("`num_classes` is missing", code="E101")
        _refuse(p)
        nms, further = p.message("nms_param"), ("code_type", "keep_top_k", "variance_encoded_in_target", *_CLIP)
        plain = ("num_classes", "share_location", "background_label_id", *further)
        return cls(
            **{name: p[name] for name in plain},
            nms_threshold=nms["nms_threshold"],
            top_k=nms.get("top_k", None),
            eta=nms["eta"],
            confidence_threshold=p.get("confidence_threshold", None),
            saved=SavedResults.of(p.message("save_output_param")),
        )

    def to_caffe(self) -> dict[str, Any]:
        """The parameter message, with its messages as nested dicts."""
        values = super().to_caffe()
        nms = {name: values.pop(name) for name in _NMS if name in values}
        if nms:
            values["nms_param"] = nms
        if self.saved is not None:
            values["save_output_param"] = self.saved.to_caffe()
            del values["saved"]
        return values

    def __post_init__(self) -> None:
        """Raises NetcError E101 for shared boxes without a background class, E103 for values out of range."""
        if self.num_classes < 1:
            fail(f"`num_classes` is {self.num_classes}: it must be positive", code="E103", field="num_classes")
        if self.share_location and self.background_label_id == -1:
            fail("`background_label_id: -1` requires `share_location: false`", code="E101", field="background_label_id")
        if not self.nms_threshold >= 0:
            found = f"`nms_threshold` is {self.nms_threshold:g}: it must be at least 0"
            fail(found, code="E103", field="nms_param.nms_threshold")
        if not 0 < self.eta <= 1:
            fail(f"`eta` is {self.eta:g}: it must be over 0 and at most 1", code="E103", field="nms_param.eta")

    @property
    def writes_file(self) -> bool:  # type: ignore[override]
        """Whether results are saved."""
        return self.saved is not None

    def state_entries(self, bottoms: Shapes) -> tuple[StateEntry, ...]:
        """The number of images whose results are in the files."""
        return (StateEntry("images", (), "int64"),) if self.saved is not None else ()

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 if the predictions do not match the priors."""
        check_predictions(bottoms, self.num_classes, self.share_location)
        return ((1, 1, UNKNOWN, 7),)

    def dtypes(self, bottoms: DTypes, tops: int) -> DTypes:
        """That of the scores."""
        return (bottoms[1],) * tops

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """Ten operations per coordinate for decoding, and one comparison per score."""
        return Cost(operations=10 * product(bottoms[0]) + product(bottoms[1]))

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Suppression runs on the CPU."""
        import torch

        with torch.no_grad():
            boxes, scores = self._boxes(bottoms, mode), self._scores(bottoms)
            boxes = boxes.clamp(0, 1) if self.clip_before_nms else boxes
            rows = [self._rows(image, *parts) for image, parts in enumerate(zip(boxes, scores))]
            found = torch.cat(rows)
            if self.saved is not None:
                self.saved.write(found, len(rows), mode)
            if not len(found):
                found = scores.new_full((len(rows), 7), -1)
                found[:, 0] = torch.arange(len(rows))
            return found[None, None]

    def _scores(self, bottoms: Sequence[Tensor]) -> Tensor:
        """Return the scores (n, p, c)."""
        return bottoms[1].reshape(bottoms[1].shape[0], -1, self.num_classes)

    def _boxes(self, bottoms: Sequence[Tensor], mode: Mode) -> Tensor:
        """Return the boxes (n, p, k, 4), k being 1 or the number of classes."""
        priors, variances = split_priors(bottoms[2])
        check_sizes(priors, self.code_type, mode)
        return self._decoded(bottoms[0], priors, variances)

    def _decoded(self, codes: Tensor, priors: Tensor, variances: Tensor) -> Tensor:
        from netc.functions.boxes import decode

        classes = 1 if self.share_location else self.num_classes
        factors = None if self.variance_encoded_in_target else variances.unsqueeze(-2)
        codes = codes.reshape(codes.shape[0], -1, classes, 4)
        return decode(codes, priors.unsqueeze(-2), factors, self.code_type)

    def _rows(self, image: int, boxes: Tensor, scores: Tensor) -> Tensor:
        """Return the rows of an image, of boxes (p, k, 4) and scores (p, c)."""
        import torch

        from netc.functions.suppression import nms_of_classes

        labels = torch.tensor([c for c in range(self.num_classes) if c != self.background_label_id], dtype=torch.long)
        labels = labels.to(scores.device)
        by_class = scores.t()[labels]
        per_class = boxes[:, 0] if self.share_location else boxes.transpose(0, 1)[labels]
        top = None if self.top_k is None or self.top_k < 0 else self.top_k
        lowest = EVERY_SCORE if self.confidence_threshold is None else self.confidence_threshold
        classes, kept = nms_of_classes(per_class, by_class, self.nms_threshold, lowest=lowest, top=top, eta=self.eta)
        found = by_class[classes, kept]
        if 0 <= self.keep_top_k < len(found):
            best = _best(found, classes, self.keep_top_k)
            classes, kept, found = classes[best], kept[best], found[best]
        corners = per_class[kept] if self.share_location else per_class[classes, kept]
        corners = corners.clamp(0, 1) if self.clip_after_nms else corners
        head = torch.stack((torch.full_like(found, image), labels[classes].to(found.dtype), found), 1)
        return torch.cat((head, corners.to(found.dtype)), 1)


def _best(scores: Tensor, classes: Tensor, count: int) -> Tensor:
    """Return the positions of the best scores, by class in descending order; equal scores are in SSD's order."""
    import torch

    from netc.functions.unstable_sort import descending_order

    best = scores.sort(descending=True, stable=True)[1]
    head = scores[best[: count + 1]]
    if (head[1:] == head[:-1]).any():
        best = torch.tensor(descending_order(scores.tolist()), device=scores.device)
    best = best[:count]
    return best[classes[best].sort(stable=True)[1]]


def of_refinedet(use: LayerUse) -> bool:
    """Whether a layer has RefineDet's codes as its fifth bottom, or `objectness_score`; SSD does not read a fourth."""
    return use.bottoms == 5 or (
        use.bottoms == 4 and "objectness_score" in use.parameters.message("detection_output_param")
    )


@register("DetectionOutput", dialect="refinedet", field="detection_output_param", when=of_refinedet)
@dataclass(frozen=True)
class RefineDetDetectionOutput(DetectionOutput):
    """Detected objects of two stages: the first refines the priors, and marks those that contain no object.

    As SSD's layer, but priors whose objectness in the fourth bottom is less than `objectness_score` have a score of 0
    for each class, and the fifth bottom holds codes that move the priors before the boxes are decoded.

    Shapes: SSD's bottoms, objectness (n, 2 p) and codes of the first stage (n, 4 p) to (1, 1, ?, 7).

    >>> RefineDetDetectionOutput(21).infer(((2, 40), (2, 210), (1, 2, 40), (2, 20), (2, 40)), 1)
    ((1, 1, ?, 7),)

    Reference: Zhang et al., RefineDet, 2018; `detection_output_layer.cpp` of RefineDet (sfzhang15/RefineDet).
    """

    objectness_score: float = 0.01
    """The least objectness of a prior that is not skipped."""

    bottom_count: ClassVar[Count] = Count(3, 5)

    @classmethod
    def from_caffe(cls, layer: Fields) -> Self:
        """As SSD's, and `objectness_score`."""
        least = layer.message("detection_output_param")["objectness_score"]
        return dataclasses.replace(super().from_caffe(layer), objectness_score=least)

    no_gradient: ClassVar[tuple[int, ...]] = (0, 1, 2, -2, -1)

    def _scores(self, bottoms: Sequence[Tensor]) -> Tensor:
        scores = super()._scores(bottoms)
        if len(bottoms) < 4:
            return scores
        skipped = bottoms[3].reshape(*scores.shape[:2], 2)[..., 1:] < self.objectness_score
        empty = scores.new_zeros(self.num_classes)
        empty[0] = 1
        return empty.where(skipped, scores)

    def _boxes(self, bottoms: Sequence[Tensor], mode: Mode) -> Tensor:
        if len(bottoms) < 5:
            return super()._boxes(bottoms, mode)
        from netc.functions.boxes import decode

        priors, variances = split_priors(bottoms[2])
        check_sizes(priors, self.code_type, mode)
        factors = None if self.variance_encoded_in_target else variances
        refined = decode(bottoms[4].reshape(bottoms[4].shape[0], -1, 4), priors, factors, self.code_type)
        return self._decoded(bottoms[0], refined, variances)


def _refuse(parameters: Fields) -> None:
    """Raises NetcError E101 for fields of other programs that would change the result."""
    if not parameters.get("normalized", True):
        fail("`normalized` of OpenVINO's Model Optimizer is not supported", code="E101", field="normalized")
    for name in ("soft_nms", "theta"):
        if parameters.message("nms_param").get(name, 0):
            fail(f"`{name}` of jolibrain's Caffe is not supported", code="E101", field=f"nms_param.{name}")
