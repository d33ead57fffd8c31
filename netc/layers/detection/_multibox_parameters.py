"""The parameters of SSD's MultiBoxLoss."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

from netc.ir.fields import Fields
from netc.ir.layer import CaffeFields, Layer, fail
from netc.layers._labels import Normalization, loss_message, normalization, refuse_weights
from netc.layers.detection._predictions import CodeType

_PARAMETER = "multibox_loss_param"
_NMS = {"mining_nms_threshold": "nms_threshold", "mining_top_k": "top_k"}


@dataclass(frozen=True)
class MultiBoxParameters(Layer):
    """What MultiBoxLoss matches, mines and adds."""

    num_classes: int
    """Number of classes, with the background."""
    loc_loss_type: Literal["L2", "SMOOTH_L1"] = "SMOOTH_L1"
    """The loss of a code."""
    conf_loss_type: Literal["SOFTMAX", "LOGISTIC"] = "SOFTMAX"
    """The loss of the scores of a box."""
    loc_weight: float = 1.0
    """Factor of the loss of the codes."""
    share_location: bool = True
    """Whether all classes have the same boxes; if not, `mining_type` must be `NONE`."""
    match_type: Literal["BIPARTITE", "PER_PREDICTION"] = "PER_PREDICTION"
    """Whether only the best prior of each object is matched, or every prior that overlaps one enough."""
    overlap_threshold: float = 0.5
    """The least overlap of a further match."""
    use_prior_for_matching: bool = True
    """Whether objects are matched with the priors instead of the predicted boxes."""
    background_label_id: int = 0
    """The class of priors without a match."""
    use_difficult_gt: bool = True
    """Whether difficult objects count."""
    neg_pos_ratio: float = 3.0
    """Number of mined priors per match (`MAX_NEGATIVE`)."""
    neg_overlap: float = 0.5
    """Priors without a match are mined if they overlap every object by less (`MAX_NEGATIVE`)."""
    code_type: CodeType = "CORNER"
    """How codes describe boxes relative to the priors."""
    encode_variance_in_target: bool = False
    """Whether codes are not divided by the variances; their differences are."""
    map_object_to_agnostic: bool = False
    """Whether all objects have the label after the background's."""
    ignore_cross_boundary_bbox: bool = False
    """Whether priors that are partly outside the image take no part."""
    bp_inside: bool = False
    """Whether codes of coordinates outside the image have no loss."""
    mining_type: Literal["NONE", "MAX_NEGATIVE", "HARD_EXAMPLE"] = "MAX_NEGATIVE"
    """Which scores have a loss: all; matches and the priors with the largest loss of the background; the `sample_size`
    priors with the largest loss, matched or not."""
    mining_nms_threshold: float | None = None
    """Non-maximum suppression of the mined boxes by their loss (`nms_param`); none or 0 for no suppression."""
    mining_top_k: int = 0
    """Number of boxes before and after this suppression; -1 for all."""
    sample_size: int = 64
    """Number of priors of an image (`HARD_EXAMPLE`)."""
    use_prior_for_nms: bool = False
    """Whether priors are suppressed instead of the predicted boxes."""
    normalization: Normalization = "VALID"
    """The divisor of the loss (`loss_param`)."""
    parts: tuple[bool, bool] = (True, True)
    """Whether the codes and the scores have a loss (the first two values of `propagate_down`)."""

    caffe_fields: ClassVar[CaffeFields] = {
        **{name: (f"{_PARAMETER}.nms_param.{field}",) for name, field in _NMS.items()},
        "normalization": ("loss_param.normalization", "loss_param.normalize"),
        "parts": ("propagate_down",),
    }

    @classmethod
    def from_caffe(cls, layer: Fields) -> Self:
        """Reads `multibox_loss_param`, `loss_param` and `propagate_down`. Raises NetcError E101, E103."""
        p, loss = layer.message(_PARAMETER), layer.message("loss_param")
        if "num_classes" not in p:
            fail("`num_classes` is missing", code="E101")
        refuse_weights(loss, "MultiBoxLoss")
        mining = p["mining_type"]
        if "do_neg_mining" in p and p["do_neg_mining"] != (mining != "NONE"):
            fail(f"`do_neg_mining` contradicts `mining_type: {mining}`", code="E101", field="do_neg_mining")
        own = {f.name for f in dataclasses.fields(MultiBoxParameters)} - {*_NMS, "normalization", "parts"}
        nms = p.message("nms_param")
        suppression = (nms["nms_threshold"], nms["top_k"]) if "nms_param" in p else (None, 0)
        passed = (*layer.get("propagate_down", ()), True, True)
        result = cls(
            **{name: p[name] for name in own},
            mining_nms_threshold=suppression[0],
            mining_top_k=suppression[1],
            normalization=normalization(loss, "VALID"),
            parts=(bool(passed[0]), bool(passed[1])),
        )
        return dataclasses.replace(result, **cls._further(p))

    @classmethod
    def _further(cls, p: Fields) -> dict[str, Any]:  # noqa: ARG003 - for a subclass
        """Return the fields of a subclass."""
        return {}

    def to_caffe(self) -> dict[str, Any]:
        """`multibox_loss_param` and `loss_param`, by name."""
        skipped = {*_NMS, "normalization", "parts"}
        own = {key: value for key, value in super().to_caffe().items() if key not in skipped}
        if self.mining_nms_threshold is not None:
            own["nms_param"] = {"nms_threshold": self.mining_nms_threshold, "top_k": self.mining_top_k}
        return {**loss_message(None, self.normalization, "VALID"), _PARAMETER: own}

    def __post_init__(self) -> None:
        """Raises NetcError E101 for parameters that contradict each other, E103 for values out of range."""
        if self.num_classes < 1:
            fail(f"`num_classes` is {self.num_classes}: it must be positive", code="E103", field="num_classes")
        background = self.background_label_id
        if self.conf_loss_type == "SOFTMAX" and not 0 <= background < self.num_classes:
            found = f"`background_label_id` is {background}, but there are {self.num_classes} classes"
            fail(found, code="E103", field="background_label_id")
        if not self.share_location and self.mining_type != "NONE":
            fail("`share_location: false` requires `mining_type: NONE`", code="E101", field="mining_type")
        if self.map_object_to_agnostic and self.num_classes != 2:
            fail("`map_object_to_agnostic` requires `num_classes: 2`", code="E101", field="map_object_to_agnostic")
        if self.mining_type == "HARD_EXAMPLE" and self.sample_size < 1:
            fail(f"`sample_size` is {self.sample_size}: it must be positive", code="E103", field="sample_size")
