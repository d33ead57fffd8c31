"""Region proposals: PVANet's Proposal, and the Python layer of Faster R-CNN and R-FCN."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

from netc.ir.dims import UNKNOWN, Shape, differ, product, text
from netc.ir.fields import Fields
from netc.ir.layer import Cost, Count, Layer, Mode, Shapes, fail
from netc.layers._python_replacement import PythonReplacement
from netc.layers._registry import register
from netc.layers.detection._anchors import Anchor, base_anchors, half_up

if TYPE_CHECKING:
    from torch import Tensor

    from netc.functions.proposals import Limits

OF_SIZE = 3
"""Fewest numbers of an image's information: its height, width and scale."""


@dataclass(frozen=True)
class ProposalBase(Layer):
    """Base of the layers that turn scores and codes of anchors into regions."""

    feat_stride: int = 16
    """Distance between positions, in pixels."""

    bottom_count: ClassVar[Count] = Count(3)
    top_count: ClassVar[Count] = Count(1, 2)
    no_gradient: ClassVar[tuple[int, ...]] = (0, 1, 2)
    rearranges: ClassVar[bool] = True
    overwritable: ClassVar[bool] = True

    def anchors(self) -> tuple[Anchor, ...]:
        """The anchors of the first position."""
        raise NotImplementedError

    def limits(self, training: bool) -> Limits:
        """How many proposals are kept."""
        raise NotImplementedError

    def smallest(self, info: Tensor, training: bool) -> Tensor:
        """The smallest height and width of a box."""
        raise NotImplementedError

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 if the bottoms do not match the anchors."""
        check_anchors(bottoms[0], bottoms[1], len(self.anchors()))
        check_info(bottoms[2], bottoms[0][0])
        return ((UNKNOWN, 5), (UNKNOWN, 1))

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """Ten operations per code of an anchor; suppression depends on the data."""
        return Cost(operations=10 * product(bottoms[1]))

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> tuple[Tensor, ...]:
        """Computed as described in the class docstring."""
        import torch

        from netc.functions.proposals import anchors_at, by_position, propose

        scores, codes, info = (bottom.detach() for bottom in bottoms)
        base = self.anchors()
        height, width = scores.shape[2:]
        anchors = anchors_at(base, self.feat_stride, height, width, scores)
        regions, kept = [], []
        for image in range(scores.shape[0]):
            row = info.reshape(scores.shape[0], -1)[image]
            boxes, best, _ = propose(
                anchors,
                self.unscaled(by_position(codes[image], 4)),
                by_position(scores[image, len(base) :], 1)[:, 0],
                row[:2],
                self.smallest(row, mode.training),
                self.limits(mode.training),
            )
            boxes = self.placed(boxes, row)
            regions.append(torch.cat((boxes.new_full((boxes.shape[0], 1), image), boxes), 1))
            kept.append(best)
        return self.scored(torch.cat(regions), torch.cat(kept))[: mode.tops]

    def unscaled(self, codes: Tensor) -> Tensor:
        """The codes (k, 4) as numbers of anchors."""
        return codes

    def placed(self, boxes: Tensor, info: Tensor) -> Tensor:
        """The boxes (k, 4) of an image as they are returned."""
        return boxes

    def scored(self, regions: Tensor, scores: Tensor) -> tuple[Tensor, Tensor]:
        """The regions, and their scores in the shape of the second top."""
        return regions, scores[:, None]


@register("Proposal", dialect="pvanet", field="proposal_param")
@dataclass(frozen=True)
class Proposal(ProposalBase):
    """Moves anchors by predicted codes, and keeps the best after non-maximum suppression.

    At each position there is an anchor of each ratio and scale. Boxes are clipped to the image; the score of one with
    a side below `min_size`, in pixels before scaling, becomes 0. The `pre_nms_topn` best of each image are suppressed,
    and `post_nms_topn` kept.

    Shapes: scores (n, 2 a, h, w), first of background, codes (n, 4 a, h, w) and image information (n, 4 or more),
    of height, width, vertical and horizontal scale, to regions (r, 5) and scores (r); with three numbers the scales
    are equal.

    >>> layer = Proposal(ratio=(0.5, 1.0, 2.0), scale=(8.0, 16.0))
    >>> layer.infer(((1, 12, 40, 60), (1, 24, 40, 60), (1, 6)), 2)
    ((?, 5), (?,))

    Reference: `proposal_layer.cpp` and `.cu` of PVANet's Caffe and of OpenVINO's training toolbox; OpenVINO's
    `proposal.hpp`; Ren et al., Faster R-CNN, 2015.
    """

    base_size: int = 16
    """Side of an anchor of scale and ratio 1, in pixels."""
    min_size: int = 16
    """Smallest side of a box that keeps its score, in pixels of the image before it was scaled."""
    ratio: tuple[float, ...] = ()
    """Ratios of height to width of the anchors."""
    scale: tuple[float, ...] = ()
    """Factors of the sides of the anchors."""
    pre_nms_topn: int = 6000
    """Number of boxes with the highest scores that take part in suppression."""
    post_nms_topn: int = 300
    """Number of boxes that are kept."""
    nms_thresh: float = 0.7
    """Boxes that overlap a better one by more are dropped."""
    box_coordinate_scale: float = 1.0
    """Divisor of the codes of the center."""
    box_size_scale: float = 1.0
    """Divisor of the codes of the width and height."""
    clip_before_nms: bool = True
    """Whether boxes are clipped to the image before suppression, to its last pixels."""
    clip_after_nms: bool = False
    """Whether boxes are clipped to the image after suppression, to its height and width."""
    normalize: bool = False
    """Whether coordinates are divided by the height and width of the image."""

    @classmethod
    def from_caffe(cls, layer: Fields) -> Self:
        """Reads `proposal_param`. Raises NetcError E106 for OpenVINO's boxes in TensorFlow's order of coordinates."""
        if layer.message("proposal_param").get("framework", ""):
            fail("`framework` of OpenVINO's Proposal is not supported", code="E106", field="framework")
        return super().from_caffe(layer)

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E101 without anchors, E102 if the bottoms do not match them, E103 for a stride of 0."""
        for name in ("ratio", "scale"):
            check_positive(getattr(self, name), name)
        check_positive((self.feat_stride, self.base_size), "feat_stride")
        for name in ("box_coordinate_scale", "box_size_scale"):
            check_positive((getattr(self, name),), name)
        super().infer(bottoms, tops)
        return ((UNKNOWN, 5), (UNKNOWN,))

    def anchors(self) -> tuple[Anchor, ...]:
        """See ProposalBase."""
        return base_anchors(self.base_size, self.ratio, self.scale, half_up)

    def limits(self, training: bool) -> Limits:
        """See ProposalBase."""
        from netc.functions.proposals import Limits

        return Limits(self.pre_nms_topn, self.post_nms_topn, self.nms_thresh, False, self.clip_before_nms)

    def unscaled(self, codes: Tensor) -> Tensor:
        """See ProposalBase."""
        return codes / codes.new_tensor((self.box_coordinate_scale,) * 2 + (self.box_size_scale,) * 2)

    def placed(self, boxes: Tensor, info: Tensor) -> Tensor:
        """See ProposalBase."""
        from netc.functions.boxes import clip

        boxes = clip(boxes, info[1], info[0]) if self.clip_after_nms else boxes
        return boxes / info[[1, 0, 1, 0]] if self.normalize else boxes

    def smallest(self, info: Tensor, training: bool) -> Tensor:
        """See ProposalBase."""
        return info[[2, min(3, info.shape[0] - 1)]] * self.min_size

    def scored(self, regions: Tensor, scores: Tensor) -> tuple[Tensor, Tensor]:
        """See ProposalBase."""
        return regions, scores


@dataclass(frozen=True)
class ProposalSettings(PythonReplacement):
    """The settings of py-faster-rcnn's proposals."""

    ratios: tuple[float, ...] = (0.5, 1.0, 2.0)
    """Ratios of height to width of the anchors."""
    scales: tuple[float, ...] = (8.0, 16.0, 32.0)
    """Factors of the sides of the anchors."""
    pre_nms_topn: tuple[int, ...] = (12000, 6000)
    """Number of boxes with the highest scores that take part in suppression (`RPN_PRE_NMS_TOP_N`); 0 means all."""
    post_nms_topn: tuple[int, ...] = (2000, 300)
    """Number of boxes that are kept (`RPN_POST_NMS_TOP_N`); 0 means all."""
    nms_thresh: tuple[float, ...] = (0.7,)
    """Boxes that overlap a better one by more are dropped (`RPN_NMS_THRESH`)."""
    min_size: tuple[float, ...] = (16.0,)
    """Smallest side of a box, in pixels of the image before it was scaled (`RPN_MIN_SIZE`)."""

    ignored_keys: ClassVar[frozenset[str]] = frozenset({"num_classes"})

    def limits(self, training: bool) -> Limits:
        """How many proposals are kept."""
        from netc.functions.proposals import Limits

        at = 0 if training else -1
        return Limits(self.pre_nms_topn[at], self.post_nms_topn[at], self.nms_thresh[at], drop_small=True)

    def smallest(self, info: Tensor, training: bool) -> Tensor:
        """The smallest height and width of a box."""
        return info[2].expand(2) * self.min_size[0 if training else -1]


@register("Python", dialect="fast_rcnn", field="python_param", python=("rpn.proposal_layer.ProposalLayer",))
@dataclass(frozen=True)
class ProposalLayer(ProposalSettings, ProposalBase):
    """Moves anchors by predicted codes, and keeps the best after non-maximum suppression.

    The settings are those of py-faster-rcnn's configuration; where there are two, the first is for training. They may
    be set in `param_str`. Boxes are clipped to the image, and those with a side below `min_size`, in pixels before
    scaling, are dropped.

    Shapes: scores (1, 2 a, h, w), first of background, codes (1, 4 a, h, w) and image information (1, 3 or more), of
    height, width and scale, to regions (r, 5) and scores (r, 1).

    >>> ProposalLayer().infer(((1, 18, 38, 63), (1, 36, 38, 63), (1, 3)), 1)
    ((?, 5), (?, 1))

    Reference: `rpn/proposal_layer.py` of py-faster-rcnn; Ren et al., Faster R-CNN, 2015.
    """

    base_size: int = 16
    """Side of an anchor of scale and ratio 1, in pixels."""

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 if the bottoms do not match the anchors, E103 for settings out of range."""
        check_settings(self, "ratios", "scales", "feat_stride", "base_size")
        if differ(bottoms[0][0], 1):
            fail(f"expected a batch of 1 image, got {bottoms[0][0]}", field="bottom")
        return super().infer(bottoms, tops)

    def anchors(self) -> tuple[Anchor, ...]:
        """See ProposalBase."""
        return base_anchors(self.base_size, self.ratios, self.scales)


def check_settings(layer: Layer, *names: str) -> None:
    """Raises NetcError E103 unless these settings of a Python layer are positive numbers."""
    for name in names:
        value = getattr(layer, name)
        check_positive(value if isinstance(value, tuple) else (value,), "python_param.param_str", name)


def check_positive(values: Sequence[Any], field: str, name: str = "") -> None:
    """Raises NetcError E103 unless there is a number and all are positive."""
    if not values or not all(isinstance(value, (int, float)) and value > 0 for value in values):
        fail(f"`{name or field}` must be one or more positive numbers", code="E103", field=field)


def check_anchors(scores: Shape, codes: Shape, anchors: int) -> None:
    """Raises NetcError E102 unless scores and codes are maps of two and four values per anchor."""
    for shape, each, what in ((scores, 2, "scores"), (codes, 4, "codes")):
        if len(shape) != 4 or differ(shape[1], each * anchors):
            fail(f"expected {what} of {each * anchors} channels for {anchors} anchors, got {text(shape)}")
    if any(map(differ, (scores[0], *scores[2:]), (codes[0], *codes[2:]))):
        fail(f"scores {text(scores)} and codes {text(codes)} differ in size", field="bottom")


def check_info(info: Shape, images: int) -> None:
    """Raises NetcError E102 unless there are three or more numbers for each image."""
    if not info or differ(info[0], images) or product(info[1:]) < OF_SIZE:
        fail(f"expected height, width and scale of each image, got {text(info)}", field="bottom")
