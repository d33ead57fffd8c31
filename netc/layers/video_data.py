"""VideoData: the frames of a video file (SSD), clips of a list of videos (C3D), segments of a list (yjxiong).

Three forks have a layer of this name. SSD's names one video; the lists of the others differ in their second number:
C3D's is the first frame of a clip, yjxiong's the number of frames of the video. C3D 1.0 has its parameters in
`image_data_param`, C3D 1.1 in a message of its own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

from netc.ir.dims import UNKNOWN, Shape
from netc.ir.fields import Fields
from netc.ir.layer import Count, Shapes, fail
from netc.ir.traits import FedBy
from netc.ir.transform import MAX_PIXELS, Transform
from netc.layers._registry import LayerUse, register
from netc.layers.data import ImageLayer

_SEGMENTS = ("num_segments", "modality", "name_pattern", "encoded", "grayscale")
"""Fields that only yjxiong's layer has."""


def _own(use: LayerUse) -> Fields:
    return use.parameters.message("video_data_param")


def of_old_clips(use: LayerUse) -> bool:
    """Whether a layer has `image_data_param`, and no `video_data_param`."""
    return "image_data_param" in use.parameters and "video_data_param" not in use.parameters


def of_a_file(use: LayerUse) -> bool:
    """Whether a layer reads one video, or a camera."""
    return "source" not in _own(use) and not of_old_clips(use)


def of_segments(use: LayerUse) -> bool:
    """Whether a layer has a field of yjxiong's."""
    return "source" in _own(use) and any(name in _own(use) for name in _SEGMENTS)


def of_clips(use: LayerUse) -> bool:
    """Whether a layer reads a list, without a field of yjxiong's."""
    return "source" in _own(use) and not of_segments(use)


@register("VideoData", dialect="ssd", when=of_a_file)
@dataclass(frozen=True)
class VideoFrames(ImageLayer):
    """The frames of a video file in their order, from the start again after the last one; labels are 0.

    SSD's Caffe ends the process after the last frame.

    Shapes: to (batch_size, 3, h, w), resized, then cropped, and (batch_size).

    >>> VideoFrames(video_file="street.avi", video_type="VIDEO", batch_size=1).batch(((3, 240, 320), ()), 2)
    ((1, 3, 240, 320), (1,))

    Reference: `video_data_layer.cpp` of weiliu89/caffe, branch ssd.
    """

    video_type: Literal["WEBCAM", "VIDEO"] = "WEBCAM"
    """`VIDEO` reads `video_file`; `WEBCAM`, a camera, is not supported."""
    device_id: int = 0
    """The number of a camera."""
    video_file: str = ""
    """Path of the video."""
    skip_frames: int = 0
    """Number of frames that are skipped before each one that is used."""

    top_count: ClassVar[Count] = Count(1, 2)
    message: ClassVar[str] = "video_data_param"
    fed_by: ClassVar[FedBy] = "video file"

    @classmethod
    def from_caffe(cls, layer: Fields) -> Self:
        """Reads `video_data_param`, `transform_param` and `data_param.batch_size`. Raises NetcError E101, E103."""
        own = layer.message(cls.message)
        values: dict[str, Any] = {name: own.get(name, getattr(cls, name)) for name in _FILE_FIELDS}
        batch_size = layer.message("data_param").get("batch_size", 0)
        result = cls(batch_size=batch_size, **values, transform=Transform.read(layer))
        result._check()
        return result

    @classmethod
    def fields_of(cls, parameter: str) -> tuple[str, ...]:
        """`data_param` for the size of a batch."""
        return ("data_param.batch_size",) if parameter == "batch_size" else super().fields_of(parameter)

    def to_caffe(self) -> dict[str, Any]:
        """The three messages by name, without defaults."""
        result = super().to_caffe()
        result["data_param"] = {"batch_size": result[self.message].pop("batch_size")}
        return result

    @property
    def source(self) -> str:
        """The video, which is probed for the size of its frames."""
        return self.video_file

    def _check(self) -> None:
        if self.video_type != "VIDEO":
            fail(
                "cameras are not supported",
                code="E101",
                field="video_data_param.video_type",
                help="record a video, and set `video_type: VIDEO` and `video_file`",
            )
        if not self.video_file:
            fail("`video_file` is missing", code="E101", field="video_data_param.video_file")
        if self.batch_size < 1:
            fail("`batch_size` is required and must be positive", code="E103", field="data_param.batch_size")


_FILE_FIELDS = ("video_type", "device_id", "video_file", "skip_frames")


@dataclass(frozen=True)
class _VideoList(ImageLayer):
    """A layer that reads a list with a video, a number and a label per line."""

    source: str = ""
    """Path of the list."""
    shuffle: bool = False
    """Whether the list is shuffled in each epoch."""
    rand_skip: int = 0
    """Skip a random number of lines, up to this, at the start."""
    new_height: int = 0
    """Resize frames to this height; 0, with `new_width`, leaves their size."""
    new_width: int = 0
    """Width to resize to."""
    new_length: int = 1
    """Number of consecutive frames, or of pairs of flow images."""
    root_folder: str = ""
    """Prefix of each path, without a separator."""

    top_count: ClassVar[Count] = Count(1, 2)
    message: ClassVar[str] = "video_data_param"
    fed_by: ClassVar[FedBy] = "clips"

    @property
    def channels(self) -> int:
        """Planes of a frame."""
        return 3

    @property
    def planes(self) -> int:
        """Planes of all frames of a record."""
        return self.channels * self.new_length

    def plane_means(self) -> tuple[float, ...]:
        """The mean of each plane of a record; one or none for all."""
        means = self.transform.mean_value
        return self._repeated(means) if len(means) == self.channels > 1 else means

    def _repeated(self, means: tuple[float, ...]) -> tuple[float, ...]:
        """The means of the planes of a frame, for all frames."""
        return means * (self.planes // self.channels)

    def _check(self) -> None:
        super()._check()
        if (self.new_height > 0) != (self.new_width > 0):
            fail(
                f"`new_height` {self.new_height} and `new_width` {self.new_width} must be given together",
                code="E101",
                field=f"{self.message}.new_height" if self.new_height else f"{self.message}.new_width",
            )
        if self.new_height * self.new_width * max(self.planes, 1) > 3 * MAX_PIXELS:
            fail("the frames of a clip are larger than the limit", code="E104", field=f"{self.message}.new_height")
        if self.new_length < 1:
            fail("`new_length` must be positive", code="E103", field=f"{self.message}.new_length")

    def _image_shape(self, record: Shape | None) -> Shape:
        _, h, w = record or (UNKNOWN, UNKNOWN, UNKNOWN)
        size = (self.new_height, self.new_width) if self.new_height else (h, w)
        # The mean is one value, one per plane of a frame, or one per plane of all frames.
        each = self.planes if len(self.transform.mean_value) == self.planes else self.channels
        return (self.planes, *self.transform.shape((each, *size))[1:])


@register("VideoData", dialect="c3d", when=of_clips)
@dataclass(frozen=True)
class VideoClips(_VideoList):
    """Clips of videos, or of folders of frames, from a list with a path, the first frame and a label per line.

    Frames of a folder are called 000001.jpg, 000002.jpg, ... With `use_temporal_jitter` a folder's number is its number
    of frames, and clips of training begin at random; a video's line has no number. All frames of a clip are cropped and
    mirrored alike.

    Shapes: to (batch_size, 3, new_length, h, w), resized, then cropped, and (batch_size).

    >>> VideoClips(source="clips.txt", batch_size=8, new_length=16, new_height=128, new_width=171).batch(None, 2)
    ((8, 3, 16, 128, 171), (8,))

    Reference: `video_data_layer.cpp`, `image_io.cpp` of facebook/C3D.
    """

    sampling_rate: int = 1
    """Every how many frames one is read."""
    use_image: bool = True
    """Whether paths are folders of images, or videos."""
    use_temporal_jitter: bool = False
    """Whether clips begin at a random frame."""

    def _check(self) -> None:
        super()._check()
        if self.sampling_rate < 1:
            fail("`sampling_rate` must be positive", code="E103", field=f"{self.message}.sampling_rate")

    def _repeated(self, means: tuple[float, ...]) -> tuple[float, ...]:
        return tuple(mean for mean in means for _ in range(self.new_length))

    def batch(self, record: Shapes | None, tops: int) -> tuple[Shape | None, ...]:
        """See ImageLayer; the frames are an axis of their own."""
        images, *labels = super().batch(record, tops)
        assert images is not None
        n, _, h, w = images
        return ((n, 3, self.new_length, h, w), *labels)

    def random_fields(self, train: bool) -> tuple[str, ...]:
        """`use_temporal_jitter` in training, and those of the transformation."""
        jitter = ("use_temporal_jitter",) * (self.use_temporal_jitter and train)
        return (*jitter, *super().random_fields(train))


@register("VideoData", v1="VIDEO_DATA", dialect="c3d_old", when=of_old_clips)
@dataclass(frozen=True)
class OldVideoClips(VideoClips):
    """Clips of C3D 1.0, with its parameters in `image_data_param`.

    Shapes: to (batch_size, 3, new_length, h, w), resized, then cropped, and (batch_size).

    >>> OldVideoClips(source="clips.txt", batch_size=8, new_length=16, new_height=128, new_width=171).batch(None, 2)
    ((8, 3, 16, 128, 171), (8,))

    Reference: `video_data_layer.cpp`, `image_io.cpp` of facebook/C3D, C3D-v1.0.
    """

    message: ClassVar[str] = "image_data_param"
    fork_fields: ClassVar[frozenset[str]] = frozenset(
        f"ImageDataParameter.{name}" for name in ("new_length", "sampling_rate", "use_image", "use_temporal_jitter")
    )


@register("VideoData", dialect="yjxiong", when=of_segments)
@dataclass(frozen=True)
class VideoSegments(_VideoList):
    """Segments of videos, from a list with a folder of frames, their number and a label per line.

    A video is divided into `num_segments` equal parts, and `new_length` consecutive frames of each are read: from a
    random one in training, of the middle in testing. The planes of all frames are channels.

    Shapes: to (batch_size, c, h, w), c being 3 (RGB) or 2 (FLOW) x new_length x num_segments, and (batch_size).

    >>> VideoSegments(source="list.txt", batch_size=4, num_segments=3, modality="RGB").batch(((9, 240, 320), ()), 2)
    ((4, 9, 240, 320), (4,))

    Reference: `video_data_layer.cpp`, `io.cpp` (ReadSegmentRGBToDatum) of yjxiong/caffe, branch action_recog; Wang et
    al., "Temporal Segment Networks", 2016.
    """

    num_segments: int = 1
    """Parts of a video."""
    modality: Literal["RGB", "FLOW"] = "FLOW"
    """Color frames, or pairs of gray images with the x and y components of optical flow."""
    name_pattern: str = ""
    """C's format of a frame's name: image_%04d.jpg, or flow_%c_%04d.jpg with x and y."""
    grayscale: bool = False
    """Not supported."""
    encoded: bool = False
    """Not supported."""

    def _check(self) -> None:
        super()._check()
        if self.num_segments < 1:
            fail("`num_segments` must be positive", code="E103", field="video_data_param.num_segments")
        for name in ("grayscale", "encoded"):
            if getattr(self, name):
                fail(f"`{name}` is not supported", code="E101", field=f"video_data_param.{name}")
        wanted = r"[^%]*%0?\d?d[^%]*" if self.modality == "RGB" else r"[^%]*%c[^%]*%0?\d?d[^%]*"
        if not re.fullmatch(wanted, self.pattern):
            example = "image_%04d.jpg" if self.modality == "RGB" else "flow_%c_%04d.jpg"
            fail(
                f"`name_pattern` `{self.pattern}` is not a name such as `{example}`",
                code="E103",
                field="video_data_param.name_pattern",
            )

    @property
    def pattern(self) -> str:
        """The format of names."""
        return self.name_pattern or ("image_%04d.jpg" if self.modality == "RGB" else "flow_%c_%04d.jpg")

    @property
    def channels(self) -> int:
        """Colors, or the components of optical flow."""
        return 3 if self.modality == "RGB" else 2

    @property
    def planes(self) -> int:
        """Those of all frames of all segments."""
        return super().planes * self.num_segments

    def random_fields(self, train: bool) -> tuple[str, ...]:
        """The segments' frames in training, and those of the transformation."""
        return (*("num_segments",) * train, *super().random_fields(train))
