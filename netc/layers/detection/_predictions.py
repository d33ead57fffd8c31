"""The bottoms that SSD's layers share: codes, scores, and priors with their variances."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from netc.diagnostics import counted
from netc.ir.dims import differ, known, text
from netc.ir.layer import Mode, Shapes, fail

if TYPE_CHECKING:
    from torch import Tensor

CodeType = Literal["CORNER", "CENTER_SIZE", "CORNER_SIZE"]


def check_predictions(bottoms: Shapes, classes: int, shares: bool) -> None:
    """Raises NetcError E102 unless codes (n, 4 p k) and scores (n, p c) match the priors (1, 2, 4 p)."""
    codes, scores, priors = bottoms[:3]
    for index, (shape, axes) in enumerate(((codes, 2), (scores, 2), (priors, 3))):
        if len(shape) < axes or any(differ(extent, 1) for extent in shape[axes:]):
            fail(f"bottom {index} {text(shape)} must have {axes} axes", field="bottom")
    if differ(codes[0], scores[0]):
        fail(f"codes of {counted(codes[0], 'image')}, but scores of {scores[0]}", field="bottom")
    if differ(priors[1], 2) or (known(priors[2]) and priors[2] % 4):
        fail(f"priors {text(priors)} must have shape [1,2,4 p]", field="bottom")
    boxes = priors[2] // 4
    for what, found, each in (("code", codes[1], 4 * (1 if shares else classes)), ("score", scores[1], classes)):
        if differ(found, boxes * each):
            fail(
                f"{counted(found, what)} per image, expected {boxes * each} for {boxes} prior boxes",
                f"each prior box needs {counted(each, what)}",
                field="bottom",
            )


def split_priors(priors: Tensor) -> tuple[Tensor, Tensor]:
    """Return the boxes and the variances of priors (1, 2, 4 p), each (p, 4)."""
    boxes, variances = priors[0].reshape(2, -1, 4).unbind()
    return boxes, variances


def check_sizes(priors: Tensor, code_type: str, mode: Mode) -> None:
    """Report priors without width or height, in units of which the codes are."""
    if code_type != "CORNER" and mode.check is not None:
        sizes = priors[..., 2:] - priors[..., :2]
        mode.check(sizes, ~(sizes > 0), "width or height of a prior box is not positive")
