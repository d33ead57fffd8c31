"""FPN's AnchorTargetLayer: labels and codes of the anchors of all levels of a feature pyramid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from netc.ir.dims import differ, product, text
from netc.ir.layer import Cost, Count, Mode, Shapes, fail
from netc.layers._registry import LayerUse, register
from netc.layers.detection._anchors import base_anchors
from netc.layers.detection.anchor_target import AnchorTargets, check_objects
from netc.layers.detection.proposal import check_info
from netc.layers.fpn._levels import STRIDES, check_strides, written_strides

if TYPE_CHECKING:
    from torch import Tensor

MOST_OF_ONE_LEVEL = 4
"""Most bottoms of py-faster-rcnn's layer."""


def of_several_levels(use: LayerUse) -> bool:
    """Whether there are more bottoms than py-faster-rcnn's layer has."""
    return use.bottoms > MOST_OF_ONE_LEVEL


@register(
    "Python",
    dialect="fpn",
    field="python_param",
    python=("rpn.anchor_target_layer.AnchorTargetLayer",),
    when=of_several_levels,
)
@dataclass(frozen=True)
class PyramidAnchorTargetLayer(AnchorTargets):
    """Labels the anchors of all levels as object or background, with the codes that move them to their objects.

    The anchors of a level are those of its stride: boxes of `scales` times the stride. They are labelled and drawn
    together as by py-faster-rcnn's AnchorTargetLayer; only those of objects have codes. The settings are those of the
    configuration of Unsky's FPN and may be set in `param_str`.

    Shapes: scores (1, 2 a, h, w) of each level, of which only the extents are used, objects (g, 5), of corners and
    class, and image information (1, 3 or more) to labels (1, a s), codes, inside weights and outside weights
    (1, 4 a, s), where s is the sum of all h w. The labels of a level are in the order of anchors, rows and columns.

    >>> layer = PyramidAnchorTargetLayer(feat_stride=(8, 16))
    >>> layer.infer(((1, 12, 6, 9), (1, 12, 3, 5), (4, 5), (1, 3)), 4)
    ((1, 414), (1, 24, 69), (1, 24, 69), (1, 24, 69))

    Reference: `rpn/anchor_target_layer.py` of Unsky's FPN; Lin et al., Feature Pyramid Networks for Object Detection,
    2017.
    """

    scales: tuple[float, ...] = (16.0, 32.0)
    """Factors of the sides of the anchors: of a level's stride."""
    allowed_border: float = 1000.0
    """How many pixels an anchor may reach beyond the image."""
    feat_stride: tuple[int, ...] = STRIDES
    """Distance between positions of each level, in pixels."""

    bottom_count: ClassVar[Count] = Count(3, None)

    @property
    def no_gradient(self) -> tuple[int, ...]:  # type: ignore[override]
        """No bottom gets a gradient."""
        return tuple(range(len(self.feat_stride) + 2))

    def written(self, name: str, value: Any) -> str:
        """See PythonReplacement."""
        return written_strides(name, value) or super().written(name, value)

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 if the bottoms do not match, E103 for settings out of range."""
        self.check_targets()
        check_strides(self.feat_stride)
        count, levels = len(self.ratios) * len(self.scales), len(self.feat_stride)
        if len(bottoms) != levels + 2:
            fail(f"{levels} strides need {levels + 2} bottoms, got {len(bottoms)}", field="bottom")
        for scores in bottoms[:levels]:
            if len(scores) != 4 or differ(scores[0], 1):
                fail(f"expected scores of a batch of 1 image, got {text(scores)}", field="bottom")
        check_objects(bottoms[levels])
        check_info(bottoms[levels + 1], 1)
        places = sum(product(scores[2:]) for scores in bottoms[:levels])
        codes = (1, 4 * count, places)
        return ((1, count * places), codes, codes, codes)

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """Fifteen operations per anchor and object."""
        return Cost(operations=15 * product(tops[0]) * bottoms[-2][0])

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> tuple[Tensor, ...]:
        """Computed as described in the class docstring, without waiting for a GPU."""
        import torch

        from netc.functions.proposals import anchors_at

        objects, info = bottoms[-2].detach().double().reshape(-1, 5), bottoms[-1].detach().reshape(-1)
        extents = [(scores.shape[2], scores.shape[3]) for scores in bottoms[:-2]]
        count = len(self.ratios) * len(self.scales)
        anchors = torch.cat(
            [
                anchors_at(base_anchors(stride, self.ratios, self.scales), stride, height, width, objects)
                for stride, (height, width) in zip(self.feat_stride, extents)
            ]
        )
        inside = self.inside(anchors, info)
        labels, nearest = self.matched(anchors, objects[:, :4], inside)
        labels = self.sampled(labels)
        codes, *others = self.codes(anchors, objects, nearest, labels, inside)
        maps = (labels[:, None], codes.masked_fill((labels != 1)[:, None], 0), *others)
        sizes = [count * height * width for height, width in extents]
        labels, *tops = (
            _by_level(rows, sizes, extents, channels) for rows, channels in zip(maps, (1, *(4 * count,) * 3))
        )
        return tuple(top.to(bottoms[0].dtype) for top in (labels[:, 0], *tops))[: mode.tops]


def _by_level(rows: Tensor, sizes: list[int], extents: list[tuple[int, int]], channels: int) -> Tensor:
    """Rows (h w a, c) of each level as (1, channels, s), each level in the order of anchors, columns and places."""
    import torch

    found = []
    for own, (height, width) in zip(torch.split(rows, sizes), extents):
        found.append(own.reshape(height, width, -1).permute(2, 0, 1).reshape(channels, -1))
    return torch.cat(found, 1)[None]
