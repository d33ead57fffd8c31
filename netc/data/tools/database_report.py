"""A report on the content of a database and its errors."""

from __future__ import annotations

import contextlib
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from netc.data.pipeline.parallel_map import read_in_parallel
from netc.data.sources.annotated_datum import Annotations
from netc.data.sources.opening import open_records
from netc.data.tools.progress import Progress, no_progress
from netc.diagnostics import Diagnostic, NetcError
from netc.files import is_file

if TYPE_CHECKING:
    from collections.abc import Iterator

    from netc.data.batch import Shape
    from netc.data.records import Record
    from netc.data.sources.database import DatumRecords


@dataclass
class DatabaseReport:
    """Statistics and errors of the records of a database."""

    name: str
    backend: str
    records: int
    """All records, examined or not."""
    bytes: int
    """Of all values of the records examined."""
    encoded: int = 0
    """Records with an encoded image."""
    shapes: Counter[Shape] = field(default_factory=Counter)
    """Planes, height, width of the images."""
    labels: Counter[int] = field(default_factory=Counter)
    """Images by label or, in an annotated database, boxes."""
    boxes: Counter[int] | None = None
    """Images by their number of boxes; None in a database without boxes."""
    difficult: int = 0
    """Boxes of difficult objects."""
    floats: int = 0
    """Records of floats."""
    faults: list[Diagnostic] = field(default_factory=list)
    """One diagnostic for each record that cannot be read."""

    @property
    def examined(self) -> int:
        """Records that were read, or could not be."""
        return sum(self.shapes.values()) + len(self.faults)


def inspect_database(
    database: Path | str, *, limit: int | None = None, threads: int | None = None, progress: Progress = no_progress
) -> DatabaseReport:
    """Read every record of a database, or the first `limit`, and decode each image.

    A record that cannot be read is one of the faults of the report. Raises NetcError E501, E502, E507 for the
    database itself.
    """
    with contextlib.closing(open_records(database)) as records:
        records.store.check()
        total = len(records)
        backend = "LevelDB" if is_file(Path(database) / "CURRENT") else "LMDB"
        found = DatabaseReport(str(database), backend, total, 0)
        examined = total if limit is None else min(limit, total)
        plain = _plain_facts(records, found, examined)
        for done, record in enumerate(read_in_parallel(records, examined, threads)):
            next(plain)
            progress(done + 1, examined)
            _count(found, record)
        return found


def _count(found: DatabaseReport, record: Record | NetcError) -> None:
    if isinstance(record, NetcError):
        found.faults += record.diagnostics
        return
    shape: Shape = record.image.shape
    found.shapes[shape] += 1
    if isinstance(record.label, Annotations):
        _count_boxes(found, record.label)
    else:
        found.labels[int(record.label)] += 1
    found.floats += record.image.dtype == np.float32


def _count_boxes(found: DatabaseReport, annotations: Annotations) -> None:
    boxes = annotations.boxes
    found.boxes = found.boxes if found.boxes is not None else Counter()
    found.boxes[len(boxes)] += 1
    found.labels.update(map(int, boxes[:, 0]))
    found.difficult += int(boxes[:, 6].sum())


def _plain_facts(records: DatumRecords, found: DatabaseReport, count: int) -> Iterator[None]:
    """Count, record by record, what is known without decoding."""
    for index in range(count):
        size, encoded = records.packing(index)
        found.bytes += size
        found.encoded += encoded
        yield
