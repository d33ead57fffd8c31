"""FPN's ProposalTargetLayer: targets of proposals in the order of their levels, and the same order without targets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from netc.ir.dims import UNKNOWN, Shape
from netc.ir.layer import Cost, Count, Mode, Shapes, fail
from netc.layers._python_replacement import PythonReplacement
from netc.layers._registry import LayerUse, register
from netc.layers.detection._regions import check_rows
from netc.layers.detection.proposal import check_settings
from netc.layers.detection.proposal_target import ProposalTargetLayer
from netc.layers.fpn._levels import LEVELS, levels_of

if TYPE_CHECKING:
    from torch import Tensor

OF_NOTHING = 4
"""Rows of zeros of a level without regions, where rows are not padded."""
OF_ONE_LEVEL = 5
"""Most tops of py-faster-rcnn's layer."""


def of_several_levels(use: LayerUse) -> bool:
    """Whether there are more tops than py-faster-rcnn's layer has."""
    return use.tops > OF_ONE_LEVEL


@register(
    "Python",
    dialect="fpn",
    field="python_param",
    python=("rpn.proposal_target_layer.ProposalTargetLayer",),
    when=of_several_levels,
)
@dataclass(frozen=True)
class PyramidProposalTargetLayer(ProposalTargetLayer):
    """Draws proposals at random, sorts them by level, and makes the class of each and its codes.

    A region of width w and height h belongs to level 4 + log2(sqrt(w h) / 224), rounded down and limited to 2 to 5.
    Each level has `batch_size` rows: its regions, and then zeros, whose label is -1. Proposals are drawn, and targets
    made, as by py-faster-rcnn's ProposalTargetLayer. The settings are those of the configuration of Unsky's FPN and may
    be set in `param_str`.

    Shapes: regions (r, 5), objects (g, 5), of corners and class, and a bottom that is not read, to regions of levels 2
    to 5 (k, 5 each), labels (4 k), codes, inside weights and outside weights (4 k, 4 num_classes), level by level.

    >>> PyramidProposalTargetLayer(21).infer(((2000, 5), (4, 5), (1, 3, 600, 1000)), 8)
    ((256, 5), (256, 5), (256, 5), (256, 5), (1024,), (1024, 84), (1024, 84), (1024, 84))

    Reference: `rpn/proposal_target_layer.py` of Unsky's FPN; Lin et al., Feature Pyramid Networks for Object Detection,
    2017.
    """

    batch_size: int = 256
    """Number of proposals (`BATCH_SIZE`)."""

    bottom_count: ClassVar[Count] = Count(2, 3)
    top_count: ClassVar[Count] = Count(1, 8)
    no_gradient: ClassVar[tuple[int, ...]] = (0, 1, 2)

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 if the bottoms do not match, E103 for settings out of range."""
        super().infer(bottoms, tops)
        each, of_all = self.extents()
        codes = (of_all, 4 * self.num_classes)
        return (*((each, 5),) * LEVELS, (of_all,), codes, codes, codes)

    def extents(self) -> tuple[int, int]:
        """Rows of a level and of all levels."""
        return self.batch_size, LEVELS * self.batch_size

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> tuple[Tensor, ...]:
        """The number of proposals depends on the data."""
        import torch

        rows = self.rows(bottoms, mode)
        levels, count = levels_of(rows[0]), self.extents()[0]
        regions, *targets = (_by_level(one, levels, count, -1 if one.ndim == 1 else 0) for one in rows)
        return (*regions, *map(torch.cat, targets))[: mode.tops]


@register(
    "Python",
    dialect="fpn",
    field="python_param",
    python=("rpn.proposal_target_layer_mrcnn.ProposalMergeRcnnTargetLayer",),
)
@dataclass(frozen=True)
class MergedProposalTargetLayer(PyramidProposalTargetLayer):
    """Draws proposals at random, sorts them by level, and makes the class of each and its codes, without padding.

    It is FPN's ProposalTargetLayer, but each level has as many rows as regions; one without regions has 4 rows of
    zeros, whose label is -1.

    Shapes: regions (r, 5), objects (g, 5), of corners and class, and a bottom that is not read, to regions of levels 2
    to 5 (k, 5 each), labels (n), codes, inside weights and outside weights (n, 4 num_classes), level by level.

    >>> MergedProposalTargetLayer(21).infer(((2000, 5), (4, 5)), 8)
    ((?, 5), (?, 5), (?, 5), (?, 5), (?,), (?, 84), (?, 84), (?, 84))

    Reference: `rpn/proposal_target_layer_mrcnn.py` of Unsky's FPN; Lin et al., Feature Pyramid Networks for Object
    Detection, 2017.
    """

    def extents(self) -> tuple[int, int]:
        """Rows of a level and of all levels."""
        return UNKNOWN, UNKNOWN


@register("Python", dialect="fpn", field="python_param", python=("rpn.as_rois.As_roisLayer",))
@dataclass(frozen=True)
class SortedRegions(PythonReplacement):
    """Sorts regions by level.

    A region of width w and height h belongs to level 4 + log2(sqrt(w h) / 224), rounded down and limited to 2 to 5.
    Each level has `count` rows: its regions, and then zeros.

    Shapes: regions (r, 5), at most `count`, to all rows (4 k, 5), and those of levels 2 to 5 (k, 5 each).

    >>> SortedRegions().infer(((1000, 5),), 5)
    ((4000, 5), (1000, 5), (1000, 5), (1000, 5), (1000, 5))

    Reference: `rpn/as_rois.py` of Unsky's FPN; Lin et al., Feature Pyramid Networks for Object Detection, 2017.
    """

    count: int = 1000
    """Number of rows of a level (`RPN_POST_NMS_TOP_N` of testing)."""

    bottom_count: ClassVar[Count] = Count(1)
    top_count: ClassVar[Count] = Count(1, 5)
    no_gradient: ClassVar[tuple[int, ...]] = (0,)
    rearranges: ClassVar[bool] = True
    overwritable: ClassVar[bool] = True

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 for a bottom that is not regions, or for too many; E103 for no rows."""
        check_settings(self, "count")
        if check_rows(bottoms[0]) > self.count:
            fail(f"expected at most {self.count} regions, got {bottoms[0][0]}", field="bottom")
        each, of_all = self.extents()
        return ((of_all, 5), *((each, 5),) * LEVELS)

    def extents(self) -> tuple[int, int]:
        """Rows of a level and of all levels."""
        return self.count, LEVELS * self.count

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """Ten operations per region."""
        return Cost(operations=10 * bottoms[0][0])

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> tuple[Tensor, ...]:
        """Computed as described in the class docstring."""
        import torch

        regions = bottoms[0].detach().reshape(-1, 5)
        self.infer((tuple(regions.shape),), mode.tops)
        levels = _by_level(regions, levels_of(regions), self.extents()[0], 0)
        return (torch.cat(levels), *levels)[: mode.tops]


@register("Python", dialect="fpn", field="python_param", python=("rpn.as_rois_mrcnn.As_rois_MergeRcnnLayer",))
@dataclass(frozen=True)
class MergedSortedRegions(SortedRegions):
    """Sorts regions by level, without padding.

    A region of width w and height h belongs to level 4 + log2(sqrt(w h) / 224), rounded down and limited to 2 to 5.
    Each level has as many rows as regions; one without regions has 4 rows of zeros.

    Shapes: regions (r, 5), at most `count`, to all rows (n, 5), and those of levels 2 to 5 (k, 5 each).

    >>> MergedSortedRegions().infer(((1000, 5),), 5)
    ((?, 5), (?, 5), (?, 5), (?, 5), (?, 5))

    Reference: `rpn/as_rois_mrcnn.py` of Unsky's FPN; Lin et al., Feature Pyramid Networks for Object Detection, 2017.
    """

    def extents(self) -> tuple[int, int]:
        """Rows of a level and of all levels."""
        return UNKNOWN, UNKNOWN


def _by_level(rows: Tensor, levels: Tensor, count: int, filler: float) -> list[Tensor]:
    """The rows of each level, with `count` rows if that is known, and otherwise those of nothing in an empty one."""
    found = []
    for level in range(LEVELS):
        own = rows[levels == level]
        wanted = (len(own) or OF_NOTHING) if count is UNKNOWN else count
        found.append(_padded(own, (wanted, *own.shape[1:]), filler))
    return found


def _padded(rows: Tensor, shape: Shape, filler: float) -> Tensor:
    import torch

    return torch.cat((rows, rows.new_full((shape[0] - len(rows), *shape[1:]), filler)))
