"""FocalLoss: cross entropy in which labels that are predicted well weigh less."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from netc.ir.dims import product
from netc.ir.fields import Fields
from netc.ir.layer import CaffeFields, Cost, Count, Layer, Mode, Shapes
from netc.ir.traits import Sees
from netc.layers._labels import (
    LOSS_FIELDS,
    ClassAxis,
    Normalization,
    around,
    bounded,
    check_axis,
    check_items,
    check_label_count,
    indices,
    loss_message,
    normalization,
    normalizer,
    refuse_weights,
)
from netc.layers._registry import LayerUse, register
from netc.layers.cross_entropy import LARGEST
from netc.layers.softmax import Softmax

if TYPE_CHECKING:
    from torch import Tensor

TINY = 1e-10
"""Smallest 1 - p, whose powers have no gradient at 0."""


@dataclass(frozen=True)
class Focal(ClassAxis, Layer):
    """Base of both meanings."""

    gamma: float = 2.0
    """Exponent of the weight."""
    axis: int = 1
    """The class axis."""
    ignore_label: int | None = None
    """Positions with this label are ignored, whether or not it is a class."""
    normalization: Normalization = "VALID"
    """The divisor of the summed loss."""

    bottom_count: ClassVar[Count] = Count(2)
    top_count: ClassVar[Count] = Count(1, 2)
    is_loss: ClassVar[bool] = True
    no_gradient: ClassVar[tuple[int, ...]] = (1,)
    indices: ClassVar[tuple[int, ...]] = (1,)
    overwritable: ClassVar[bool] = True
    sees: ClassVar[Sees] = "all"
    own: ClassVar[tuple[str, ...]]
    """The parameters in `focal_loss_param`."""
    axis_message: ClassVar[str]
    """The message that holds the axis."""

    @classmethod
    def from_caffe(cls, layer: Fields) -> Self:
        """Reads `focal_loss_param` and `loss_param`. Raises NetcError E101 for class weights."""
        p, loss = layer.message("focal_loss_param"), layer.message("loss_param")
        refuse_weights(loss, "FocalLoss")
        given = {name: p[name] for name in cls.own if name in p}
        axis = layer.message(cls.axis_message)["axis"]
        mode = normalization(loss, "VALID")
        return cls(**given, axis=axis, ignore_label=loss.get("ignore_label", None), normalization=mode)

    def to_caffe(self) -> dict[str, Any]:
        """`focal_loss_param`, `loss_param` and `softmax_param`, by name."""
        default = type(self)()
        own = {name: getattr(self, name) for name in self.own if getattr(self, name) != getattr(default, name)}
        messages: dict[str, Any] = {"focal_loss_param": own}
        if self.axis != 1:
            messages.setdefault(self.axis_message, {})["axis"] = self.axis
        return {**loss_message(self.ignore_label, self.normalization, "VALID"), **messages}

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 if scores, labels and axis do not match."""
        check_items(bottoms)
        axis = check_axis(bottoms[0], self.axis, f"{self.axis_message}.axis")
        check_label_count(bottoms[0], axis, bottoms[1])
        return ((), bottoms[0])

    def score_layer(self) -> Layer:
        """The softmax that the loss computes."""
        return Softmax(axis=self.axis)

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """As SoftmaxWithLoss's, and three operations per label."""
        return Cost(operations=4 * product(bottoms[0]) + 4 * product(bottoms[1]))

    def weight(self, probability: Tensor) -> Tensor:
        """The factor of each label's logarithm."""
        raise NotImplementedError

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> tuple[Tensor, ...]:
        """Logarithms are at least those of the least normal number, as in the forks."""
        scores, axis = bottoms[0], self.axis % bottoms[0].dim()
        outer, classes, inner = around(scores, axis)
        labels = indices(bottoms[1], classes, mode, self.ignore_label).reshape(outer, 1, inner)
        valid = None if self.ignore_label is None else labels != self.ignore_label
        chosen = labels if valid is None else labels * valid
        log = scores.reshape(outer, classes, inner).log_softmax(1).gather(1, chosen)
        each = self.weight(log.exp()) * bounded(log, low=-LARGEST)
        total = -(each if valid is None else each * valid).sum()
        loss = total / normalizer(self.normalization, outer, inner, valid)
        return (loss, scores.detach().softmax(axis)) if mode.tops > 1 else (loss,)


def _is_happynears(use: LayerUse) -> bool:
    """Whether a FocalLoss layer has `type` or `beta`."""
    p = use.parameters.message("focal_loss_param")
    return "type" in p or "beta" in p


_COMMON: CaffeFields = {
    **{name: LOSS_FIELDS[name] for name in ("ignore_label", "normalization")},
    **{name: (f"focal_loss_param.{name}",) for name in ("gamma", "alpha", "axis")},
}


@register("FocalLoss", dialect="jolibrain")
@dataclass(frozen=True)
class FocalLoss(Focal):
    """The sum of -alpha (1 - p)^gamma log(p), p the softmax probability of each label, normalized.

    The optional second top holds the probabilities; no gradient flows through it.

    Shapes: scores (n, c, ...) and one label for each position outside `axis` to a scalar, and the scores' shape.

    >>> FocalLoss().infer(((3, 5, 4, 2), (3, 4, 2)), 2)
    ((), (3, 5, 4, 2))

    Reference: `focal_loss_layer.cpp` of jolibrain's Caffe; Lin et al., Focal Loss for Dense Object Detection, 2017.
    """

    alpha: float = 0.25
    """Factor of the loss."""

    caffe_fields: ClassVar[CaffeFields] = _COMMON
    own: ClassVar[tuple[str, ...]] = ("gamma", "alpha")
    axis_message: ClassVar[str] = "focal_loss_param"

    def weight(self, probability: Tensor) -> Tensor:
        """Small for probable labels."""
        return self.alpha * (1 - probability).clamp(min=TINY).pow(self.gamma)


@register("FocalLoss", dialect="happynear", when=_is_happynears)
@dataclass(frozen=True)
class TypedFocalLoss(Focal):
    """The sum of -(1 - p)^gamma log(p), or of -(1 + p)^gamma log(p), p the softmax probability of each label.

    The optional second top holds the probabilities; no gradient flows through it.

    Shapes: scores (n, c, ...) and one label for each position outside `axis` to a scalar, and the scores' shape.

    >>> TypedFocalLoss("ONEADDP").infer(((3, 5, 4, 2), (3, 4, 2)), 2)
    ((), (3, 5, 4, 2))

    Reference: `focal_loss_layer.cu` of happynear's Caffe, which does not use `alpha` and `beta`.
    """

    form: Literal["ORIGIN", "LINEAR", "ONEADDP"] = "ORIGIN"
    """Whether the weight is a power of 1 - p or, for `ONEADDP`, of 1 + p: `type` in the file."""

    caffe_fields: ClassVar[CaffeFields] = {
        **_COMMON,
        "axis": ("softmax_param.axis",),
        "form": ("focal_loss_param.type",),
    }
    own: ClassVar[tuple[str, ...]] = ("gamma",)
    axis_message: ClassVar[str] = "softmax_param"

    @classmethod
    def from_caffe(cls, layer: Fields) -> Self:
        """Reads `type` too."""
        return dataclasses.replace(
            super().from_caffe(layer), form=layer.message("focal_loss_param").get("type", "ORIGIN")
        )

    def to_caffe(self) -> dict[str, Any]:
        """With `type` in any case, which distinguishes the meaning."""
        values = super().to_caffe()
        return {**values, "focal_loss_param": {**values["focal_loss_param"], "type": self.form}}

    def weight(self, probability: Tensor) -> Tensor:
        """Small, or large, for probable labels."""
        base = 1 + probability if self.form == "ONEADDP" else (1 - probability).clamp(min=TINY)
        return base.pow(self.gamma)
