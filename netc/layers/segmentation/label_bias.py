"""Weak supervision by the labels of an image: BiasChannel, AdaptiveBiasChannel, UniqueLabel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from netc.ir.dims import differ, text
from netc.ir.fields import Fields
from netc.ir.layer import CaffeFields, Count, Layer, Mode, Shapes, fail
from netc.ir.traits import Sees
from netc.layers._registry import register

if TYPE_CHECKING:
    from torch import Tensor

NO_LABEL = -1
"""Fills lists of labels up to their length."""


@register("BiasChannel", dialect="pspnet", field="bias_channel_param", v1="BIAS_CHANNEL")
@dataclass(frozen=True)
class BiasChannel(Layer):
    """Adds a constant to the scores of the classes that an image has, or that each position has.

    With labels of type IMAGE, the second bottom lists the labels of each image; `bg_bias` is added for label 0,
    `fg_bias` for others, as often as they are listed. With PIXEL it holds the label of each position: `fg_bias` is
    added to its score, and `bg_bias` to that of `background_label`. Labels of -1 and `ignore_label` have no effect.

    Shapes: (n, c, h, w) and (n, k, 1, 1) or (n, 1, h, w) to (n, c, h, w).

    >>> BiasChannel().infer(((2, 21, 41, 41), (2, 5, 1, 1)), 1)
    ((2, 21, 41, 41),)

    Reference: `bias_channel_layer.cpp` of DeepLab; Papandreou et al., Weakly- and Semi-Supervised Learning, 2015.
    """

    bg_bias: float = 1.0
    """Added to the scores of the background."""
    fg_bias: float = 2.0
    """Added to the scores of other labels."""
    ignore_label: tuple[int, ...] = ()
    """Labels without effect."""
    label_type: Literal["IMAGE", "PIXEL"] = "IMAGE"
    """What the second bottom holds."""
    background_label: int | None = None
    """With PIXEL, the class of the background; None if there is none. Setting `bg_bias` in a file implies 0."""

    caffe_fields: ClassVar[CaffeFields] = {
        "background_label": tuple(f"bias_channel_param.{name}" for name in ("background_label", "bg_bias"))
    }
    bottom_count: ClassVar[Count] = Count(2)
    no_gradient: ClassVar[tuple[int, ...]] = (1,)
    indices: ClassVar[tuple[int, ...]] = (1,)
    overwritable: ClassVar[bool] = True
    in_place: ClassVar[bool] = True
    sees: ClassVar[Sees] = "place"

    @classmethod
    def from_caffe(cls, layer: Fields) -> Self:
        """Raises NetcError E103 for a negative bias."""
        p = layer.message("bias_channel_param")
        for name in ("bg_bias", "fg_bias"):
            if not p[name] >= 0:
                fail(f"`{name}` is {p[name]:g}: it must be 0 or more", code="E103", field=name)
        has_background = "background_label" in p or "bg_bias" in p
        background = p["background_label"] if has_background else None
        return cls(p["bg_bias"], p["fg_bias"], tuple(p["ignore_label"]), p["label_type"], background)

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 unless the labels belong to the scores."""
        scores, labels = bottoms
        if len(scores) != 4 or len(labels) != 4:
            fail(f"expected bottoms with 4 axes, got {text(scores)} and {text(labels)}", field="bottom")
        expected = (scores[0], labels[1], 1, 1) if self.label_type == "IMAGE" else (scores[0], 1, *scores[2:])
        if differ(labels, expected):
            fail(f"expected labels {text(expected)}, got {text(labels)}", field="bottom")
        if self.background_label is not None and not self.background_label >= 0 and self.label_type == "PIXEL":
            fail(f"`background_label` is {self.background_label}", code="E103", field="background_label")
        if self.background_label is not None and self.background_label >= scores[1]:
            fail(f"`background_label` {self.background_label} is not one of {scores[1]} classes", code="E103")
        return (scores,)

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Raises NetcError E301 for a label that is neither a class nor ignored."""
        import torch

        scores = bottoms[0]
        self.infer((tuple(scores.shape), tuple(bottoms[1].shape)), 1)
        labels = bottoms[1].detach().trunc() if bottoms[1].is_floating_point() else bottoms[1]
        valid = labels != NO_LABEL
        for ignored in self.ignore_label:
            valid = valid & (labels != ignored)
        labels = torch.where(valid, labels, 0)
        mode.check_range(labels, 0, scores.shape[1], "label")
        labels, valid = labels.long().clamp(0, scores.shape[1] - 1), valid.to(scores.dtype)
        bias = scores.new_zeros(*scores.shape[:2], *labels.shape[2:])
        if self.label_type == "IMAGE":
            return scores + bias.scatter_add(1, labels, self._of_label(labels, 0) * valid)
        bias = bias.scatter_add(1, labels, self._of_label(labels, self.background_label, among=0.0) * valid)
        if self.background_label is not None:
            bias[:, self.background_label] += self.bg_bias * valid[:, 0]
        return scores + bias

    def _of_label(self, labels: Tensor, background: int | None, among: float | None = None) -> Tensor:
        """The bias of each label; `among` replaces that of the background."""
        import torch

        if background is None:
            return torch.full(labels.shape, self.fg_bias, device=labels.device)
        return torch.where(labels == background, self.bg_bias if among is None else among, self.fg_bias)


@register("AdaptiveBiasChannel", dialect="pspnet", field="adaptive_bias_channel_param")
@dataclass(frozen=True)
class AdaptiveBiasChannel(Layer):
    """Raises the scores of each label of an image until it wins at a given portion of the positions.

    Scores of classes that the image does not have are first lowered below those that it has (`suppress_others`). Then,
    label by label, in random order after the background, the constant is added that makes the label's score the
    highest at `bg_portion` or `fg_portion` of the positions, `num_iter` times. At last a constant is added to all
    scores that restores the mean of the highest ones. The layer has no gradient.

    Shapes: (n, c, h, w) and labels (n, k, 1, 1), filled up with -1, to (n, c, h, w).

    >>> AdaptiveBiasChannel().infer(((2, 21, 41, 41), (2, 5, 1, 1)), 1)
    ((2, 21, 41, 41),)

    Reference: `adaptive_bias_channel_layer.cpp` of DeepLab; Papandreou et al., Weakly- and Semi-Supervised Learning,
    2015.
    """

    num_iter: int = 1
    """Number of rounds over the labels."""
    bg_portion: float = 0.2
    """Portion of the positions that label 0 wins."""
    fg_portion: float = 0.2
    """Portion of the positions that each other label wins."""
    suppress_others: bool = True
    """Whether scores of classes without a label are lowered."""
    margin_others: float = 1e-5
    """The distance of a lowered score from the lowest score of a label."""

    bottom_count: ClassVar[Count] = Count(2)
    no_gradient: ClassVar[tuple[int, ...]] = (0, 1)
    indices: ClassVar[tuple[int, ...]] = (1,)
    overwritable: ClassVar[bool] = True
    rearranges: ClassVar[bool] = True

    @classmethod
    def from_caffe(cls, layer: Fields) -> Self:
        """Raises NetcError E103 for a value out of range."""
        result = super().from_caffe(layer)
        if result.num_iter < 1:
            fail(f"`num_iter` is {result.num_iter}: it must be 1 or more", code="E103", field="num_iter")
        for name in ("bg_portion", "fg_portion"):
            if not 0 <= getattr(result, name) <= 1:
                fail(f"`{name}` is {getattr(result, name):g}: it must be from 0 to 1", code="E103", field=name)
        if not result.margin_others >= 0:
            fail(f"`margin_others` is {result.margin_others:g}", code="E103", field="margin_others")
        return result

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 unless there is a list of labels per image."""
        scores, labels = bottoms
        if len(scores) != 4 or len(labels) != 4 or differ(labels, (scores[0], labels[1], 1, 1)):
            fail(f"expected (n, c, h, w) and (n, k, 1, 1), got {text(scores)} and {text(labels)}", field="bottom")
        if scores[1] < 2:
            fail(f"expected at least 2 classes, got {scores[1]}", field="bottom")
        return (scores,)

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """All images at once, label by label."""
        import torch

        n, c, h, w = bottoms[0].shape
        self.infer((tuple(bottoms[0].shape), tuple(bottoms[1].shape)), 1)
        given = bottoms[1].detach()[:, :, 0, 0].long()
        mode.check_range(given, 0, c, "label", NO_LABEL)
        valid = given >= 0
        labels = given.clamp(0, c - 1)
        scores = bottoms[0].detach().reshape(n, c, h * w)
        present = scores.new_zeros(n, c).scatter_add(1, labels, valid.to(scores.dtype)) > 0
        if self.suppress_others:
            scores = self._suppressed(scores, present.unsqueeze(2))
        highest = scores.where(present.unsqueeze(2), float("-inf")).amax(1)
        before = highest.double().mean(1)
        for _ in range(self.num_iter):
            for place in _shuffled(labels, valid).unbind(1):
                label, used = labels.gather(1, place[:, None]), valid.gather(1, place[:, None])
                own = scores.gather(1, label[:, :, None].expand(n, 1, h * w))[:, 0]
                raised = own + self._missing(highest - own, label)
                own = torch.where(used, raised, own)
                scores = scores.scatter(1, label[:, :, None].expand(n, 1, h * w), own[:, None])
                highest = torch.where(used, torch.maximum(highest, own), highest)
        shift = (before - highest.double().mean(1)).to(scores.dtype).view(n, 1, 1)
        return (scores + torch.where(valid.any(1).view(n, 1, 1), shift, 0)).view(n, c, h, w)

    def _suppressed(self, scores: Tensor, present: Tensor) -> Tensor:
        lowest = scores.where(present, float("inf")).amin(1, keepdim=True)
        return scores.where(present | (scores <= lowest), lowest - self.margin_others)

    def _missing(self, distance: Tensor, label: Tensor) -> Tensor:
        """The distance from the highest score that a portion of the positions does not exceed."""
        import torch

        places = distance.shape[1]
        background, others = (min(int(part * places), places - 1) for part in (self.bg_portion, self.fg_portion))
        nth = torch.where(label == 0, background, others)
        return distance.sort(1).values.gather(1, nth)


def _shuffled(labels: Tensor, valid: Tensor) -> Tensor:
    """Positions of the labels of each image in random order, the background first, and those without a label last."""
    import torch

    order = torch.rand(labels.shape, device=labels.device)
    return (order - (labels == 0).float() + 2 * (~valid).float()).argsort(1)


@register("UniqueLabel", dialect="pspnet", field="unique_label_param")
@dataclass(frozen=True)
class UniqueLabel(Layer):
    """Lists the values that occur in each plane, in ascending order, filled up with -1.

    Shapes: (n, 1, h, w) to (n, max_labels, 1, 1).

    >>> UniqueLabel(max_labels=5).infer(((2, 1, 41, 41),), 1)
    ((2, 5, 1, 1),)

    Reference: `unique_label_layer.cpp` of DeepLab.
    """

    max_labels: int
    """Number of values that a list has room for."""
    ignore_label: tuple[int, ...] = ()
    """Values that are not listed, unless they are in `force_label`."""
    force_label: tuple[float, ...] = ()
    """Values that are listed in any case."""

    no_gradient: ClassVar[tuple[int, ...]] = (0,)
    overwritable: ClassVar[bool] = True
    rearranges: ClassVar[bool] = True

    @classmethod
    def from_caffe(cls, layer: Fields) -> Self:
        """Raises NetcError E101 without `max_labels`, E103 if it does not exceed the number of forced labels."""
        p = layer.message("unique_label_param")
        if "max_labels" not in p:
            fail("`max_labels` is missing", code="E101", help="set `max_labels` in `unique_label_param`")
        result = super().from_caffe(layer)
        if result.max_labels <= len(set(result.force_label)):
            text = f"`max_labels` is {result.max_labels}: it must exceed the number of forced labels"
            fail(text, code="E103", field="max_labels")
        return result

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 unless the bottom has four axes and one channel."""
        first = bottoms[0]
        if len(first) != 4 or differ(first[1], 1):
            fail(f"expected (n, 1, h, w), got {text(first)}", field="bottom")
        return ((first[0], self.max_labels, 1, 1),)

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Sorts each plane. Raises NetcError E301 for more values than there is room for."""
        import torch

        n = self.infer((tuple(bottoms[0].shape),), 1)[0][0]
        values = bottoms[0].detach().reshape(n, -1)
        kept = torch.ones_like(values, dtype=torch.bool)
        for ignored in self.ignore_label:
            kept = kept & (values != ignored)
        forced = values.new_tensor(self.force_label).expand(n, -1)
        values = torch.cat([values.where(kept, float("inf")), forced], 1).sort(1).values
        first = torch.cat([torch.ones_like(kept[:, :1]), values[:, 1:] != values[:, :-1]], 1) & values.isfinite()
        count = first.sum(1)
        mode.check_range(count, 0, self.max_labels + 1, "number of labels")
        place = torch.where(first, first.cumsum(1) - 1, self.max_labels).clamp(max=self.max_labels)
        row = values.new_full((n, self.max_labels + 1), NO_LABEL)
        return row.scatter(1, place, values)[:, : self.max_labels].reshape(n, -1, 1, 1)
