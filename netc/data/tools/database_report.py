"""What a database holds, and what is wrong in it."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from netc.data.pipeline.ordered_threads import decoded
from netc.data.source import Record, Shape
from netc.data.sources.database import DatumRecords
from netc.data.stores import open_records
from netc.data.tools.mnist_and_cifar import Tell, nobody
from netc.diagnostics import Diagnostic, NetcError


@dataclass
class DatabaseReport:
    """What the records of a database are like."""

    name: str
    backend: str
    records: int
    """All of them, looked at or not."""
    bytes: int
    """Of all values, in the records looked at."""
    encoded: int = 0
    """Records that hold a compressed picture."""
    shapes: Counter[Shape] = field(default_factory=Counter)
    """Planes, height, width of the pictures."""
    labels: Counter[int] = field(default_factory=Counter)
    floats: int = 0
    """Records that hold floats."""
    faults: list[Diagnostic] = field(default_factory=list)
    """What is wrong, a finding a record."""

    @property
    def looked_at(self) -> int:
        """Records that were read, faulty ones among them."""
        return sum(self.shapes.values()) + len(self.faults)


def survey(
    database: Path | str, *, limit: int | None = None, threads: int | None = None, tell: Tell = nobody
) -> DatabaseReport:
    """Look at every record of a database, or at the first `limit`, decoding each picture.

    A record that cannot be read is a fault of the survey. Raises NetcError E501, E502, E507 for the database itself.
    """
    with contextlib.closing(open_records(database)) as records:
        records.store.check()
        total = len(records)
        backend = "LevelDB" if (Path(database) / "CURRENT").is_file() else "LMDB"
        found = DatabaseReport(str(database), backend, total, 0)
        looked = total if limit is None else min(limit, total)
        plain = _plain_facts(records, found, looked)
        for done, record in enumerate(decoded(records, looked, threads)):
            next(plain)
            tell(done + 1, looked)
            _count(found, record)
        return found


def _count(found: DatabaseReport, record: Record | NetcError) -> None:
    if isinstance(record, NetcError):
        found.faults += record.diagnostics
        return
    shape: Shape = record.image.shape
    found.shapes[shape] += 1
    found.labels[int(record.label)] += 1
    found.floats += record.image.dtype == np.float32


def _plain_facts(records: DatumRecords, found: DatabaseReport, count: int) -> Iterator[None]:
    """Count, record by record, what can be told without decoding."""
    for index in range(count):
        size, encoded = records.packing(index)
        found.bytes += size
        found.encoded += encoded
        yield
