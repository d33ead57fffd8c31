"""Databases opened by what they are."""

from __future__ import annotations

from pathlib import Path

from netc.data.sources.database import DatumRecords, Store
from netc.data.stores.leveldb import LevelDbStore
from netc.data.stores.lmdb import LmdbStore


def open_store(path: Path | str) -> Store:
    """The LMDB or LevelDB at a path. Raises NetcError E501 where there is none, E507 for a LevelDB that is in use."""
    folder = Path(path)
    make = LevelDbStore if (folder / "CURRENT").is_file() else LmdbStore
    return make(folder, str(path))


def open_records(path: Path | str) -> DatumRecords:
    """The records of a database, pictures decoded as they are. Raises NetcError E501, E507, E502 for an empty one."""
    return DatumRecords(open_store(path))
