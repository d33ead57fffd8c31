"""Codes of MS-CNN's boxes: relative to a field around each position of a map, normalized by `bbox_reg_param`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from netc.ir.dims import Shape, differ, text
from netc.ir.fields import Fields
from netc.ir.layer import CaffeFields, fail

if TYPE_CHECKING:
    from torch import Tensor

COORDINATES = 4
"""Numbers of a box."""
LABEL = 6
"""Channels of a label: class, center x and y, width, height, and the overlap with the nearest object."""
REGRESSION: CaffeFields = {"bbox_mean": ("bbox_reg_param.bbox_mean",), "bbox_std": ("bbox_reg_param.bbox_std",)}


class MapField(Protocol):
    """Parameters of a map: its field in pixels, and the distance between its positions."""

    @property
    def field_w(self) -> float: ...
    @property
    def field_h(self) -> float: ...
    @property
    def downsample_rate(self) -> float: ...
    @property
    def field_whr(self) -> float: ...
    @property
    def field_xyr(self) -> float: ...


class CodeLimits(NamedTuple):
    """The greatest absolute values of the codes of centers and of sizes."""

    center: float
    size: float


def regression(layer: Fields) -> dict[str, Any]:
    """`bbox_mean` and `bbox_std`. Raises NetcError E103 unless there are four of each, or none."""
    p = layer.message("bbox_reg_param")
    mean, std = (tuple(p.get(name, ())) for name in ("bbox_mean", "bbox_std"))
    if not (mean and std):  # as in the fork, one without the other has no effect
        return {}
    if len(mean) != COORDINATES or len(std) != COORDINATES or not all(value > 0 for value in std):
        fail("expected 4 means and 4 positive deviations of codes", code="E103", field="bbox_reg_param")
    return {"bbox_mean": mean, "bbox_std": std}


def without_regression(values: dict[str, Any], message: str) -> dict[str, Any]:
    """The messages of a layer's changed parameters, by name: `message`, and `bbox_reg_param` if it is needed."""
    own = {name: values.pop(name) for name in REGRESSION if name in values}
    return {message: values, **({"bbox_reg_param": own} if own else {})}


def check_field(layer: MapField, message: str) -> None:
    """Raises NetcError E103 unless field, distance and limits are positive."""
    for name in ("field_w", "field_h", "downsample_rate", "field_xyr"):
        if not getattr(layer, name) > 0 or math.isinf(getattr(layer, name)):
            fail(f"`{name}` must be positive", code="E103", field=f"{message}.{name}")
    if not layer.field_whr >= 1 or math.isinf(layer.field_whr):
        fail("`field_whr` must be at least 1", code="E103", field=f"{message}.field_whr")


def limits(layer: MapField) -> CodeLimits:
    """The limits of the codes before they are normalized."""
    return CodeLimits(1 / layer.field_xyr, math.log(layer.field_whr))


def check_maps(prediction: Shape, label: Shape, classes: int) -> None:
    """Raises NetcError E102 unless a map and its label have as many channels as needed, and the same other extents."""
    channels = classes + COORDINATES
    if len(prediction) != 4 or differ(prediction[1], channels):
        fail(f"expected a map of {classes} scores and {COORDINATES} codes, got {text(prediction)}", field="bottom")
    if len(label) != 4 or differ((label[0], LABEL, *label[2:]), (prediction[0], label[1], *prediction[2:])):
        fail(f"expected labels of {LABEL} channels for {text(prediction)}, got {text(label)}", field="bottom")


def centers(like: Tensor, layer: MapField) -> Tensor:
    """The pixels at the middle of each position of a map (2, h, w)."""
    import torch

    height, width = like.shape[-2:]
    x, y = (torch.arange(extent, device=like.device, dtype=like.dtype) + 0.5 for extent in (width, height))
    places = torch.stack((x.expand(height, width), y[:, None].expand(height, width)))
    return places * layer.downsample_rate


def per_channel(values: Sequence[float], like: Tensor) -> Tensor:
    """One number per channel, to be combined with a map (n, c, h, w)."""
    return like.new_tensor(values)[:, None, None]


def shares(boxes: Tensor, others: Tensor) -> Tensor:
    """Intersection over union of boxes (..., 4) of x, y, width and height, each with that at the same place.

    Boxes without an extent share nothing.
    """
    import torch

    low = torch.maximum(boxes[..., :2], others[..., :2])
    high = torch.minimum(boxes[..., :2] + boxes[..., 2:], others[..., :2] + others[..., 2:])
    common = (high - low).clamp(min=0).prod(-1)
    real = (boxes[..., 2:] > 0).all(-1) & (others[..., 2:] > 0).all(-1)
    union = boxes[..., 2:].prod(-1) + others[..., 2:].prod(-1) - common
    return torch.where(real, common / torch.where(real, union, 1), 0)
