"""Converts image files to records in threads, and writes the records in order, as Caffe's convert_imageset does."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Generic, NamedTuple, Protocol, TypeVar

from netc.data import images
from netc.data.pipeline.parallel_map import parallel_map
from netc.diagnostics import Diagnostic, NetcError, counted
from netc.files import reason_of
from netc.ir.transform import MAX_PIXELS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from netc.data.batch import Shape
    from netc.data.stores.writers import Put
    from netc.data.tools.progress import Progress


@dataclass(frozen=True)
class ImageSettings:
    """How each image is stored; the flags of convert_imageset."""

    gray: bool = False
    """Store one channel, not three."""
    height: int = 0
    """Resize to this height and width; 0 keeps the size."""
    width: int = 0
    check_size: bool = False
    """Require that all images have the same size."""
    encoded: bool = False
    """Store images encoded: the file as it is if nothing changes it."""
    encode_type: str = ""
    """Encode as `png`, `jpg`, ...; implies `encoded`, whose default is the type of each file."""

    @property
    def resizes(self) -> bool:
        """Whether images are resized."""
        return self.height > 0

    def size_of(self, size: tuple[int, int]) -> tuple[int, int] | None:
        """Height and width of an image of this size when it is stored; None if it is not resized."""
        return (self.height, self.width) if self.height else None

    def check(self) -> None:
        """Raises NetcError E512 for settings that contradict each other."""
        if min(self.height, self.width) < 0 or (self.height > 0) != (self.width > 0):
            raise NetcError(f"height {self.height} and width {self.width} must be given together", code="E512")
        if self.height * self.width > MAX_PIXELS:
            size = f"{self.height}x{self.width}"
            raise NetcError(f"images of {size} pixels are larger than the limit of {MAX_PIXELS:,}", code="E512")
        if self.encode_type and not _can_encode(self.encode_type):
            raise NetcError(f"OpenCV cannot encode images as `{self.encode_type}`", code="E512")


class Conversion(NamedTuple):
    """The result of a conversion."""

    written: int
    """Records."""
    skipped: tuple[Diagnostic, ...] = ()
    """Errors of the images that were skipped."""


class StoredImage(NamedTuple):
    """An image as a record stores it."""

    data: bytes
    """The planes, or a compressed image."""
    encoded: bool
    shape: tuple[int, int, int]
    """Channels, height, width, after the resize."""
    size: tuple[int, int]
    """Height and width of the file."""


class Entry(Protocol):
    """What is converted to one record."""

    @property
    def name(self) -> str: ...


E = TypeVar("E", bound=Entry)


class ImageConverter(Generic[E]):
    """Converts the image files of entries, and writes a record for each; a subclass makes the records."""

    def __init__(self, settings: ImageSettings, root: str, skip_bad: bool, progress: Progress) -> None:
        self.settings, self.root, self.skip_bad, self.progress = settings, root, skip_bad, progress
        self.flag = images.flags(not settings.gray, settings.gray)

    def record(self, entry: E, image: StoredImage) -> bytes:
        """The record of an entry. Raises NetcError for an entry that is invalid."""
        raise NotImplementedError

    def written(self, entry: E, image: StoredImage) -> None:
        """Called after the record of an entry is written, in order."""

    def write(self, entries: Sequence[E], put: Put, threads: int | None) -> Conversion:
        """Write a record for each entry. Raises NetcError E502 if every image was skipped."""
        skipped: list[Diagnostic] = []
        first: Shape | None = None
        count = 0
        for number, result in enumerate(parallel_map(self._attempt, entries, threads)):
            self.progress(number + 1, len(entries))
            if isinstance(result, NetcError):
                skipped += result.diagnostics
                continue
            record, image = result
            first = first or image.shape
            if self.settings.check_size and image.shape != first:
                raise self._other_size(entries[number].name, image.shape, first)
            put(f"{number:08d}_{entries[number].name}".encode("utf-8", "surrogateescape"), record)
            self.written(entries[number], image)
            count += 1
        if first is None:
            raise NetcError(
                f"none of {counted(len(entries), 'image')} can be read", code="E502", notes=[skipped[0].message]
            )
        return Conversion(count, tuple(skipped))

    def _attempt(self, entry: E) -> tuple[bytes, StoredImage] | NetcError:
        try:
            image = self._stored(entry)
            return self.record(entry, image), image
        except NetcError as error:
            if not self.skip_bad:
                raise
            return error

    def _stored(self, entry: E) -> StoredImage:
        """The image of an entry as it is stored (`io.cpp`, ReadImageToDatum). Raises NetcError E504."""
        try:
            data = images.read(self._candidates(entry.name))
            decoded = images.decode(memoryview(data), self.flag)
            image = images.resize(decoded, self.settings.size_of((decoded.shape[1], decoded.shape[2])))
            kind = self._kind(entry.name)
            if kind is None:
                packed = image.tobytes()
            else:
                same = not self.settings.gray and not self.settings.resizes and _matches(entry.name, kind)
                packed = data if same else images.encode(image, kind)
        except (OSError, ValueError) as error:
            raise NetcError(f"image `{self.root}{entry.name}`: {reason_of(error)}", code="E504") from None
        shape = (image.shape[0], image.shape[1], image.shape[2])
        return StoredImage(packed, kind is not None, shape, (decoded.shape[1], decoded.shape[2]))

    def _kind(self, name: str) -> str | None:
        """The encoding of an image, None if stored raw. Raises ValueError if it is not known from the name."""
        if self.settings.encode_type or not self.settings.encoded:
            return self.settings.encode_type or None
        kind = Path(name).suffix[1:].lower()
        if not kind or not _can_encode(kind):
            raise ValueError("its name has no suffix that OpenCV can encode: pass `--encode-type`")
        return kind

    def _candidates(self, name: str) -> Iterator[Path]:
        yield Path(self.root + name)
        yield Path(self.root) / name  # a root without a trailing slash

    def _other_size(self, name: str, shape: Shape, first: Shape) -> NetcError:
        found, expected = ("x".join(map(str, s)) for s in (shape, first))
        return NetcError(
            f"image `{self.root}{name}` is {found}, but those before it are {expected}",
            code="E505",
            help="pass `--resize-height` and `--resize-width`",
        )


def _matches(name: str, kind: str) -> bool:
    """Whether a file already has this encoding, by its name."""
    suffix, kind = Path(name).suffix[1:].lower(), kind.lower()
    return suffix == kind or (kind == "jpg" and suffix == "jpeg")


def _can_encode(kind: str) -> bool:
    import cv2

    return bool(cv2.haveImageWriter(f"x.{kind}"))
