"""LMDB as a store of records; all stores of one database in a process share its environment."""

from __future__ import annotations

import contextlib
import os
import threading
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lmdb

from netc.data.stores.lmdb_pages import check_pages
from netc.data.stores.store import FIELD
from netc.data.stores.truncation import MappedFile, TruncationCheck
from netc.diagnostics import NetcError
from netc.files import check_regular, exists, is_folder, open_regular, reason_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CHECKED = 1 << 28
"""Bytes of the largest file whose structure is checked whenever it is opened."""
_LOCK = threading.Lock()
_OPEN: dict[str, tuple[_Environment, int]] = {}
"""Open environments and how many stores share each: LMDB forbids opening one twice in a process."""


class LmdbStore:
    """A read-only LMDB, its records in key order; safe to read from many threads.

    Raises NetcError E501 for a path without an LMDB, with a truncated or damaged one, or with one that the process has
    opened elsewhere.
    """

    def __init__(self, path: Path, name: str) -> None:
        self.name = name
        try:
            self._key = os.path.realpath(path)
        except ValueError:  # a name with a NUL
            raise _missing(str(path), name) from None
        self._environment = _acquire(self._key, name)
        self._release = weakref.finalize(self, _release, self._key)
        self._truncation = TruncationCheck([self._environment.mapped(name)])

    def keys(self) -> Iterator[bytes]:
        """Every key, in order. Raises NetcError E501 for a damaged or truncated database."""
        try:
            with self._begin() as transaction:
                for key in transaction.cursor().iternext(values=False):
                    yield key
                    self._truncation.check_at_times()
        except lmdb.Error as error:
            raise _damaged(self.name, error) from None

    @contextlib.contextmanager
    def reading(self) -> Iterator[Callable[[bytes], Any]]:
        """`get(key)`, which returns a view, valid until the context ends. Raises NetcError E501 as `keys` does."""
        check = self._truncation.check_at_times
        with self._begin(buffers=True) as transaction:
            fetch = transaction.get

            def get(key: bytes) -> Any:
                check()
                try:
                    return fetch(key)
                except lmdb.Error as error:
                    raise _damaged(self.name, error) from None

            yield get

    def check(self) -> None:
        """Check the structure of a large file, which opening it does not. Raises NetcError E501."""
        data = _file(self._key)
        if check_regular(data) > CHECKED:
            _check(data, self.name)

    def close(self) -> None:
        """Release the environment; the last store closes it."""
        self._release()

    def _begin(self, buffers: bool = False) -> Any:
        self._truncation.check()
        return self._environment.database.begin(buffers=buffers)


class _Environment:
    """An open database with its file, of which another may have taken the name since."""

    def __init__(self, path: str, name: str) -> None:
        with open_regular(_file(path)) as file:
            self.database = _opened(path, name)
            try:
                self._needed = (self.database.info()["last_pgno"] + 1) * self.database.stat()["psize"]
                self._file = os.dup(file.fileno())
            except BaseException:
                self.database.close()
                raise

    def mapped(self, name: str) -> MappedFile:
        """The file, up to the last page that the database uses."""
        return MappedFile(self._file, self._needed, f"LMDB `{name}`")

    def close(self) -> None:
        """Close the database and its file."""
        self.database.close()
        os.close(self._file)


def _acquire(path: str, name: str) -> _Environment:
    with _LOCK:
        environment, users = _OPEN.get(path) or (_open(path, name), 0)
        _OPEN[path] = (environment, users + 1)
        return environment


def _release(path: str) -> None:
    with _LOCK:
        environment, users = _OPEN.pop(path)
        if users > 1:
            _OPEN[path] = (environment, users - 1)
        else:
            environment.close()


def _file(path: str) -> str:
    """The file of an LMDB, which may be given as its directory."""
    return str(Path(path) / "data.mdb") if is_folder(path) else path


def _open(path: str, name: str) -> _Environment:
    data = _file(path)
    if not exists(data):
        raise _missing(path, name)
    try:
        environment = _Environment(path, name)
    except NetcError:
        raise
    except OSError as error:
        raise NetcError(f"`{name}` is not an LMDB: {reason_of(error)}", code="E501", field=FIELD) from None
    try:
        TruncationCheck([environment.mapped(name)]).check()
        if check_regular(data) <= CHECKED:
            _check(data, name)
    except BaseException:
        environment.close()
        raise
    return environment


def _opened(path: str, name: str) -> Any:
    try:
        return lmdb.open(os.fsencode(path), readonly=True, lock=False, subdir=is_folder(path), create=False)
    except lmdb.Error as error:
        if "already open" in str(error):
            raise NetcError(
                f"LMDB `{name}` is already open in this process",
                code="E501",
                field=FIELD,
                help="close it: LMDB can open a database only once in a process",
            ) from None
        raise NetcError(f"`{name}` is not an LMDB: {error}", code="E501", field=FIELD) from None


def _check(data: str, name: str) -> None:
    """Raises NetcError E501 for damaged pages, on which the library would end the process with a bus error."""
    try:
        check_pages(Path(data))
    except ValueError as error:
        raise _damaged(name, error) from None


def _damaged(name: str, error: Exception) -> NetcError:
    return NetcError(f"LMDB `{name}` is damaged: {error}", code="E501", field=FIELD)


def _missing(path: str, name: str) -> NetcError:
    folder = is_folder(path)
    if folder and exists(Path(path) / "CURRENT"):
        found, help_text = f"`{name}` is a LevelDB, not an LMDB", "set `backend: LEVELDB`"
        return NetcError(found, code="E501", field=FIELD, help=help_text)
    if not folder:
        return NetcError(f"no database `{name}`", code="E501", field=FIELD, missing=True)
    return NetcError(f"`{name}` is not an LMDB: it has no data.mdb", code="E501", field=FIELD)
