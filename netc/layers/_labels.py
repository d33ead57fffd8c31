"""Functions shared by the losses: label checks, class indices, normalizers and clamped values.

Rules from `loss_layer.cpp` (Reshape), `softmax_loss_layer.cpp` (Reshape, get_normalizer) and similar losses.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

from netc.diagnostics import counted
from netc.ir.dims import Shape, canonical_axis, differ, product, text
from netc.ir.fields import Fields
from netc.ir.layer import CaffeFields, Mode, Shapes, fail
from netc.ir.traits import without_axis

if TYPE_CHECKING:
    from torch import Tensor

Normalization = Literal["FULL", "VALID", "BATCH_SIZE", "NONE", "PRE_FIXED"]
"""Divisor of the summed loss: all positions, all positions that are not ignored, the batch size, 1, or the number in
the file (`pre_fixed_normalizer` in R-FCN's and Intel's Caffe)."""

LOSS_FIELDS: CaffeFields = {
    "ignore_label": ("loss_param.ignore_label",),
    "normalization": ("loss_param.normalization", "loss_param.normalize"),
    "pre_fixed_normalizer": ("loss_param.pre_fixed_normalizer",),
    "class_weights": ("loss_param.class_weighting", "loss_param.weight_by_label_freqs"),
    "label_smoothing": ("loss_param.label_smoothing",),
}
"""The prototxt fields of the parameters that losses share."""

LOG_THRESHOLD = 1e-20
"""Lower bound of probabilities before their logarithm is computed (`loss_layer.hpp`, kLOG_THRESHOLD)."""


class ClassAxis:
    """The labels of layers whose scores have the classes along `axis`."""

    axis: int

    def label_shape(self, scores: Shape) -> Shape | None:
        """One label for each position outside the class axis."""
        return without_axis(scores, self.axis)

    def label_classes(self, scores: Shape) -> int | None:
        """The extent of the class axis."""
        return scores[self.axis]


def normalization(loss: Fields, default: Normalization) -> Normalization:
    """Return the mode that a LossParameter selects; the older `normalize` applies if `normalization` is not set.

    In Caffe of 2015 and its forks `normalize` defaults to true, which corresponds to VALID today and is the default of
    the losses that read the field.
    """
    if "normalization" not in loss and "normalize" in loss:
        return "VALID" if loss["normalize"] else "BATCH_SIZE"
    chosen: Normalization = loss.get("normalization", default)
    return chosen


def loss_message(
    ignore_label: int | None,
    mode: Normalization,
    default: Normalization,
    fixed: float = 1.0,
    weights: tuple[float, ...] = (),
    smoothing: float = 0.0,
) -> dict[str, dict[str, object]]:
    """Return the `loss_param` that the losses read back, as plain values; empty if all values are defaults."""
    message: dict[str, object] = {} if ignore_label is None else {"ignore_label": ignore_label}
    if mode != default:
        message["normalization"] = mode
    if fixed != 1:
        message["pre_fixed_normalizer"] = fixed
    if weights:
        message |= {"weight_by_label_freqs": True, "class_weighting": list(weights)}
    if smoothing:
        message["label_smoothing"] = smoothing
    return {"loss_param": message} if message else {}


def class_weights(loss: Fields) -> tuple[float, ...]:
    """Return `class_weighting`, which applies if `weight_by_label_freqs` is set (SegNet's Caffe)."""
    return tuple(loss.get("class_weighting", ())) if loss.get("weight_by_label_freqs", False) else ()


def check_weights(weights: tuple[float, ...], smoothing: float, classes: int) -> None:
    """Raises NetcError E101 unless there is one weight per class and `label_smoothing` is from 0 to below 1."""
    if weights and len(weights) != classes:
        fail(
            f"{counted(len(weights), 'class weight')} for {counted(classes, 'class')}",
            code="E101",
            field="loss_param.class_weighting",
        )
    if not 0 <= smoothing < 1:
        found = f"`label_smoothing` is {smoothing:g}: it must be 0 or more and less than 1"
        fail(found, code="E101", field="loss_param.label_smoothing")


def refuse_weights(loss: Fields, type: str) -> None:
    """Raises NetcError E101 for class weights and label smoothing if the loss does not support them."""
    for name in ("weight_by_label_freqs", "label_smoothing"):
        if loss.get(name, 0):
            fail(f"`{type}` does not take `{name}`", code="E101", field=f"loss_param.{name}")


def check_items(bottoms: Shapes) -> int:
    """Return the batch size. Raises NetcError E102 if the first two bottoms differ in it."""
    scores, labels = bottoms[:2]
    if not scores or not labels:
        fail(f"a bottom without axes: {text(scores)} and {text(labels)}", field="bottom")
    if differ(scores[0], labels[0]):
        fail(
            f"{counted(scores[0], 'item')} of data, but {labels[0]} of labels: the first axes must agree",
            field="bottom",
        )
    return scores[0]


def check_axis(scores: Shape, axis: int, field: str) -> int:
    """Return the class axis, counted from the front. Raises NetcError E102 if the scores do not have it."""
    found = canonical_axis(axis, len(scores))
    if found is None:
        fail(f"axis {axis} of a bottom with {counted(len(scores), 'axis')}", field=field)
    return found


def check_label_count(scores: Shape, axis: int, labels: Shape) -> None:
    """Raises NetcError E102 unless there is one label for each position outside the class axis."""
    places = (*scores[:axis], *scores[axis + 1 :])
    if differ(product(places), product(labels)):
        fail(
            f"{counted(product(labels), 'label')} {text(labels)} for "
            f"{counted(product(places), 'prediction')} {text(scores)}",
            "one label is needed for each position, whatever the extent of the class axis",
            field="bottom",
        )


def check_one_label_an_item(bottoms: Shapes, index: int = 1) -> None:
    """Raises NetcError E102 unless the labels have shape (n), (n, 1), (n, 1, 1) or (n, 1, 1, 1)."""
    labels = bottoms[index]
    if not 1 <= len(labels) <= 4 or any(differ(extent, 1) for extent in labels[1:]) or differ(labels[0], bottoms[0][0]):
        fail(
            f"expected one label per item, {bottoms[0][0]} in total, got labels of shape {text(labels)}", field="bottom"
        )


def indices(labels: Tensor, classes: int, mode: Mode, ignore: int | None = None, what: str = "label") -> Tensor:
    """Return the labels as integers, truncated towards 0 as in Caffe; `what` names them in the error.

    Raises NetcError E301 for a label outside 0 to `classes` - 1 that is not `ignore`. On a GPU the error is raised
    later; until then the label is clamped, because an index out of range would end the CUDA context first.
    """
    import torch

    whole = labels.long()
    if mode.check is not None:  # not on integers, to which NaN is converted without an error
        mode.check_range(labels.trunc() if labels.is_floating_point() else labels, 0, classes, what, ignore)
    if mode.check is None or whole.device.type == "cpu":
        return whole
    inside = whole.clamp(0, classes - 1)
    return inside if ignore is None else torch.where(whole == ignore, whole, inside)


def normalizer(mode: Normalization, outer: int, inner: int, valid: Tensor | None, fixed: float = 1.0) -> Tensor | float:
    """Return the divisor of the loss, at least 1, so that the loss of a batch without a valid label is 0, not NaN.

    `valid` is true for each position that is not ignored; None means that all are valid. `fixed` is the divisor for
    PRE_FIXED.
    """
    if mode == "VALID" and valid is not None:
        return valid.sum().clamp(min=1)
    places = {
        "FULL": outer * inner, "VALID": outer * inner, "BATCH_SIZE": outer, "NONE": 1, "PRE_FIXED": fixed
    }[mode]  # fmt: skip
    return max(1, places)


def bounded(values: Tensor, low: float = -math.inf, high: float = math.inf) -> Tensor:
    """Clamp the values without changing the gradient: Caffe clamps the reported loss, not the derivative."""
    kept = values.detach()
    # For an infinite value this is inf - inf: it is set to its bound and has no gradient.
    return kept.clamp(low, high) + (values - kept).nan_to_num()


def around(scores: Tensor, axis: int) -> tuple[int, int, int]:
    """Return the number of elements before the class axis, of classes, and of elements after it."""
    return math.prod(scores.shape[:axis]), scores.shape[axis], math.prod(scores.shape[axis + 1 :])
