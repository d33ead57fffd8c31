"""Creates databases of images with boxes, as SSD's convert_annoset does."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from netc.data.sources.annotated_datum import Boxes, no_boxes, write_annotated
from netc.data.sources.annotated_image import AnnotatedImage, AnnotatedObject, bad_annotation, span_of_line
from netc.data.sources.datum import write_datum
from netc.data.stores.writers import checked_target, new_database
from netc.data.tools.annotation_sources import AnnotatedEntry, DataSet, data_set
from netc.data.tools.image_conversion import ImageConverter, ImageSettings, StoredImage
from netc.data.tools.label_map import LabelMap, label_map_of
from netc.data.tools.progress import Progress, no_progress
from netc.diagnostics import Diagnostic, NetcError, counted
from netc.weights import atomic_write

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MOST_ERRORS = 20
"""Bad annotations that are reported together."""
NO_LABEL = -1
"""The label of each Datum, as SSD writes it."""


@dataclass(frozen=True)
class AnnotatedSettings(ImageSettings):
    """How each image is stored; the flags of convert_annoset."""

    min_dim: int = 0
    """Enlarge images whose shorter side is shorter; 0 does not."""
    max_dim: int = 0
    """Reduce images whose longer side is longer, after `min_dim`; 0 does not."""

    @property
    def resizes(self) -> bool:
        """Whether images are resized."""
        return super().resizes or self.min_dim > 0 or self.max_dim > 0

    def size_of(self, size: tuple[int, int]) -> tuple[int, int] | None:
        """Height and width of an image when it is stored (`io.cpp`, ReadImageToCVMat).

        >>> AnnotatedSettings(min_dim=100, max_dim=150).size_of((50, 100))
        (75, 150)
        """
        if not (self.min_dim or self.max_dim):
            return super().size_of(size)
        factor = np.float32(1)
        if 0 < min(size) < self.min_dim:
            factor = np.float32(self.min_dim) / np.float32(min(size))
        if 0 < self.max_dim < int(factor * np.float32(max(size))):
            factor = np.float32(self.max_dim) / np.float32(max(size))
        return round(size[0] * float(factor)), round(size[1] * float(factor))

    def check(self) -> None:
        """Raises NetcError E512 for settings that contradict each other."""
        super().check()
        if min(self.min_dim, self.max_dim) < 0 or 0 < self.max_dim < self.min_dim:
            raise NetcError(f"`min_dim` {self.min_dim} is larger than `max_dim` {self.max_dim}", code="E512")
        if self.height and (self.min_dim or self.max_dim):
            raise NetcError("a size and `min_dim` or `max_dim` exclude each other", code="E512")


class AnnotatedConversion(NamedTuple):
    """The result of a conversion."""

    written: int
    """Records."""
    boxes: Counter[int]
    """Boxes by label."""
    label_map: LabelMap
    skipped: tuple[Diagnostic, ...] = ()
    """Errors of the images that were skipped."""
    warnings: tuple[Diagnostic, ...] = ()
    """Boxes outside their image, and images of another size than their annotation says."""


def convert_annotated(
    source: Path | str,
    root: str | None,
    out: Path | str,
    settings: AnnotatedSettings | None = None,
    *,
    label_map: LabelMap | None = None,
    split: str | None = None,
    label_type: str | None = None,
    name_size: Path | str | None = None,
    backend: str = "lmdb",
    shuffle: bool = False,
    seed: int | None = None,
    skip_bad: bool = False,
    threads: int | None = None,
    progress: Progress = no_progress,
) -> AnnotatedConversion:
    """Create a database of AnnotatedDatum records (`convert_annoset.cpp`) of a data set; see `data_set`.

    The names and sizes of the images are written to `name_size`, by default `name_size_beside(out)`, as
    DetectionEvaluate and DetectionOutput read them. Without a `label_map`, classes are numbered from 1 in the order of
    their names, or of COCO's numbers. `shuffle` randomizes the order with `seed`.

    Raises NetcError as `data_set` does, E513 for annotations (`skip_bad` skips their images), E504, E505, E511, E512 as
    `convert_images` does.
    """
    settings = settings or AnnotatedSettings()
    settings.check()
    checked_target(out, backend)
    name_size = name_size or name_size_beside(out)
    found = data_set(source, root, split, label_type)
    entries, skipped = _readable(found, skip_bad)
    label_map = label_map or label_map_of(_classes(entries))
    if shuffle:
        random.Random(seed).shuffle(entries)
    converter = _BoxConverter(settings, found.root, skip_bad, progress, label_map)
    if not skip_bad:
        converter.check(entries)
    with atomic_write(name_size) as file:  # fails before the work if it cannot be written
        with new_database(out, backend) as put:
            done = converter.write(entries, put, threads)
        file.write("".join(converter.sizes).encode("utf-8", "surrogateescape"))
    return AnnotatedConversion(
        done.written, converter.boxes, label_map, (*skipped, *done.skipped), tuple(converter.warnings())
    )


def name_size_beside(out: Path | str) -> str:
    """The file of names and sizes of a database.

    >>> name_size_beside("test_lmdb/")
    'test_lmdb_name_size.txt'
    """
    return f"{Path(out)}_name_size.txt"


def _readable(found: DataSet, skip_bad: bool) -> tuple[list[AnnotatedEntry], list[Diagnostic]]:
    """The entries whose annotation can be read, and the errors of the others. Raises them unless `skip_bad`."""
    good = [entry for entry in found.entries if isinstance(entry.annotation, AnnotatedImage)]
    bad = [
        d for entry in found.entries if isinstance(entry.annotation, NetcError) for d in entry.annotation.diagnostics
    ]
    if bad and (not skip_bad or not good):
        raise NetcError(bad[:MOST_ERRORS])
    return good, bad


def _classes(entries: Sequence[AnnotatedEntry]) -> list[str]:
    """The names of all classes, those that are numbers in their order."""
    objects = (
        one for entry in entries if isinstance(entry.annotation, AnnotatedImage) for one in entry.annotation.objects
    )
    names = {one.other_name or one.name: one.name for one in objects}
    numbered = all(name.isdecimal() for name in names.values())
    return sorted(names, key=lambda shown: (int(names[shown]) if numbered else 0, shown))


class _BoxConverter(ImageConverter[AnnotatedEntry]):
    """Writes AnnotatedDatum records, whose boxes are fractions of the size in the annotation, or of the image."""

    settings: AnnotatedSettings

    def __init__(
        self, settings: AnnotatedSettings, root: str, skip_bad: bool, progress: Progress, label_map: LabelMap
    ) -> None:
        super().__init__(settings, root, skip_bad, progress)
        self.label_map = label_map
        self.boxes: Counter[int] = Counter()
        self.sizes: list[str] = []
        """Lines of the file of names and sizes."""
        self._odd: dict[str, list[Diagnostic]] = {}
        """What is unusual, by its kind."""

    def check(self, entries: Sequence[AnnotatedEntry]) -> None:
        """Raises NetcError E513 for all objects whose class the label map does not have."""
        errors: list[Diagnostic] = []
        for entry in entries:
            for one in self._annotation(entry).objects if len(errors) < MOST_ERRORS else ():
                try:
                    self._label(entry, one)
                except NetcError as error:
                    errors += error.diagnostics
        if errors:
            raise NetcError(errors[:MOST_ERRORS])

    def record(self, entry: AnnotatedEntry, image: StoredImage) -> bytes:
        """See ImageConverter."""
        datum = write_datum(image.shape, image.data, NO_LABEL, encoded=image.encoded)
        return write_annotated(datum, self._boxes(entry, image))

    def written(self, entry: AnnotatedEntry, image: StoredImage) -> None:
        """Count the boxes of a record, and keep its name and size."""
        annotation = self._annotation(entry)
        self.boxes.update(self._label(entry, one) for one in annotation.objects)
        height, width = image.size
        self.sizes.append(f"{annotation.identifier or Path(entry.name).stem} {height} {width}\n")
        for kind, found in self._unusual(entry, image):
            self._odd.setdefault(kind, []).append(found)

    def warnings(self) -> Iterator[Diagnostic]:
        """W513: for each kind of unusual annotation the first one, and how many others there are."""
        for found in self._odd.values():
            others = [f"and {counted(len(found) - 1, 'other')}"] if len(found) > 1 else []
            yield Diagnostic("W513", found[0].message, found[0].span, notes=(*found[0].notes, *others))

    @staticmethod
    def _annotation(entry: AnnotatedEntry) -> AnnotatedImage:
        assert isinstance(entry.annotation, AnnotatedImage)  # _readable has removed the others
        return entry.annotation

    def _label(self, entry: AnnotatedEntry, one: AnnotatedObject) -> int:
        if one.label is not None:
            return one.label
        label = self.label_map.label(one.name, one.other_name)
        if label is None:
            name = one.other_name or one.name
            source = self._annotation(entry).source
            what, help = f"the label map has no class `{name}`", self.label_map.suggestion(name)
            raise bad_annotation(source, what, one.line, one.where, help)
        return label

    def _boxes(self, entry: AnnotatedEntry, image: StoredImage) -> Boxes:
        """The rows of an image: label, number among its label's, sides, difficult."""
        annotation, counts = self._annotation(entry), Counter[int]()
        height, width = annotation.size or image.size
        rows = []
        for one in annotation.objects:
            label = self._label(entry, one)
            xmin, ymin, xmax, ymax = one.box
            sides = (xmin / width, ymin / height, xmax / width, ymax / height)
            rows.append((label, counts[label], *sides, one.difficult))
            counts[label] += 1
        return np.array(rows, np.float32) if rows else no_boxes()

    def _unusual(self, entry: AnnotatedEntry, image: StoredImage) -> Iterator[tuple[str, Diagnostic]]:
        annotation = self._annotation(entry)
        size = annotation.size or image.size
        if size != image.size:
            expected, found = (f"{height}x{width}" for height, width in (size, image.size))
            what = f"image `{entry.name}` is {found}, but its annotation says {expected}"
            yield "size", Diagnostic("W513", what, span_of_line(annotation.source, 0))
        for one in annotation.objects:
            xmin, ymin, xmax, ymax = one.box
            notes = (f"in {one.where}",) if one.where else ()
            span = span_of_line(annotation.source, one.line)
            box = f"the box {xmin:g}, {ymin:g}, {xmax:g}, {ymax:g} of `{one.other_name or one.name}`"
            if xmin >= xmax or ymin >= ymax:
                yield "empty", Diagnostic("W513", f"{box} is empty or inverted", span, notes)
            elif min(xmin, ymin) < 0 or xmax > size[1] or ymax > size[0]:
                what = f"{box} is not inside its image of {size[0]}x{size[1]}"
                yield "outside", Diagnostic("W513", what, span, notes)
