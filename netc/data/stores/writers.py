"""Writes new LMDB and LevelDB databases, which appear under their name when they are complete."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import lmdb

from netc.data.stores.leveldb import import_plyvel
from netc.diagnostics import NetcError, did_you_mean
from netc.files import reason_of
from netc.weights import check_output

COMMIT = 1000
"""Records per transaction, as in Caffe's tools."""
COMMIT_BYTES = 1 << 26
"""Bytes per transaction: what is not committed stays in memory."""
MAP_SIZE = 1 << 40
"""Address space that an LMDB may use (`db_lmdb.cpp`); the file is as large as its content."""

Put = Callable[[bytes, bytes], None]
"""`put(key, value)`: keys must be in ascending order."""


class Writer(Protocol):
    """Writes a database into an empty directory."""

    def put(self, key: bytes, value: bytes) -> None:
        """Write a record. Raises ValueError, lmdb.Error or OSError."""

    def close(self) -> None:
        """Complete the database."""

    def abandon(self) -> None:
        """Release files without completing the database."""


class LmdbWriter:
    """Writes an LMDB; its lock file is removed, because readers of a complete database do not need it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._environment = lmdb.open(os.fsencode(folder), map_size=MAP_SIZE, sync=False, metasync=False)
        self._batch: list[tuple[bytes, bytes]] = []
        self._bytes = 0

    def put(self, key: bytes, value: bytes) -> None:
        """See Writer."""
        self._batch.append((key, value))
        self._bytes += len(value)
        if len(self._batch) == COMMIT or self._bytes >= COMMIT_BYTES:
            self._commit()

    def close(self) -> None:
        """See Writer."""
        self._commit()
        self._environment.sync(True)
        self.abandon()
        (self._folder / "lock.mdb").unlink(missing_ok=True)

    def abandon(self) -> None:
        """See Writer."""
        self._environment.close()

    def _commit(self) -> None:
        with self._environment.begin(write=True) as transaction:
            for key, value in self._batch:
                if not transaction.put(key, value, append=True):
                    raise ValueError(f"key {key!r} already exists")
        self._batch, self._bytes = [], 0


class LevelDbWriter:
    """Writes a LevelDB with the settings of Caffe (`db_leveldb.cpp`)."""

    def __init__(self, folder: Path) -> None:
        self._database = import_plyvel("writing a LevelDB").DB(
            os.fsencode(folder),
            create_if_missing=True,
            error_if_exists=True,
            max_open_files=100,
            block_size=1 << 16,
            write_buffer_size=1 << 28,
        )
        self._batch = self._database.write_batch()
        self._last: bytes | None = None
        self._bytes = self._count = 0

    def put(self, key: bytes, value: bytes) -> None:
        """See Writer."""
        if self._last is not None and key <= self._last:
            raise ValueError(f"key {key!r} does not come after {self._last!r}")
        self._batch.put(key, value)
        self._last, self._count, self._bytes = key, self._count + 1, self._bytes + len(value)
        if self._count == COMMIT or self._bytes >= COMMIT_BYTES:
            self._commit()

    def close(self) -> None:
        """See Writer."""
        self._commit()
        # An empty range: turns the log into a table, so that readers need not do it whenever they open the database.
        self._database.compact_range(start=b"", stop=b"")
        self.abandon()

    def abandon(self) -> None:
        """See Writer."""
        self._database.close()

    def _commit(self) -> None:
        self._batch.write()
        self._batch.clear()
        self._bytes = self._count = 0


WRITERS: dict[str, Callable[[Path], Writer]] = {"lmdb": LmdbWriter, "leveldb": LevelDbWriter}


@contextlib.contextmanager
def new_database(out: Path | str, backend: str = "lmdb") -> Iterator[Put]:
    """A database that appears under the name `out` when the block ends without an error; yields its `put`.

    Until then it is written in a hidden directory next to `out`, which is removed in any case. Raises NetcError
    E511 if `out` exists or cannot be written, E512 for a backend other than `lmdb` and `leveldb`.
    """
    target = checked_target(out, backend)
    with _reported(out):
        work = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
        (work / "database").mkdir()  # with the permissions that the umask allows
    try:
        yield from _written(work / "database", target, backend)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def checked_target(out: Path | str, backend: str = "lmdb") -> Path:
    """The path of a new database, which may end in a slash.

    Raises NetcError E511 if it exists, E512 for an unknown backend, E408 for a name that no file may have.
    """
    if backend not in WRITERS:
        raise NetcError(
            f"unknown backend `{backend}`: expected `lmdb` or `leveldb`",
            code="E512",
            help=did_you_mean(backend, WRITERS),
        )
    target = check_output(os.fspath(out).rstrip("/") or os.fspath(out))
    if os.path.lexists(target):
        raise NetcError(f"`{out}` already exists", code="E511", help="remove it, or choose another name")
    return target


def _written(folder: Path, target: Path, backend: str) -> Iterator[Put]:
    with _reported(target):
        writer = WRITERS[backend](folder)

    def put(key: bytes, value: bytes) -> None:
        with _reported(target):
            writer.put(key, value)

    try:
        yield put
        with _reported(target):
            writer.close()
            Path(folder).rename(target)
    except BaseException:
        writer.abandon()
        raise


@contextlib.contextmanager
def _reported(out: Path | str) -> Iterator[None]:
    """Turns system errors into NetcError E511."""
    try:
        yield
    except NetcError:
        raise
    except (OSError, lmdb.Error) as error:
        raise NetcError(f"`{out}` cannot be written: {reason_of(error)}", code="E511") from None
