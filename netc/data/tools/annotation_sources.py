"""Finds the images and annotations of a data set: a folder of PASCAL VOC, a file of COCO, a list of pairs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from netc.data.sources.annotated_image import (
    LARGEST_FILE,
    AnnotatedImage,
    AnnotatedObject,
    bad_annotation,
    number,
)
from netc.data.sources.coco_json import read_coco, read_coco_image
from netc.data.sources.image_list import read_text
from netc.data.sources.voc_xml import read_voc
from netc.diagnostics import Diagnostic, NetcError, Source, Span
from netc.files import is_file, is_folder, read_bytes, reason_of

if TYPE_CHECKING:
    from collections.abc import Callable

IMAGES, ANNOTATIONS, SETS = "JPEGImages", "Annotations", "ImageSets/Main"
"""Folders of PASCAL VOC."""
SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp")
READERS: dict[str, Callable[[Path], AnnotatedImage]] = {"xml": read_voc, "json": read_coco_image}


class AnnotatedEntry(NamedTuple):
    """An image and its annotation."""

    name: str
    """Path of the image within the root folder."""
    annotation: AnnotatedImage | NetcError
    """The error of an annotation that cannot be read."""


class DataSet(NamedTuple):
    """The images of a data set."""

    root: str
    """Prefix of the images' names."""
    entries: list[AnnotatedEntry]


def data_set(source: Path | str, root: str | None = None, split: str | None = None, kind: str | None = None) -> DataSet:
    """The images of a data set, in its order.

    `source` is a folder in the layout of PASCAL VOC, of which `split` names one of the lists in `ImageSets/Main`; a
    JSON file of COCO, whose images are in `root`; or a list with an image and its annotation file in each line, both
    within `root`. `kind` is the format of the annotations in a list: `xml`, `json` or `txt`, by default their suffix.

    Raises NetcError E501, E502, E506 for a source that cannot be read, is empty or has bad lines, E513 for a JSON file.
    """
    path = Path(source)
    if is_folder(path):
        return DataSet(f"{source}/".replace("//", "/"), _voc(path, split))
    if split is not None:
        raise NetcError("`--set` selects images of a folder in the layout of PASCAL VOC", code="E512")
    prefix = _prefix(str(path.parent) if root is None else root)
    if path.suffix.lower() == ".json":
        return DataSet(prefix, _coco(path))
    return DataSet(prefix, _listed(path, prefix, kind))


def _prefix(root: str) -> str:
    return f"{root}/" if root and not root.endswith("/") else root


def _voc(folder: Path, split: str | None) -> list[AnnotatedEntry]:
    if not is_folder(folder / ANNOTATIONS):
        raise NetcError(
            f"folder `{folder}` has no folder `{ANNOTATIONS}`",
            code="E501",
            help="pass a folder in the layout of PASCAL VOC, a JSON file of COCO, or a list of images and annotations",
        )
    names = _split(folder, split) if split else sorted(path.stem for path in (folder / ANNOTATIONS).glob("*.xml"))
    if not names:
        raise NetcError(f"folder `{folder / ANNOTATIONS}` contains no XML files", code="E502")
    return [_voc_entry(folder, name) for name in names]


def _split(folder: Path, split: str) -> list[str]:
    """The names in a list of ImageSets; a list of one class has a number after each name."""
    file = folder / SETS / f"{split}.txt"
    names = [line.split()[0] for line in read_text(file, str(file), "").split("\n") if line.strip()]
    if not names:
        raise NetcError(f"list `{file}` is empty", code="E502")
    return names


def _voc_entry(folder: Path, name: str) -> AnnotatedEntry:
    found = _attempt(read_voc, folder / ANNOTATIONS / f"{name}.xml")
    candidates = [f"{IMAGES}/{name}{suffix}" for suffix in SUFFIXES]
    if isinstance(found, AnnotatedImage) and found.image:
        candidates.append(f"{IMAGES}/{Path(found.image).name}")
    image = next((one for one in candidates if is_file(folder / one)), candidates[0])
    return AnnotatedEntry(image, found)


def _coco(path: Path) -> list[AnnotatedEntry]:
    entries = [AnnotatedEntry(image.image, image) for image in read_coco(path)]
    if not entries:
        raise NetcError(f"`{path}` has no images", code="E502")
    nameless = next((i for i, entry in enumerate(entries) if not entry.name), None)
    if nameless is not None:
        raise NetcError(f"`{path}`: image {nameless + 1} has no `file_name`", code="E513")
    return entries


def _listed(path: Path, root: str, kind: str | None) -> list[AnnotatedEntry]:
    source = Source(str(path), read_text(path, str(path), ""))
    entries, bad, at = list[AnnotatedEntry](), list[Diagnostic](), 0
    for line in source.text.split("\n"):
        if line.strip():
            image, _, annotation = line.strip().rpartition(" ")
            file = Path(root + annotation)
            read = READERS.get(kind or file.suffix[1:].lower(), read_lines)
            if image.strip():
                entries.append(AnnotatedEntry(image.strip(), _attempt(read, file)))
            else:
                span = Span(source, at, at + len(line))
                bad.append(Diagnostic("E506", f"line {span.line} is not an image and its annotation file", span))
        at += len(line) + 1
    if bad:
        raise NetcError(bad)
    if not entries:
        raise NetcError(f"list `{path}` is empty", code="E502")
    return entries


def _attempt(read: Callable[[Path], AnnotatedImage], path: Path) -> AnnotatedImage | NetcError:
    try:
        return read(path)
    except NetcError as error:
        return error


def read_lines(path: Path) -> AnnotatedImage:
    """The objects of a text file: a label, xmin, ymin, xmax and ymax in each line. Raises NetcError E501, E513."""
    try:
        text = read_bytes(path, LARGEST_FILE).decode("utf-8", "surrogateescape")
    except (OSError, ValueError) as error:
        missing = isinstance(error, FileNotFoundError)
        raise NetcError(f"`{path}` cannot be read: {reason_of(error)}", code="E501", missing=missing) from None
    source = Source(str(path), text)
    objects = []
    for line, words in enumerate(map(str.split, text.split("\n")), 1):
        sides = [value for value in map(number, words[1:]) if value is not None]
        if len(words) == 5 and len(sides) == 4 and words[0].isdecimal() and len(words[0]) < 10:
            box = (sides[0], sides[1], sides[2], sides[3])
            objects.append(AnnotatedObject(words[0], box, line=line, label=int(words[0])))
        elif words:
            raise bad_annotation(source, "the line is not a label followed by xmin, ymin, xmax and ymax", line)
    return AnnotatedImage(source, tuple(objects))
