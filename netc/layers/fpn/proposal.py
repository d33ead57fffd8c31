"""FPN's ProposalLayer: the best boxes of all levels of a feature pyramid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from netc.ir.dims import UNKNOWN, differ, product
from netc.ir.layer import Cost, Count, Mode, Shapes, fail
from netc.layers._registry import LayerUse, register
from netc.layers.detection._anchors import base_anchors
from netc.layers.detection.proposal import ProposalSettings, check_anchors, check_info, check_settings
from netc.layers.fpn._levels import STRIDES, check_strides, written_strides

if TYPE_CHECKING:
    from torch import Tensor

OF_ONE_LEVEL = 3
"""Bottoms of py-faster-rcnn's layer."""


def of_several_levels(use: LayerUse) -> bool:
    """Whether there are more bottoms than py-faster-rcnn's layer has."""
    return use.bottoms > OF_ONE_LEVEL


@register(
    "Python",
    dialect="fpn",
    field="python_param",
    python=("rpn.proposal_layer.ProposalLayer",),
    when=of_several_levels,
)
@dataclass(frozen=True)
class PyramidProposalLayer(ProposalSettings):
    """Moves the anchors of all levels by predicted codes, and keeps the best after non-maximum suppression.

    The anchors of a level are those of its stride: boxes of `scales` times the stride. Of a level's maps only the part
    that the image covers is used, whole strides. Boxes are clipped to the image, and those with a side below
    `min_size`, in pixels before scaling, are dropped. The boxes of all levels are then suppressed together; where fewer
    than `post_nms_topn` are left, some of them, drawn at random, are repeated. If none is left, the top is empty, where
    the original fails. The settings are those of the configuration of Unsky's FPN; where there are two, the first is
    for training. They may be set in `param_str`.

    Shapes: image information (1, 3 or more), of height, width and scale, codes (1, 4 a, h, w) of each level, and scores
    (1, 2 a, h, w), first of background, of each level, to regions (r, 5).

    >>> layer = PyramidProposalLayer(feat_stride=(8, 16))
    >>> layer.infer(((1, 3), (1, 24, 6, 9), (1, 24, 3, 5), (1, 12, 6, 9), (1, 12, 3, 5)), 1)
    ((?, 5),)

    Reference: `rpn/proposal_layer.py` of Unsky's FPN; Lin et al., Feature Pyramid Networks for Object Detection, 2017.
    """

    scales: tuple[float, ...] = (16.0, 32.0)
    """Factors of the sides of the anchors: of a level's stride."""
    post_nms_topn: tuple[int, ...] = (2000, 1000)
    """Number of boxes that are returned (`RPN_POST_NMS_TOP_N`); 0 means all that are kept."""
    feat_stride: tuple[int, ...] = STRIDES
    """Distance between positions of each level, in pixels."""

    bottom_count: ClassVar[Count] = Count(3, None)
    rearranges: ClassVar[bool] = True
    overwritable: ClassVar[bool] = True

    @property
    def no_gradient(self) -> tuple[int, ...]:  # type: ignore[override]
        """No bottom gets a gradient."""
        return tuple(range(2 * len(self.feat_stride) + 1))

    def written(self, name: str, value: Any) -> str:
        """See PythonReplacement."""
        return written_strides(name, value) or super().written(name, value)

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 if the bottoms do not match the anchors, E103 for settings out of range."""
        check_settings(self, "ratios", "scales")
        check_strides(self.feat_stride)
        levels = len(self.feat_stride)
        if len(bottoms) != 2 * levels + 1:
            fail(f"{levels} strides need {2 * levels + 1} bottoms, got {len(bottoms)}", field="bottom")
        check_info(bottoms[0], 1)
        for codes, scores in zip(bottoms[1 : levels + 1], bottoms[levels + 1 :]):
            check_anchors(scores, codes, len(self.ratios) * len(self.scales))
            if differ(scores[0], 1):
                fail(f"expected a batch of 1 image, got {scores[0]}", field="bottom")
        return ((UNKNOWN, 5),)

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """Ten operations per code of an anchor; suppression depends on the data."""
        return Cost(operations=sum(10 * product(codes) for codes in bottoms[1 : len(self.feat_stride) + 1]))

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        import torch

        from netc.functions.proposals import propose

        info, *maps = (bottom.detach() for bottom in bottoms)
        info, levels = info.reshape(-1), len(self.feat_stride)
        rows = [
            self._rows(stride, codes[0], scores[0], info)
            for stride, codes, scores in zip(self.feat_stride, maps[:levels], maps[levels:])
        ]
        anchors, codes, scores = (torch.cat(column) for column in zip(*rows))
        limits = self.limits(mode.training)
        smallest = self.smallest(info, mode.training)
        boxes, _, _ = propose(anchors, codes, scores, info[:2], smallest, limits)
        missing = limits.after - len(boxes)
        if missing > 0 and len(boxes):
            repeated = torch.randint(len(boxes), (missing,), device=boxes.device)
            boxes = torch.cat((boxes, boxes[repeated]))
        return torch.nn.functional.pad(boxes, (1, 0))

    def _rows(self, stride: int, codes: Tensor, scores: Tensor, info: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The anchors of a level, their codes and scores; a score beyond the image is NaN."""
        import torch

        from netc.functions.proposals import anchors_at, by_position

        height, width = scores.shape[1:]
        base = base_anchors(stride, self.ratios, self.scales)
        y, x = (torch.arange(extent, device=scores.device) for extent in (height, width))
        covered = (y < (info[0] / stride).trunc())[:, None] & (x < (info[1] / stride).trunc())
        scores = scores[len(base) :].masked_fill(~covered, torch.nan)
        anchors = anchors_at(base, stride, height, width, scores)
        return anchors, by_position(codes, 4), by_position(scores, 1)[:, 0]
