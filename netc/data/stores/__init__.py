"""Key-value stores: LMDB and LevelDB, read and written."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from netc.data.stores.leveldb import LevelDbStore
from netc.data.stores.lmdb import LmdbStore
from netc.diagnostics import NetcError
from netc.files import is_file, reason_of

if TYPE_CHECKING:
    from netc.data.stores.store import Store


def open_store(path: Path | str) -> Store:
    """The LMDB or LevelDB at a path. Raises NetcError E501 if there is none, E507 for a LevelDB that is in use."""
    folder = Path(path)
    try:
        os.stat(path)  # noqa: PTH116 - for its errors: Path hides that of a name with a NUL
        make = LevelDbStore if is_file(folder / "CURRENT") else LmdbStore
    except FileNotFoundError:
        make = LmdbStore
    except (OSError, ValueError) as error:
        raise NetcError(f"`{path}` cannot be opened: {reason_of(error)}", code="E501") from None
    return make(folder, str(path))
