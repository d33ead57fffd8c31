"""Creates databases from image files, as Caffe's convert_imageset does."""

from __future__ import annotations

import os
import random
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from netc.data import images
from netc.data.pipeline.parallel_map import parallel_map
from netc.data.sources.datum import write_datum
from netc.data.sources.image_list import read_text
from netc.data.stores.writers import Put, checked_target, new_database
from netc.data.tools.progress import Progress, no_progress
from netc.diagnostics import Diagnostic, NetcError, Source, Span, counted
from netc.files import is_file, is_folder, is_generated, reason_of
from netc.ir.transform import MAX_PIXELS
from netc.weights import atomic_write

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from netc.data.batch import Shape

SUFFIXES = frozenset(".jpg .jpeg .png .bmp .ppm .pgm .pbm .tif .tiff .webp".split())
"""Suffixes of image files in class folders."""
DEVICES = Path("/dev")
_NUMBER = re.compile(r"[+-]?[0-9]{1,20}")


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

    def check(self) -> None:
        """Raises NetcError E512 for settings that contradict each other."""
        if min(self.height, self.width) < 0 or (self.height > 0) != (self.width > 0):
            raise NetcError(f"height {self.height} and width {self.width} must be given together", code="E512")
        if self.height * self.width > MAX_PIXELS:
            size = f"{self.height}x{self.width}"
            raise NetcError(f"images of {size} pixels are larger than the limit of {MAX_PIXELS:,}", code="E512")
        if self.encode_type and not _can_encode(self.encode_type):
            raise NetcError(f"OpenCV cannot encode images as `{self.encode_type}`", code="E512")


class ImageEntry(NamedTuple):
    """An image file and its label."""

    name: str
    label: int


class Conversion(NamedTuple):
    """The result of a conversion."""

    written: int
    """Records."""
    skipped: tuple[Diagnostic, ...] = ()
    """Errors of the images that were skipped."""


def convert_images(
    list_file: Path | str,
    root: str,
    out: Path | str,
    settings: ImageSettings | None = None,
    *,
    backend: str = "lmdb",
    shuffle: bool = False,
    seed: int | None = None,
    skip_bad: bool = False,
    threads: int | None = None,
    progress: Progress = no_progress,
) -> Conversion:
    """Create a database of the images in a list, one path and label per line (`convert_imageset.cpp`).

    `root` is prepended to each path. Keys are the number of the line in eight digits and the path. `shuffle`
    randomizes the order of lines with `seed`.

    Raises NetcError E501, E502, E506 for the list, E504 for an image that cannot be read (`skip_bad` skips it),
    E505 for one of another size with `check_size`, E511, E512 for output and settings.
    """
    settings = settings or ImageSettings()
    settings.check()
    checked_target(out, backend)
    entries = read_entries(list_file)
    if shuffle:
        random.Random(seed).shuffle(entries)
    with new_database(out, backend) as put:
        return _Converter(settings, root, skip_bad, progress).write(entries, put, threads)


def convert_folder(
    folder: Path | str,
    out: Path | str,
    settings: ImageSettings | None = None,
    *,
    labels: Path | str | None = None,
    backend: str = "lmdb",
    shuffle: bool = True,
    seed: int | None = 0,
    skip_bad: bool = False,
    threads: int | None = None,
    progress: Progress = no_progress,
) -> tuple[Conversion, list[str]]:
    """Create a database from class folders, the layout of ImageNet; returns the result, and the classes by label.

    Each folder in `folder` is a class, and labels number the classes in the order of their names; images may be
    deeper. Class names are written to `labels`, one per line, by default to a new file, `labels_beside(out)`. Shuffled
    by default, because batches need a mix of classes. Raises NetcError as `convert_images` does, E502 without images,
    E408 for a labels file that cannot be written, E511 for a default one that exists.
    """
    settings = settings or ImageSettings()
    settings.check()
    checked_target(out, backend)
    labels = _checked_labels(labels, out)
    entries, classes = class_entries(Path(folder))
    if shuffle:
        random.Random(seed).shuffle(entries)
    with atomic_write(labels) as file:  # fails before the work if it cannot be written
        file.write("".join(f"{name}\n" for name in classes).encode("utf-8", "surrogateescape"))
        file.flush()
        with new_database(out, backend) as put:
            done = _Converter(settings, f"{folder}/", skip_bad, progress).write(entries, put, threads)
    return done, classes


def labels_beside(out: Path | str) -> str:
    """The file of class names of a database.

    >>> labels_beside("photos/")
    'photos_labels.txt'
    """
    return f"{Path(out)}_labels.txt"


def read_entries(list_file: Path | str) -> list[ImageEntry]:
    """The entries of a list; a path ends at the last space, and may contain spaces.

    Raises NetcError E501, E502 for the list, E506 with the place of every bad line.
    """
    source = Source(str(list_file), read_text(Path(list_file), str(list_file), ""))
    entries, bad, at = list[ImageEntry](), list[Diagnostic](), 0
    for line in source.text.split("\n"):
        if line.strip():
            name, _, label = line.strip().rpartition(" ")
            if name.strip() and _whole(label):
                entries.append(ImageEntry(name.strip(), int(label)))
            else:
                span = Span(source, at, at + len(line))
                bad.append(Diagnostic("E506", f"line {span.line} is not a path followed by an integer", span))
        at += len(line) + 1
    if bad:
        raise NetcError(bad)
    if not entries:
        raise NetcError(f"list `{list_file}` is empty", code="E502")
    return entries


def class_entries(folder: Path) -> tuple[list[ImageEntry], list[str]]:
    """The images in class folders, in order, and the classes. Raises NetcError E501, E502."""
    try:
        whole = Path(os.path.realpath(folder))  # Path.resolve raises RuntimeError for a link to itself
    except ValueError as error:  # a name with a NUL
        raise NetcError(f"folder `{folder}` cannot be read: {error}", code="E501") from None
    if whole in (Path(whole.anchor), DEVICES) or is_generated(whole):
        raise NetcError(f"folder `{folder}` is part of the system, not a folder of classes", code="E501")
    try:
        classes = sorted(path.name for path in folder.iterdir() if is_folder(path) and not path.name.startswith("."))
    except OSError as error:
        raise NetcError(f"folder `{folder}` cannot be read: {reason_of(error)}", code="E501") from None
    entries = [
        ImageEntry(str(path.relative_to(folder).as_posix()), label)
        for label, name in enumerate(classes)
        for path in sorted((folder / name).rglob("*"))
        if path.suffix.lower() in SUFFIXES and is_file(path)
    ]
    if not entries:
        notes = [counted(len(classes), "class folder"), f"suffixes of images: {' '.join(sorted(SUFFIXES))}"]
        raise NetcError(f"folder `{folder}` contains no images in class folders", code="E502", notes=notes)
    return entries, classes


class _Converter:
    """Converts images to records in threads, and writes the records in order."""

    def __init__(self, settings: ImageSettings, root: str, skip_bad: bool, progress: Progress) -> None:
        self.settings, self.root, self.skip_bad, self.progress = settings, root, skip_bad, progress
        self.flag = images.flags(not settings.gray, settings.gray)
        self.size = (settings.height, settings.width) if settings.height else None

    def write(self, entries: Sequence[ImageEntry], put: Put, threads: int | None) -> Conversion:
        """Write a record for each entry. Raises NetcError E502 if every image was skipped."""
        skipped: list[Diagnostic] = []
        first: Shape | None = None
        for number, result in enumerate(parallel_map(self._attempt, entries, threads)):
            self.progress(number + 1, len(entries))
            if isinstance(result, NetcError):
                skipped += result.diagnostics
                continue
            record, shape = result
            first = first or shape
            if self.settings.check_size and shape != first:
                raise self._other_size(entries[number].name, shape, first)
            put(f"{number:08d}_{entries[number].name}".encode("utf-8", "surrogateescape"), record)
        if first is None:
            raise NetcError(
                f"none of {counted(len(entries), 'image')} can be read", code="E502", notes=[skipped[0].message]
            )
        return Conversion(len(entries) - len(skipped), tuple(skipped))

    def _attempt(self, entry: ImageEntry) -> tuple[bytes, Shape] | NetcError:
        try:
            return self._record(entry)
        except NetcError as error:
            if not self.skip_bad:
                raise
            return error

    def _record(self, entry: ImageEntry) -> tuple[bytes, Shape]:
        """The record of an image and its shape (`io.cpp`, ReadImageToDatum). Raises NetcError E504."""
        try:
            data = images.read(self._candidates(entry.name))
            decoded = images.decode(memoryview(data), self.flag)
            image = images.resize(decoded, self.size)
            kind = self._kind(entry.name)
            if kind is None:
                shape = (image.shape[0], image.shape[1], image.shape[2])
                return write_datum(shape, image.tobytes(), entry.label, encoded=False), shape
            same = not self.settings.gray and self.size is None and _matches(entry.name, kind)
            packed = data if same else images.encode(image, kind)
        except (OSError, ValueError) as error:
            raise NetcError(f"image `{self.root}{entry.name}`: {reason_of(error)}", code="E504") from None
        return write_datum(data=packed, label=entry.label, encoded=True), image.shape

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


def _checked_labels(labels: Path | str | None, out: Path | str) -> Path | str:
    """The file for class names. Raises NetcError E511 for a default file that exists, E512 for the database itself."""
    if labels is None:
        labels = labels_beside(out)
        if os.path.lexists(labels):
            raise NetcError(f"`{labels}` already exists", code="E511", help="remove it, or name a file with `--labels`")
    if os.path.realpath(labels) == os.path.realpath(out):
        raise NetcError(f"`{out}` cannot be the database and the file of its class names", code="E512")
    return labels


def _whole(text: str) -> bool:
    """Whether a word is an integer in the range of a label, as C++ writes it."""
    return bool(_NUMBER.fullmatch(text)) and -(1 << 31) <= int(text) < 1 << 31


def _matches(name: str, kind: str) -> bool:
    """Whether a file already has this encoding, by its name."""
    suffix, kind = Path(name).suffix[1:].lower(), kind.lower()
    return suffix == kind or (kind == "jpg" and suffix == "jpeg")


def _can_encode(kind: str) -> bool:
    import cv2

    return bool(cv2.haveImageWriter(f"x.{kind}"))
