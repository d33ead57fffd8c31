"""Key-value stores: LMDB and LevelDB, read and written."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from netc.data.stores.leveldb import LevelDbStore
from netc.data.stores.lmdb import LmdbStore

if TYPE_CHECKING:
    from netc.data.stores.store import Store


def open_store(path: Path | str) -> Store:
    """The LMDB or LevelDB at a path. Raises NetcError E501 if there is none, E507 for a LevelDB that is in use."""
    folder = Path(path)
    make = LevelDbStore if (folder / "CURRENT").is_file() else LmdbStore
    return make(folder, str(path))
