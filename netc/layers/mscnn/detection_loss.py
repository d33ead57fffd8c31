"""DetectionLoss of MS-CNN: classes and boxes of the positions of a map."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self

from netc.ir.dims import product
from netc.ir.fields import Fields
from netc.ir.layer import CaffeFields, Cost, Count, Layer, Mode, Shapes, fail
from netc.ir.traits import Sees
from netc.layers._registry import LayerUse, register
from netc.layers.mscnn._codes import (
    COORDINATES,
    REGRESSION,
    centers,
    check_field,
    check_maps,
    limits,
    per_channel,
    regression,
    without_regression,
)

if TYPE_CHECKING:
    from torch import Tensor

FLOAT_MIN = 1.1754943508222875e-38
"""The least probability whose logarithm is computed (FLT_MIN)."""
FEWEST = 4
"""Number of background positions that are used for each class at least."""
MOST_DRAWS = 64
"""Draws per position after which another changes nothing: a position is missed with a probability below 1e-27."""
LEAST_SIZE = 2.0
"""Smallest extent of an object, in pixels."""


def has_classes(use: LayerUse) -> bool:
    """Whether a DetectionLoss layer has `cls_num`, which MS-CNN's requires and YOLO v1's does not have."""
    return "cls_num" in use.parameters.message("detection_loss_param")


class Labels(NamedTuple):
    """The label of each position."""

    label: Tensor
    """The class (n, h, w), 0 for background."""
    objects: Tensor
    """Whether there is an object of a class that is not ignored (n, h, w)."""
    positive: Tensor
    """Whether there is an object (n, h, w)."""
    candidates: Tensor
    """Whether it is background that may be used (n, h, w)."""


@register("DetectionLoss", dialect="panoramic", field="detection_loss_param", when=has_classes)
@dataclass(frozen=True)
class DetectionLossOfMscnn(Layer):
    """Cross-entropy of classes plus smooth L1 distances of codes, at the positions with an object and some others.

    Of the positions of background whose overlap with an object is below `bg_threshold`, `sample_mode` chooses
    `bg_multiple` for each object: at random (`random`), those where the score of the object's class is highest
    (`bootstrap`), half of each (`mixture`), or all of them (any other text). The classes' part is averaged over the
    chosen positions, the codes' part over all codes of objects. Codes are clamped before they are compared with those
    of the object; as in the fork, their gradient is not zero where they are clamped.

    The top has two numbers, the loss and its part that is due to the codes. Only the first has a gradient, although
    both count in the loss of the net that Caffe prints.

    Shapes: maps of scores and codes (n, cls_num + 4, h, w) and labels (n, 6, h, w), of class, center, size and overlap,
    to (1, 1, 1, 2).

    >>> layer = DetectionLossOfMscnn(5, field_w=60.0, field_h=60.0, downsample_rate=8.0)
    >>> layer.infer(((4, 9, 72, 96), (4, 6, 72, 96)), 1)
    ((1, 1, 1, 2),)

    Reference: `detection_loss_layer.cpp` and `.cu` of MS-CNN; Cai et al., A Unified Multi-scale Deep Convolutional
    Neural Network for Fast Object Detection, 2016.
    """

    cls_num: int = 0
    """Number of classes, with the background, which is class 0."""
    coord_num: int = 4
    """Number of codes; the fork computes with 4."""
    factor: float = 1.0
    """Factor of the part due to codes."""
    field_w: float = 0.0
    """Width of the field around a position, in pixels."""
    field_h: float = 0.0
    """Height of the field."""
    downsample_rate: float = 0.0
    """Distance between positions, in pixels."""
    field_whr: float = 2.0
    """Largest factor by which a predicted box differs from the field."""
    field_xyr: float = 2.0
    """A predicted box moves by at most one over this, in units of the field."""
    bb_smooth: bool = True
    """Whether distances are smooth L1, else half their squares."""
    bg_threshold: float = 0.5
    """Overlap with an object below which a position may be used as background."""
    bg_multiple: int = 4
    """Number of positions of background for each object."""
    sample_mode: str = "random"
    """How positions of background are chosen."""
    objectness: bool = False
    """Whether all classes of objects are class 1."""
    iou_weighted: bool = False
    """Whether an object's cross-entropy is weighted by its overlap."""
    pos_neg_weighted: bool = False
    """Whether weights are scaled such that those of objects are 1 / (1 + bg_multiple) of all."""
    ignore_label: int | None = None
    """Positions of this class are ignored."""
    bbox_mean: tuple[float, ...] = ()
    """Subtracted from the codes of objects; empty for unchanged codes."""
    bbox_std: tuple[float, ...] = ()
    """Divisors of the codes of objects; empty for unchanged codes."""

    caffe_fields: ClassVar[CaffeFields] = {
        **REGRESSION,
        "factor": ("detection_loss_param.lambda",),
        "ignore_label": ("loss_param.ignore_label",),
    }
    bottom_count: ClassVar[Count] = Count(2)
    is_loss: ClassVar[bool] = True
    no_gradient: ClassVar[tuple[int, ...]] = (1,)
    overwritable: ClassVar[bool] = True
    rearranges: ClassVar[bool] = True
    sees: ClassVar[Sees] = "all"

    @classmethod
    def from_caffe(cls, layer: Fields) -> Self:
        """Reads `detection_loss_param`, `bbox_reg_param` and `loss_param`. Raises NetcError E103."""
        p, loss = layer.message("detection_loss_param"), layer.message("loss_param")
        named = ((name, "lambda" if name == "factor" else name) for name in cls.__dataclass_fields__)
        own: dict[str, Any] = {name: p[field] for name, field in named if field in p}
        if "ignore_label" in loss:
            own["ignore_label"] = loss["ignore_label"]
        return cls(**own, **regression(layer))

    def to_caffe(self) -> dict[str, Any]:
        """`detection_loss_param`, `bbox_reg_param` and `loss_param`, by name."""
        values = super().to_caffe()
        ignored = {"loss_param": {"ignore_label": values.pop("ignore_label")}} if "ignore_label" in values else {}
        if "factor" in values:
            values["lambda"] = values.pop("factor")
        return {**without_regression(values, "detection_loss_param"), **ignored}

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E101 without classes, E102 if the bottoms do not match, E103 for a value out of range."""
        check_classes(self, "detection_loss_param")
        check_field(self, "detection_loss_param")
        check_maps(bottoms[0], bottoms[1], self.cls_num)
        return ((1, 1, 1, 2),)

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """About ten operations per element."""
        return Cost(operations=10 * product(bottoms[0]))

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """The gradient is the fork's: with that of codes where they are clamped."""
        import torch

        from netc.functions.own_gradient import with_gradient

        x, target = bottoms[0].detach(), bottoms[1].detach()
        scores, codes = x[:, : self.cls_num], x[:, self.cls_num :]
        labels = self._labels(target, mode)
        chosen = self._chosen(scores, labels)
        of_classes, gradient = self._of_classes(scores, target, labels, chosen, mode)
        of_codes, more = self._of_codes(codes, target, labels)
        total = with_gradient(bottoms[0], of_classes + of_codes, torch.cat((gradient, more), 1))
        return torch.stack((total, of_codes)).reshape(1, 1, 1, 2)

    def _labels(self, target: Tensor, mode: Mode) -> Labels:
        import torch

        label = target[:, 0].long()
        if not self.objectness:
            mode.check_range(target[:, 0].trunc(), 0, self.cls_num, "class", self.ignore_label)
        valid = torch.ones_like(label, dtype=torch.bool) if self.ignore_label is None else label != self.ignore_label
        positive = label != 0
        candidates = ~positive & (target[:, -1] < self.bg_threshold)
        label = label.clamp(0, 1 if self.objectness else self.cls_num - 1)
        return Labels(label, positive & valid, positive, candidates)

    def _chosen(self, scores: Tensor, labels: Labels) -> Tensor:
        """The positions of background that are used (n, h, w)."""
        share = 0.5 if self.sample_mode == "mixture" else 1.0
        drawn, best = (self.sample_mode in (mode, "mixture") for mode in ("random", "bootstrap"))
        if not drawn and not best:
            return labels.candidates
        found = labels.candidates.new_zeros(labels.candidates.shape)
        if drawn:
            found |= self._drawn(labels, share)
        if best:
            found |= self._best(scores, labels, share)
        return found

    def _drawn(self, labels: Labels, share: float) -> Tensor:
        """Those of positions drawn at random, with replacement, that may be used."""
        import torch

        objects = labels.positive.flatten(1)
        images, places = objects.shape
        multiple = min(self.bg_multiple, MOST_DRAWS)
        count = (objects.sum(1) * (multiple * share)).trunc().clamp(min=4 * (self.cls_num - 1))
        most = max(places * multiple, min(4 * (self.cls_num - 1), places * MOST_DRAWS))
        index = torch.randint(places, (images, most), device=objects.device)
        used = torch.arange(most, device=objects.device) < count[:, None]
        hits = torch.zeros(images, places, device=objects.device, dtype=torch.int32)
        hits = hits.scatter_add(1, index, used.to(hits.dtype)) > 0
        return hits.reshape(labels.positive.shape) & labels.candidates

    def _best(self, scores: Tensor, labels: Labels, share: float) -> Tensor:
        """The positions with the highest score of each class, the later first among equal ones."""
        import torch

        classes = torch.arange(1, self.cls_num, device=scores.device)
        objects = (labels.label.flatten(1)[:, None] == classes[:, None]).sum(2)
        count = (objects * (float(self.bg_multiple) * share)).trunc().clamp(min=FEWEST)
        candidates = labels.candidates.flatten(1)[:, None].flip(2)
        values = scores[:, 1:].flatten(2).flip(2).masked_fill(~candidates, -torch.inf)
        order = values.argsort(dim=2, descending=True, stable=True)
        ranks = torch.arange(order.shape[2], device=order.device).expand_as(order)
        rank = torch.zeros_like(order).scatter(2, order, ranks)
        best = ((rank < count[:, :, None]) & candidates).any(1).flip(1)
        return best.reshape(labels.candidates.shape)

    def _of_classes(
        self, scores: Tensor, target: Tensor, labels: Labels, chosen: Tensor, mode: Mode
    ) -> tuple[Tensor, Tensor]:
        """The classes' part of the loss, and its gradient."""
        import torch

        used = (chosen & (self.ignore_label != 0)) | labels.objects
        weights = torch.ones_like(target[:, 0])
        if self.iou_weighted:
            weights = torch.where(labels.positive, target[:, -1], weights)
        if self.pos_neg_weighted:
            weights = self._balanced(weights, labels.positive, chosen, mode)
        weights = torch.where(used, weights, 0)
        probability = scores.softmax(1)
        truth = torch.nn.functional.one_hot(labels.label, self.cls_num).movedim(3, 1)
        count = used.sum().clamp(min=1)
        each = probability.gather(1, labels.label[:, None])[:, 0].clamp(min=FLOAT_MIN).log()
        return -(each * weights).sum() / count, (probability - truth) * weights[:, None] / count

    def _balanced(self, weights: Tensor, positive: Tensor, chosen: Tensor, mode: Mode) -> Tensor:
        import torch

        share = 1 / (1 + self.bg_multiple)
        total = (positive.sum() + chosen.sum()).to(weights)
        of_objects = torch.where(positive, weights, 0).sum()
        of_background = torch.where(chosen, weights, 0).sum()
        # The CPU code tests the sum of the objects' weights for both.
        scales_background = of_objects != 0 if mode.cpu_code else of_background != 0
        up = torch.where(of_objects != 0, share * total / of_objects, 1)
        down = torch.where(scales_background, (1 - share) * total / of_background, 1)
        return weights * torch.where(positive, up, down)

    def _of_codes(self, codes: Tensor, target: Tensor, labels: Labels) -> tuple[Tensor, Tensor]:
        """The codes' part of the loss, and its gradient."""
        import torch

        field = per_channel((self.field_w, self.field_h), target)
        moved = (target[:, 1:3] - centers(target, self)) / field
        wanted = torch.cat((moved, (target[:, 3:5].clamp(min=LEAST_SIZE) / field).log()), 1)
        means, stds = self.bbox_mean or (0.0,) * COORDINATES, self.bbox_std or (1.0,) * COORDINATES
        wanted = (wanted - per_channel(means, target)) / per_channel(stds, target)
        away = (self._clamped(codes, means, stds) - wanted) * labels.objects[:, None]
        count = (labels.objects.sum() * COORDINATES).clamp(min=1)
        if self.bb_smooth:
            distance = away.abs()
            each = torch.where(distance < 1, distance.square() / 2, distance - 0.5)
            away = away.clamp(-1, 1)
        else:
            each = away.square() / 2
        return self.factor * each.sum() / count, self.factor * away / count

    def _clamped(self, codes: Tensor, means: Sequence[float], stds: Sequence[float]) -> Tensor:
        """Both centers and both sizes have the limits of their averaged moments."""
        import torch

        parts = []
        for limit, first in zip(limits(self), (0, 2)):
            mean, std = (means[first] + means[first + 1]) / 2, math.sqrt(stds[first] * stds[first + 1])
            parts.append(codes[:, first : first + 2].clamp((-limit - mean) / std, (limit - mean) / std))
        return torch.cat(parts, 1)


def check_classes(layer: Any, message: str) -> None:
    """Raises NetcError E101 or E103 unless there are two classes or more, two if `objectness`, and four codes."""
    if layer.cls_num < 2:
        fail("`cls_num` is required and must be at least 2", code="E101", field=f"{message}.cls_num")
    if layer.coord_num != COORDINATES:
        fail(f"`coord_num` must be {COORDINATES}", code="E103", field=f"{message}.coord_num")
    if layer.objectness and layer.cls_num != 2:
        fail("`objectness` needs `cls_num` 2", code="E103", field=f"{message}.objectness")
