"""Arguments that Detectron's operators share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from netc.ir.layer import fail
from netc.layers._operator_layer import OperatorLayer

if TYPE_CHECKING:
    from netc.functions.detectron_boxes import BoxRules


@dataclass(frozen=True)
class BoxOperator(OperatorLayer):
    """An operator that decodes and clips boxes."""

    legacy_plus_one: bool = True
    """Whether x2 and y2 are the last pixels of boxes, so that their widths are x2 - x1 + 1."""
    angle_bound_on: bool = True
    """Whether the angles of rotated boxes are moved between the bounds by one period."""
    angle_bound_lo: int = -90
    """The lower bound of angles, in degrees."""
    angle_bound_hi: int = 90
    """The upper bound of angles, in degrees."""
    clip_angle_thresh: float = 1.0
    """Rotated boxes with angles up to it are clipped; negative for none."""

    def rules(self) -> BoxRules:
        """The arguments together."""
        from netc.functions.detectron_boxes import BoxRules

        angles = (self.angle_bound_lo, self.angle_bound_hi) if self.angle_bound_on else None
        return BoxRules(self.legacy_plus_one, angles, self.clip_angle_thresh)

    def check_bounds(self) -> None:
        """Raise NetcError E103 unless the bounds of angles are a multiple of 180 degrees apart."""
        period = self.angle_bound_hi - self.angle_bound_lo
        if self.angle_bound_on and (period <= 0 or period % 180):
            fail(
                f"the bounds of angles, {self.angle_bound_lo} and {self.angle_bound_hi}, must be a multiple of 180 "
                "degrees apart",
                code="E103",
                field="angle_bound_hi",
            )
