"""LevelDB as a store of records, read with plyvel through a directory of links.

LevelDB locks and changes every database that it opens: it turns logs into tables and deletes files. Here it opens a
temporary directory of symbolic links to the files of the database, which it only reads, and all that it writes goes
there. Several processes can therefore read one database at a time, even in a read-only directory.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netc.data.stores.leveldb_footer import footer_is_sound
from netc.data.stores.store import FIELD
from netc.data.stores.truncation import MappedFile, TruncationCheck
from netc.diagnostics import NetcError
from netc.extras import import_extra
from netc.files import check_regular, exists, is_file, open_regular, read_bytes, reason_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TABLES = (".ldb", ".sst")
NAME = 1 << 12
"""Limit of the bytes of CURRENT, which holds the name of a file."""
WRITE_BUFFER = 1 << 28
"""Bytes of a log that become one table: as many as Caffe lets a log grow to (`db_leveldb.cpp`)."""


def import_plyvel(feature: str = "a LevelDB") -> Any:
    """The module plyvel. Raises NetcError E633 where it is not installed."""
    return import_extra("plyvel", "leveldb", feature)


class LevelDbStore:
    """A LevelDB, its records in key order; safe to read from many threads.

    Raises NetcError E501 for a path without a LevelDB or with a damaged one, E507 for a LevelDB that another process
    has open, E633 without plyvel.
    """

    def __init__(self, path: Path, name: str) -> None:
        self.name, self._path = name, path
        if not exists(path / "CURRENT"):
            raise _missing(path, name)
        self._plyvel = import_plyvel()
        _check_lock(path / "LOCK", name)
        self._links = Path(tempfile.mkdtemp(prefix="netc-leveldb-"))
        self._unsound: list[str] = []
        try:
            self._link()
            self._truncation = TruncationCheck([*self._tables()])
            self._database = self._open()
        except (OSError, self._plyvel.Error) as error:
            shutil.rmtree(self._links)
            raise self._damaged(error) from None
        self._close = weakref.finalize(self, _close, self._database, self._links)

    def keys(self) -> Iterator[bytes]:
        """Every key, in order; verifies the checksum of each block. Raises NetcError E501 for a damaged one."""
        # The plain iterator of plyvel skips damaged blocks at the start and at the end of a database.
        try:
            with self._database.raw_iterator(verify_checksums=True) as cursor:
                self._truncation.check()
                cursor.seek_to_first()
                while cursor.valid():
                    yield cursor.key()
                    self._truncation.check_at_times()
                    cursor.next()
        except self._plyvel.Error as error:
            raise self._damaged(error) from None

    @contextlib.contextmanager
    def reading(self) -> Iterator[Callable[[bytes], Any]]:
        """`get(key)`. Raises NetcError E501 for a damaged table.

        Checksums are not verified a second time: a key comes from `keys`, which verified the block that holds it.
        """
        fetch, check = self._database.get, self._truncation.check_at_times
        self._truncation.check()

        def get(key: bytes) -> Any:
            check()
            try:
                return fetch(key)
            except self._plyvel.Error as error:
                raise self._damaged(error) from None

        yield get

    def check(self) -> None:
        """Do nothing: `keys` verifies each block."""

    def close(self) -> None:
        """Close the database and remove the links. May be called twice."""
        self._close()

    def _link(self) -> None:
        """Link the files that LevelDB reads, so that it never writes through a link.

        New tables are named `.ldb`, therefore links to tables are named `.sst`, the older name, which LevelDB reads as
        well: the number of a new table may be that of a file that an interrupted process left. Of the manifests, only
        the one in use is linked, for the same reason. A table with a damaged footer is left out, because LevelDB would
        end the process; then it reports a missing table.
        """
        folder = self._path.resolve()
        manifest = read_bytes(folder / "CURRENT", NAME).decode(errors="replace").strip()
        for file in sorted(folder.iterdir()):  # `.ldb` before `.sst`, as LevelDB prefers them
            link = self._links / (f"{file.stem}.sst" if file.suffix in TABLES else file.name)
            if file.suffix in TABLES and not footer_is_sound(file):
                self._unsound.append(file.name)
            elif file.suffix in (*TABLES, ".log") or file.name in ("CURRENT", manifest):
                check_regular(file)
                with contextlib.suppress(FileExistsError):
                    link.symlink_to(file)

    def _tables(self) -> Iterator[MappedFile]:
        for file in self._path.iterdir():
            if file.suffix in TABLES:
                yield MappedFile(str(file), file.stat().st_size, f"table `{file.name}` of LevelDB `{self.name}`")

    def _open(self) -> Any:
        """Open the linked database; `compression` applies to the tables into which its logs are converted."""
        return self._plyvel.DB(
            str(self._links),
            create_if_missing=False,
            paranoid_checks=True,
            write_buffer_size=WRITE_BUFFER,
            compression=None,
        )

    def _damaged(self, error: Exception) -> NetcError:
        reason = reason_of(error)
        notes = [f"the footer of table `{name}` is damaged" for name in self._unsound]
        return NetcError(
            f"LevelDB `{self.name}` cannot be read: {reason.replace(f'{self._links}/', '')}",
            code="E501",
            field=FIELD,
            notes=notes,
        )


def _close(database: Any, links: Path) -> None:
    database.close()
    shutil.rmtree(links, ignore_errors=True)


def _missing(path: Path, name: str) -> NetcError:
    if is_file(path / "data.mdb"):
        found, help_text = f"`{name}` is an LMDB, not a LevelDB", "set `backend: LMDB`"
        return NetcError(found, code="E501", field=FIELD, help=help_text)
    if not exists(path):
        return NetcError(f"no database `{name}`", code="E501", field=FIELD, missing=True)
    return NetcError(f"`{name}` is not a LevelDB: it has no file CURRENT", code="E501", field=FIELD)


def _check_lock(path: Path, name: str) -> None:
    """Raises NetcError E507 where another process holds the lock: it may be moving files."""
    try:
        import fcntl
    except ImportError:  # Windows refuses to open a locked file
        return
    if not is_file(path):
        return
    with open_regular(path) as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            raise NetcError(
                f"LevelDB `{name}` is open in another process",
                code="E507",
                field=FIELD,
                help="end that process, or convert the database to LMDB, which many processes can open",
            ) from None
