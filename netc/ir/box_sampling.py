"""How AnnotatedData selects parts of an image, and which boxes stay: SSD's BatchSampler and EmitConstraint as values.

Rules from weiliu89/caffe, `sampler.cpp` and `bbox_util.cpp` (MeetEmitConstraint). The data package applies them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from netc.diagnostics import NetcError
from netc.ir.augmentation import Augmentation

Overlap = Literal["jaccard_overlap", "sample_coverage", "object_coverage"]


@dataclass(frozen=True)
class EmitConstraint(Augmentation):
    """Which boxes stay when a part of the image is cut out; without it, those that overlap the part."""

    emit_type: str = "CENTER"
    """`CENTER`: boxes whose center is in the part; `MIN_OVERLAP`: more than `emit_overlap` of them is."""
    emit_overlap: float = 0.0
    """Fraction of a box's area."""

    message: ClassVar[str] = "emit_constraint"


@dataclass(frozen=True)
class PartShape(Augmentation):
    """Size and shape of a random part of an image."""

    min_scale: float = 1.0
    """Smallest side of the part, in relation to the image's, if it has the image's aspect ratio."""
    max_scale: float = 1.0
    min_aspect_ratio: float = 1.0
    """Smallest ratio of width to height, in relation to the image's."""
    max_aspect_ratio: float = 1.0

    message: ClassVar[str] = "sampler"


@dataclass(frozen=True)
class PartConstraint(Augmentation):
    """Required overlap of a part with at least one box. Of several kinds of overlap, SSD applies only the first."""

    min_jaccard_overlap: float | None = None
    """Smallest intersection over union."""
    max_jaccard_overlap: float | None = None
    min_sample_coverage: float | None = None
    """Smallest intersection as a fraction of the part."""
    max_sample_coverage: float | None = None
    min_object_coverage: float | None = None
    """Smallest intersection as a fraction of the box."""
    max_object_coverage: float | None = None

    message: ClassVar[str] = "sample_constraint"

    @property
    def limits(self) -> tuple[Overlap, float | None, float | None] | None:
        """The kind of overlap that is constrained, and its limits; None if any part is accepted.

        >>> PartConstraint(min_jaccard_overlap=0.5).limits
        ('jaccard_overlap', 0.5, None)
        """
        kinds: tuple[Overlap, ...] = ("jaccard_overlap", "sample_coverage", "object_coverage")
        for kind in kinds:
            low, high = getattr(self, f"min_{kind}"), getattr(self, f"max_{kind}")
            if low is not None or high is not None:
                return kind, low, high
        return None


@dataclass(frozen=True)
class BatchSampler(Augmentation):
    """Random parts of an image; one part of those that all samplers of a layer find becomes the training image."""

    use_original_image: bool = True
    """A sampler without it finds nothing."""
    sampler: PartShape = PartShape()
    """Size and shape of the parts."""
    sample_constraint: PartConstraint = PartConstraint()
    """The overlap with the boxes that a part must have."""
    max_sample: int | None = None
    """Largest number of parts; unlimited if absent."""
    max_trials: int = 100
    """Parts that are tried."""

    message: ClassVar[str] = "batch_sampler"

    def check(self) -> None:
        """Raises NetcError E103."""
        shape = self.sampler
        if not 0 < shape.min_scale <= shape.max_scale <= 1:
            self.fail("sampler.max_scale", f"must be from `min_scale` to 1: {shape.min_scale:g}, {shape.max_scale:g}")
        if not 0 < shape.min_aspect_ratio <= shape.max_aspect_ratio:
            self.fail(
                "sampler.max_aspect_ratio",
                f"must be at least `min_aspect_ratio`, and both must be positive: {shape.max_aspect_ratio:g}, "
                f"{shape.min_aspect_ratio:g}",
            )
        if self.max_trials > MAX_TRIALS:
            self.fail("max_trials", f"must be at most {MAX_TRIALS}, got {self.max_trials}")

    def fail(self, name: str, problem: str) -> None:
        """Raises NetcError E103 for a field."""
        raise NetcError(
            f"`{name.rpartition('.')[2]}` {problem}", code="E103", field=f"annotated_data_param.batch_sampler.{name}"
        )


MAX_TRIALS = 100_000
"""Limit of the trials of a sampler; public nets use 50."""
