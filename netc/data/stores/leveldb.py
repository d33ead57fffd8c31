"""LevelDB as a store of records, read without LevelDB: no lock is taken and nothing is written.

So several processes can read one database, also from a read-only folder, which the original library refuses.
"""

from __future__ import annotations

import contextlib
import functools
import heapq
import struct
from collections.abc import Callable, Iterator
from operator import itemgetter
from pathlib import Path
from typing import Any

from netc.data.stores.leveldb_format import DELETION, Manifest, Table, TableEntry, batch_entries, log_records
from netc.diagnostics import NetcError

FAULTS = (ValueError, IndexError, struct.error)
OPEN_TABLES = 1024
"""Tables whose index is kept in memory."""
BLOCKS = 32
"""Blocks kept unpacked: small records share one."""


class LevelDbStore:
    """A LevelDB, its records in key order; safe to read from many threads.

    Raises NetcError E501 for a path that holds no LevelDB or a damaged one, E507 for one that another process has open.
    """

    def __init__(self, path: Path, name: str) -> None:
        self.name, self._path = name, path
        if not (path / "CURRENT").is_file():
            raise _missing(path, name)
        _check_lock(path / "LOCK", name)
        try:
            manifest = Manifest(path / (path / "CURRENT").read_text().strip())
            if manifest.comparator != b"leveldb.BytewiseComparator":
                raise ValueError(f"its keys are ordered by {manifest.comparator.decode('ascii', 'replace')}")
            self._recent = self._logged(manifest)
        except (OSError, *FAULTS) as error:
            raise self._damaged(error) from None
        self._tables = manifest.tables
        self._levels = self._by_level()
        self._table = functools.lru_cache(OPEN_TABLES)(self._open)
        self._block = functools.lru_cache(BLOCKS)(lambda number, block: self._table(number).block(block))

    def keys(self) -> Iterator[bytes]:
        """Every key, in order. Raises NetcError E501 for a damaged table."""
        last = None
        try:
            for key, _, kind in heapq.merge(*self._streams(), key=itemgetter(0, 1)):
                if key != last and kind != DELETION:
                    yield key
                last = key
        except (OSError, *FAULTS) as error:
            raise self._damaged(error) from None

    @contextlib.contextmanager
    def reading(self) -> Iterator[Callable[[bytes], Any]]:
        """`get(key)`. Raises NetcError E501 for a damaged table."""
        yield self._get

    def check(self) -> None:
        """Nothing: reading looks at each block as it comes."""

    def close(self) -> None:
        """Forget what was read."""
        self._recent = {}
        self._table.cache_clear()
        self._block.cache_clear()

    def _logged(self, manifest: Manifest) -> dict[bytes, TableEntry]:
        """The writes that are in no table yet."""
        found: dict[bytes, TableEntry] = {}
        for path in sorted(self._path.glob("*.log")):
            number = int(path.stem) if path.stem.isdigit() else -1
            if number >= manifest.log_number or number == manifest.previous_log != 0:
                for record in log_records(path):
                    found.update((entry.key, entry) for entry in batch_entries(record))
        return found

    def _by_level(self) -> list[list[int]]:
        """Groups of table numbers, the newest data first: each of level 0 alone, then each level, ordered by keys."""
        zero = sorted((number for level, number in self._tables if level == 0), reverse=True)
        groups = [[number] for number in zero]
        for level in sorted({level for level, _ in self._tables if level}):
            mine = (number for at, number in self._tables if at == level)
            groups.append(sorted(mine, key=lambda number: self._tables[level, number]))
        self._ranges = {number: keys for (_, number), keys in self._tables.items()}
        return groups

    def _open(self, number: int) -> Table:
        for suffix in (".ldb", ".sst"):
            path = self._path / f"{number:06d}{suffix}"
            if path.exists():
                return Table(path)
        raise ValueError(f"table {number:06d} is missing")

    def _streams(self) -> list[Iterator[tuple[bytes, int, int]]]:
        recent = ((e.key, -e.number, e.kind) for e in sorted(self._recent.values(), key=itemgetter(0)))
        return [recent, *(self._stream(group) for group in self._levels)]

    def _stream(self, numbers: list[int]) -> Iterator[tuple[bytes, int, int]]:
        for number in numbers:
            for entry in self._open(number):
                yield entry.key, -entry.number, entry.kind

    def _get(self, key: bytes) -> Any:
        try:
            entry = self._recent.get(key) or self._stored(key)
        except (OSError, *FAULTS) as error:
            raise self._damaged(error) from None
        return None if entry is None or entry.kind == DELETION else entry.value

    def _stored(self, key: bytes) -> TableEntry | None:
        for group in self._levels:
            for number in group:
                first, last = self._ranges[number]
                found = self._find(number, key) if first <= key <= last else None
                if found is not None:
                    return found
        return None

    def _find(self, number: int, key: bytes) -> TableEntry | None:
        table = self._table(number)
        start = table.first_block(key)
        for block in range(start, min(start + 2, len(table.handles))):
            for entry in self._block(number, block):
                if entry.key == key:
                    return entry
        return None

    def _damaged(self, error: BaseException) -> NetcError:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        return NetcError(f"LevelDB `{self.name}` cannot be read: {reason}", code="E501", field="data_param.source")


def _missing(path: Path, name: str) -> NetcError:
    field = "data_param.source"
    if (path / "data.mdb").exists():
        found, help_text = f"`{name}` is an LMDB, not a LevelDB", "set `backend: LMDB`"
        return NetcError(found, code="E501", field=field, help=help_text)
    found = f"`{name}` is no LevelDB: it has no file CURRENT" if path.exists() else f"no database `{name}`"
    return NetcError(found, code="E501", field=field)


def _check_lock(path: Path, name: str) -> None:
    """A process that has it open may be moving its files."""
    try:
        import fcntl
    except ImportError:  # Windows keeps others from opening a locked file by itself
        return
    if not path.exists():
        return
    with path.open("rb") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            raise NetcError(
                f"LevelDB `{name}` is open in another process",
                code="E507",
                field="data_param.source",
                help="end that process, or convert the database to LMDB, which many can read",
            ) from None
