"""VideoData: the frames of a video file, and clips of a list of videos or of folders of frames."""

from __future__ import annotations

import contextlib
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from netc.data import images
from netc.data.pipeline.sampling import Numbers, Sampler, draws
from netc.data.records import Record, UnbatchedRecords
from netc.data.sources.image_list import read_text
from netc.diagnostics import Diagnostic, NetcError, Source, Span
from netc.files import exists, is_file, is_folder, reason_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from netc.data.batch import Shape
    from netc.paths import ResolvePath

FIELD = "video_data_param.source"
FARTHEST = 64
"""Frames that are decoded to reach one, before the video is positioned anew."""
LARGEST_NUMBER = 1 << 30


class Video:
    """A video file; frames are read in any order, by one thread at a time. Raises NetcError E501."""

    def __init__(self, path: Path, name: str, field: str = FIELD) -> None:
        import cv2

        self.name, self._field, self._lock, self._next = name, field, threading.Lock(), 0
        # Only a file: OpenCV also opens addresses, devices and pipelines.
        self._capture: Any = cv2.VideoCapture(str(path)) if is_file(path) else None
        if self._capture is None or not self._capture.isOpened():
            missing = self._capture is None and not exists(path)
            what = "does not exist" if missing else "is not a video that OpenCV can read"
            raise NetcError(f"video `{name}` {what}", code="E501", field=field, missing=missing)
        self.frames = int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT))

    def frame(self, number: int) -> images.Image:
        """The planes of a frame, blue first. Raises NetcError E504."""
        import cv2

        with self._lock:
            if not 0 <= number - self._next <= FARTHEST:
                self._capture.set(cv2.CAP_PROP_POS_FRAMES, number)
                self._next = number
            while self._next < number and self._capture.grab():
                self._next += 1
            done, image = self._capture.read()
            self._next = number + 1
        if not done or image is None:
            raise NetcError(f"frame {number} of `{self.name}` cannot be read", code="E504", field=self._field)
        return images.planes(image)

    def close(self) -> None:
        """Close the file."""
        self._capture.release()


class VideoRecords(UnbatchedRecords):
    """The frames of one video; some may be skipped. See `Records`. Raises NetcError E501, E502."""

    def __init__(self, path: Path, name: str, skip: int) -> None:
        self.name, self._skip = name, skip
        self._video = Video(path, name, "video_data_param.video_file")
        self._count = self._video.frames // (skip + 1)
        if self._count < 1:
            self.close()
            raise NetcError(f"video `{name}` has no frames", code="E502", field="video_data_param.video_file")

    def shapes(self, index: int = 0) -> tuple[Shape, ...]:
        """Planes of a frame, and its label, a scalar."""
        return self.read(index).image.shape, ()

    def __len__(self) -> int:
        """Number of frames that are used."""
        return self._count

    def permute(self, random: np.random.Generator) -> npt.NDArray[np.int64]:
        """A random order of all frames."""
        return random.permutation(self._count)

    def describe(self, index: int) -> str:
        """The frame, for a message."""
        return f"frame {self._frame(index)} of `{self.name}`"

    def next_index(self, index: int) -> int:
        """The next frame."""
        return index + 1

    def read(self, index: int) -> Record:
        """A frame. Raises NetcError E504."""
        return Record(self._video.frame(self._frame(index)), 0)

    def close(self) -> None:
        """Close the video."""
        self._video.close()

    def _frame(self, index: int) -> int:
        return index % self._count * (self._skip + 1) + self._skip


class ListedVideo(NamedTuple):
    """A line of a list."""

    path: str
    number: int
    """The first frame of a clip, or the number of frames."""
    label: int


@dataclass
class ClipSampler(Sampler):
    """Reads lines in their order; `count` times a random number is added to each index, which selects the frames."""

    count: int = 1
    """Number of lines."""
    random: bool = False

    def indices(self, numbers: Numbers) -> Numbers:
        """See Sampler."""
        lines = super().indices(numbers) % self.count
        if not self.random:
            return lines
        drawn = draws(self.seed, numbers.ravel())[:, 3].reshape(numbers.shape) >> np.uint64(34)
        return lines + self.count * (drawn.astype(np.int64) + 1)


class ClipRecords(UnbatchedRecords):
    """Clips of the videos of a list: the planes of several frames as one image; see `Records`.

    Raises NetcError E501, E502, E506 for the list.
    """

    def __init__(self, layer: Any, resolve: ResolvePath, numbered: bool = True) -> None:
        self.name, self._layer, self._resolve = layer.source, layer, resolve
        self._path, self.field = resolve(layer.source), f"{layer.message}.source"
        text = read_text(self._path, self.name, self.field)
        self.lines = _parsed(Source(self.name, text), numbered, self.field)
        if not self.lines:
            raise NetcError(f"list `{self.name}` is empty", code="E502", field=self.field)
        self._size = (layer.new_height, layer.new_width) if layer.new_height else None

    def shapes(self, index: int = 0) -> tuple[Shape, ...]:
        """Planes of a clip, resized, and its label, a scalar."""
        return self.read(index).image.shape, ()

    def __len__(self) -> int:
        """Number of lines."""
        return len(self.lines)

    def permute(self, random: np.random.Generator) -> npt.NDArray[np.int64]:
        """A random order of all lines."""
        return random.permutation(len(self.lines))

    def describe(self, index: int) -> str:
        """The clip, for a message."""
        return f"clip `{self._layer.root_folder}{self.lines[index % len(self.lines)].path}` of `{self.name}`"

    def next_index(self, index: int) -> int:
        """The next line."""
        return index + 1

    def read(self, index: int) -> Record:
        """A clip. Raises NetcError E504 for a frame that cannot be read, E505 for frames of several sizes."""
        line, draw = self.lines[index % len(self.lines)], index // len(self.lines)
        random = np.random.default_rng(draw) if draw else None
        frames = list(self.frames(line, random))
        if len({frame.shape for frame in frames}) > 1:
            raise NetcError(f"{self.describe(index)} has frames of several sizes", code="E505", field=self.field)
        return Record(self.joined(frames), line.label)

    def frames(self, line: ListedVideo, random: np.random.Generator | None) -> Iterator[images.Image]:
        """The frames of a line's clip; `random` is None where they are fixed."""
        raise NotImplementedError

    def joined(self, frames: list[images.Image]) -> images.Image:
        """The planes of all frames."""
        return np.concatenate(frames)

    def close(self) -> None:
        """Nothing is open between records."""

    def place(self, line: ListedVideo) -> Path:
        """Where a folder or a video is: in the working directory, next to the list, or where `resolve` finds it."""
        path = self._layer.root_folder + line.path
        places = (Path(path), self._path.parent / path, self._resolve(path))
        return next((place for place in places if is_folder(place) or is_file(place)), places[0])

    def image(self, path: Path, color: bool = True) -> images.Image:
        """A frame that is an image file, resized. Raises NetcError E504."""
        try:
            flag = images.IMREAD_COLOR if color else images.IMREAD_GRAYSCALE
            return images.resize(images.decode(memoryview(images.read([path])), flag), self._size)
        except (OSError, ValueError) as error:
            raise NetcError(f"frame `{path}`: {reason_of(error)}", code="E504", field=self.field) from None

    def sized(self, image: images.Image) -> images.Image:
        """A frame of a video, resized."""
        return images.resize(image, self._size)


class FrameClips(ClipRecords):
    """C3D's clips: every `sampling_rate`-th frame of a folder of images, or of a video."""

    def __init__(self, layer: Any, resolve: ResolvePath) -> None:
        super().__init__(layer, resolve, numbered=layer.use_image or not layer.use_temporal_jitter)

    def frames(self, line: ListedVideo, random: np.random.Generator | None) -> Iterator[images.Image]:
        """See ClipRecords."""
        layer, place = self._layer, self.place(line)
        span = layer.new_length * layer.sampling_rate
        if layer.use_image:
            first = line.number if not layer.use_temporal_jitter else self._start(line, span, random, base=1)
            for number in range(first, first + span, layer.sampling_rate):
                yield self.image(place / f"{number:06d}.jpg")
            return
        with contextlib.closing(Video(place, f"{layer.root_folder}{line.path}", self.field)) as video:
            whole = line._replace(number=video.frames)
            first = line.number if not layer.use_temporal_jitter else self._start(whole, span, random, base=0)
            for number in range(first, first + span, layer.sampling_rate):
                yield self.sized(video.frame(number))

    def joined(self, frames: list[images.Image]) -> images.Image:
        """The first planes of all frames, then the second, then the third."""
        stacked = np.stack(frames, 1)
        return stacked.reshape(-1, *stacked.shape[2:])

    def _start(self, line: ListedVideo, span: int, random: np.random.Generator | None, base: int) -> int:
        """The first frame of a clip of `span` frames of a video with `line.number`; the first of all in testing."""
        if line.number < span:
            what = f"`{line.path}` has {line.number} frames, a clip needs {span}"
            raise NetcError(what, code="E504", field=self.field)
        return base + (0 if random is None else int(random.integers(line.number - span + 1)))


class SegmentClips(ClipRecords):
    """yjxiong's segments: consecutive frames of each of several parts of a folder of images."""

    def frames(self, line: ListedVideo, random: np.random.Generator | None) -> Iterator[images.Image]:
        """See ClipRecords."""
        layer, place = self._layer, self.place(line)
        part = line.number // layer.num_segments
        free = part - layer.new_length + 1
        for segment in range(layer.num_segments):
            within = free // 2 if random is None else int(random.integers(max(1, free)))
            offset = within + segment * part if free > 0 else 0
            for number in range(offset + 1, offset + layer.new_length + 1):
                if layer.modality == "RGB":
                    yield self.image(place / (layer.pattern % number))
                else:
                    yield from (self.image(place / (layer.pattern % (one, number)), color=False) for one in "xy")


def _parsed(source: Source, numbered: bool, field: str) -> list[ListedVideo]:
    """The lines of a list: path, number if `numbered`, label. Raises NetcError E506 with the place of every bad one."""
    found, bad, at = list[ListedVideo](), list[Diagnostic](), 0
    for line in source.text.split("\n"):
        if line.strip():
            path, *words = line.strip().rsplit(None, 2 if numbered else 1)
            numbers = [int(word) for word in words if word.isdecimal() and int(word) < LARGEST_NUMBER]
            if len(numbers) == (2 if numbered else 1):
                found.append(ListedVideo(path, numbers[0] if numbered else 0, numbers[-1]))
            else:
                span = Span(source, at, at + len(line))
                wanted = "a path, a number and a label" if numbered else "a path and a label"
                bad.append(Diagnostic("E506", f"line {span.line} is not {wanted}", span, field=field))
        at += len(line) + 1
    if bad:
        raise NetcError(bad)
    return found
