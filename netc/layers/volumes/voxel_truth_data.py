"""VideoWithVoxelTruthData and VideoSegmentationData of C3D: videos with a value or a class for each voxel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from netc.ir.dims import UNKNOWN, Shape
from netc.ir.layer import Count, Shapes, fail
from netc.ir.traits import FedBy
from netc.layers._registry import register
from netc.layers.data import ImageLayer


@dataclass(frozen=True)
class _TruthData(ImageLayer):
    """A layer that reads a list of files, one per line, each with the planes of a video and of its truth."""

    source: str = ""
    """Path of the list of files."""
    shuffle: bool = False
    """Whether the list is shuffled in each epoch."""
    rand_skip: int = 0
    """Skip a random number of files, up to this, at the start."""

    top_count: ClassVar[Count] = Count(2)
    message: ClassVar[str] = "image_data_param"
    fed_by: ClassVar[FedBy] = "voxel truth"

    def _check(self) -> None:
        super()._check()
        if self.transform.mirror and not self.transform.crop_size:
            fail("`mirror` needs `crop_size`", code="E103", field="transform_param.mirror")
        if self.transform.mean_value:
            fail("`mean_value` is not supported", code="E101", field="transform_param.mean_value")

    @property
    def truth_channels(self) -> int:
        """Number of channels of the truth."""
        return 1

    @property
    def of_bytes(self) -> bool:
        """Whether the values in a file are bytes, else floats."""
        return True

    def batch(self, record: Shapes | None, tops: int) -> tuple[Shape | None, ...]:
        """Raises NetcError E102 for a video that is not larger than the crop."""
        c, length, h, w = record[0] if record else (UNKNOWN,) * 4
        crop = self.transform.crop_size
        if record and crop and min(h, w) <= crop:
            fail(f"videos of {h}x{w} must be larger than `crop_size` {crop}", field="transform_param.crop_size")
        size = (length, crop or h, crop or w)
        return ((self.batch_size, c, *size), (self.batch_size, self.truth_channels, *size))


@register("VideoWithVoxelTruthData", v1="VIDEO_WITH_VOXEL_TRUTH_DATA", dialect="c3d")
@dataclass(frozen=True)
class VideoWithVoxelTruthData(_TruthData):
    """Videos, and values for each voxel, such as optical flow or depth.

    A file holds five 32-bit numbers, 1 and the extents (c, length, h, w), then the values as 32-bit floats; the last
    channels are the truth. Video and truth are cropped and mirrored alike, at random in training; the mean and the
    scale apply to the video.

    Shapes: to (batch_size, c - num_truth_channels, length, h, w) and (batch_size, num_truth_channels, length, h, w).

    >>> layer = VideoWithVoxelTruthData(source="list.txt", batch_size=2, num_truth_channels=2)
    >>> layer.batch(((3, 16, 128, 171), (2, 16, 128, 171)), 2)
    ((2, 3, 16, 128, 171), (2, 2, 16, 128, 171))

    Reference: `video_with_voxel_truth_data_layer.cpp` of facebook/C3D, C3D-v1.0.
    """

    num_truth_channels: int = 0
    """Number of channels of the truth."""
    truth_scale: float = 1.0
    """Factor of the truth; without `crop_size` it is not used."""
    is_flow: bool = False
    """Whether the truth is flow: its first channel changes its sign in mirrored videos."""

    fork_fields: ClassVar[frozenset[str]] = frozenset(
        f"ImageDataParameter.{name}" for name in ("num_truth_channels", "truth_scale", "is_flow")
    )

    def _check(self) -> None:
        super()._check()
        if self.num_truth_channels < 1:
            fail("`num_truth_channels` must be positive", code="E103", field="image_data_param.num_truth_channels")

    @property
    def truth_channels(self) -> int:
        """See VideoSegmentationData."""
        return self.num_truth_channels

    @property
    def of_bytes(self) -> bool:
        """Floats."""
        return False


@register("VideoSegmentationData", v1="VIDEO_SEGMENTATION_DATA", dialect="c3d")
@dataclass(frozen=True)
class VideoSegmentationData(_TruthData):
    """Videos, and a class for each voxel.

    A file holds five 32-bit numbers, 1 and the extents (c, length, h, w), then the values as bytes; the last channel
    has the classes. Both are cropped and mirrored alike, at random in training.

    Shapes: to (batch_size, c - 1, length, h, w) and (batch_size, 1, length, h, w).

    >>> VideoSegmentationData(source="list.txt", batch_size=2).batch(((3, 16, 128, 171), (1, 16, 128, 171)), 2)
    ((2, 3, 16, 128, 171), (2, 1, 16, 128, 171))

    Reference: `video_segmentation_data_layer.cpp` of facebook/C3D, C3D-v1.0.
    """
