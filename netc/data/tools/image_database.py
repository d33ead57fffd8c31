"""Creates databases from image files, as Caffe's convert_imageset does."""

from __future__ import annotations

import os
import random
import re
from pathlib import Path
from typing import NamedTuple

from netc.data.sources.datum import write_datum
from netc.data.sources.image_list import read_text
from netc.data.stores.writers import checked_target, new_database
from netc.data.tools.image_conversion import Conversion, ImageConverter, ImageSettings, StoredImage
from netc.data.tools.progress import Progress, no_progress
from netc.diagnostics import Diagnostic, NetcError, Source, Span, counted
from netc.files import is_file, is_folder, is_generated, reason_of
from netc.weights import atomic_write

SUFFIXES = frozenset(".jpg .jpeg .png .bmp .ppm .pgm .pbm .tif .tiff .webp".split())
"""Suffixes of image files in class folders."""
DEVICES = Path("/dev")
_NUMBER = re.compile(r"[+-]?[0-9]{1,20}")


class ImageEntry(NamedTuple):
    """An image file and its label."""

    name: str
    label: int


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
        return _LabelConverter(settings, root, skip_bad, progress).write(entries, put, threads)


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
            done = _LabelConverter(settings, f"{folder}/", skip_bad, progress).write(entries, put, threads)
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


class _LabelConverter(ImageConverter[ImageEntry]):
    """Writes Datum records with the labels of the entries."""

    def record(self, entry: ImageEntry, image: StoredImage) -> bytes:
        """See ImageConverter."""
        return write_datum(None if image.encoded else image.shape, image.data, entry.label, encoded=image.encoded)


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
