"""Proposals of a feature pyramid: CollectRpnProposals, DistributeFpnProposals, and both in one operator."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

from netc.diagnostics import NetcError, counted
from netc.ir.dims import UNKNOWN, differ, known, product, text
from netc.ir.dtypes import DType
from netc.ir.field_values import argument
from netc.ir.layer import Cost, Count, DTypes, Mode, Shapes, fail
from netc.ir.operator import Operator
from netc.layers._operator_layer import OperatorLayer, check_axes
from netc.layers._operators import operator

if TYPE_CHECKING:
    from torch import Tensor


@operator("CollectRpnProposals", "DistributeFpnProposals", "CollectAndDistributeFpnRpnProposals")
@dataclass(frozen=True)
class FpnProposals(OperatorLayer):
    """Collects proposals of the levels of a pyramid, and distributes them to levels by their area.

    Collected are the proposals with the best scores. The level of one with area s is that of `roi_canonical_level` plus
    log2 of sqrt(s) / `roi_canonical_scale`, rounded down, within the bounds. The last output is the position of each
    proposal among those of all levels.

    Shapes: CollectRpnProposals: proposals (r, 5), of image, x1, y1, x2, y2, of each level, then their scores (r) or
    (r, 1) of each level, to (m, 5). DistributeFpnProposals: (m, 5) to the proposals (l, 5) of each level and an index
    of type int32 (m). Both in one: those inputs, to (m, 5), (l, 5) of each level, and (m).

    Reference: `collect_and_distribute_fpn_rpn_proposals_op.cc`; Lin et al., Feature Pyramid Networks, 2017.
    """

    collects: bool = True
    """Whether the inputs are proposals of levels, with scores."""
    distributes: bool = True
    """Whether the outputs are proposals of levels."""
    rpn_min_level: int = 2
    """The first level of the inputs."""
    rpn_max_level: int = 6
    """The last level of the inputs."""
    rpn_post_nms_topN: int = 2000  # noqa: N815
    """The largest number of proposals; no limit if not positive."""
    roi_min_level: int = 2
    """The first level of the outputs."""
    roi_max_level: int = 5
    """The last level of the outputs."""
    roi_canonical_scale: int = 224
    """The square root of the area of proposals of `roi_canonical_level`."""
    roi_canonical_level: int = 4
    """The level of proposals of that area."""
    legacy_plus_one: bool = True
    """Whether x2 and y2 are the last pixels of boxes, so that their widths are x2 - x1 + 1."""

    bottom_count: ClassVar[Count] = Count(1, None)
    top_count: ClassVar[Count] = Count(1, None)

    @classmethod
    def from_caffe2(cls, operator: Operator) -> Self:
        """Raises NetcError E103 for a last level below the first, E020 for other numbers of inputs or outputs."""
        collects, distributes = "Collect" in operator.type, "Distribute" in operator.type
        given = {f.name: argument(operator, f) for f in dataclasses.fields(cls) if f.name in operator}
        layer = cls(**given | {"collects": collects, "distributes": distributes})
        for kind, used in (("rpn", collects), ("roi", distributes)):
            low, high = (getattr(layer, f"{kind}_{bound}_level") for bound in ("min", "max"))
            if used and high < low:
                operator.fail(f"`{kind}_max_level: {high}` is below `{kind}_min_level: {low}`", f"{kind}_max_level")
        for noun, names, count in zip(("input", "output"), (operator.inputs, operator.outputs), layer.counts()):
            if len(names) != count:
                message = f"`{operator.type}` of these levels has {counted(count, noun)}, got {len(names)}"
                operator.fail(message, noun, code="E020")
        return layer

    def counts(self) -> tuple[int, int]:
        """The number of inputs, proposals and scores of each level; and of outputs, with the index."""
        inputs = 2 * self._sources if self.collects else 1
        return inputs, self.collects + (self._levels + 1 if self.distributes else 0)

    @property
    def _sources(self) -> int:
        return self.rpn_max_level - self.rpn_min_level + 1

    @property
    def _levels(self) -> int:
        return self.roi_max_level - self.roi_min_level + 1

    @property
    def no_gradient(self) -> tuple[int, ...]:  # type: ignore[override]
        """All inputs."""
        return tuple(range(self.counts()[0]))

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 unless proposals have 5 numbers, and each has one score."""
        count = self._sources if self.collects else 1
        for index, proposals in enumerate(bottoms[:count]):
            check_axes(self.type, proposals, 2, index)
            if differ(proposals[1], 5):
                fail(f"expected proposals of 5 numbers, got {text(proposals)}", field="input")
        for proposals, scores in zip(bottoms, bottoms[count:]):
            if differ(product(scores), proposals[0]):
                fail(f"expected one score per proposal, got {text(scores)} for {text(proposals)}", field="input")
        rows = sum(proposals[0] for proposals in bottoms[:count])
        if self.collects and self.rpn_post_nms_topN > 0:
            rows = min(rows, self.rpn_post_nms_topN) if known(rows) else UNKNOWN
        collected = ((rows, 5),) if self.collects else ()
        return (*collected, *((((UNKNOWN, 5),) * self._levels + ((rows,),)) if self.distributes else ()))

    def dtypes(self, bottoms: DTypes, tops: int) -> DTypes:
        """float32, and int32 of the index."""
        self.check_dtypes(bottoms)
        types: list[DType] = ["float32"] * tops
        if self.distributes:
            types[-1] = "int32"
        return tuple(types)

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """One operation per number."""
        return Cost(operations=sum(product(bottom) for bottom in bottoms))

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> tuple[Tensor, ...]:
        """Raises NetcError E301 for a proposal with a negative area."""
        import torch

        proposals = [bottom.detach() for bottom in bottoms]
        rows = proposals[0]
        if self.collects:
            scores = torch.cat([scores.flatten() for scores in proposals[self._sources :]])
            limit = self.rpn_post_nms_topN if self.rpn_post_nms_topN > 0 else None
            best = scores.argsort(descending=True, stable=True)[:limit]
            rows = torch.cat(proposals[: self._sources])[best]
        if not self.distributes:
            return (rows,)
        level = self._level(rows)
        order = level.argsort(stable=True)
        parts = torch.split(rows[order], torch.bincount(level, minlength=self._levels).tolist())
        index = order.argsort().int()
        return (*((rows,) if self.collects else ()), *parts, index)

    def _level(self, rows: Tensor) -> Tensor:
        """(m): the level of each proposal, from 0."""
        import math

        sides = rows[:, 3:] - rows[:, 1:3] + int(self.legacy_plus_one)
        areas = sides[:, 0] * sides[:, 1]
        if not bool((areas >= 0).all()):
            raise NetcError("a proposal has a negative area", code="E301")
        steps = (areas.sqrt() / self.roi_canonical_scale + 1e-6).log() / math.log(2)
        level = (self.roi_canonical_level + steps).floor().clamp(self.roi_min_level, self.roi_max_level)
        return level.long() - self.roi_min_level
