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
from netc.diagnostics import NetcError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CHECKED = 1 << 28
"""Bytes of the largest file whose structure is checked whenever it is opened."""
_LOCK = threading.Lock()
_OPEN: dict[str, tuple[Any, int]] = {}
"""Open environments and how many stores share each: LMDB forbids opening one twice in a process."""


class LmdbStore:
    """A read-only LMDB, its records in key order; safe to read from many threads.

    Raises NetcError E501 for a path without an LMDB, or with a truncated or damaged one.
    """

    def __init__(self, path: Path, name: str) -> None:
        self.name = name
        self._key = os.path.realpath(path)
        self._environment = _acquire(self._key, name)
        self._release = weakref.finalize(self, _release, self._key)

    def keys(self) -> Iterator[bytes]:
        """Every key, in order. Raises NetcError E501 for a damaged database."""
        try:
            with self._environment.begin() as transaction:
                yield from transaction.cursor().iternext(values=False)
        except lmdb.Error as error:
            raise _damaged(self.name, error) from None

    @contextlib.contextmanager
    def reading(self) -> Iterator[Callable[[bytes], Any]]:
        """`get(key)`, which returns a view, valid until the context ends. Raises NetcError E501 as `keys` does."""
        with self._environment.begin(buffers=True) as transaction:
            fetch = transaction.get

            def get(key: bytes) -> Any:
                try:
                    return fetch(key)
                except lmdb.Error as error:
                    raise _damaged(self.name, error) from None

            yield get

    def check(self) -> None:
        """Check the structure of a large file, which opening it does not. Raises NetcError E501."""
        data = _file(self._key)
        if Path(data).stat().st_size > CHECKED:
            _check(data, self.name)

    def close(self) -> None:
        """Release the environment; the last store closes it."""
        self._release()


def _acquire(path: str, name: str) -> Any:
    with _LOCK:
        environment, users = _OPEN.get(path, (None, 0))
        if environment is None:
            environment = _open(path, name)
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
    return str(Path(path) / "data.mdb") if Path(path).is_dir() else path


def _open(path: str, name: str) -> Any:
    folder, data = Path(path).is_dir(), _file(path)
    if not Path(data).exists():
        raise _missing(path, name, folder)
    try:
        environment = lmdb.open(path, readonly=True, lock=False, subdir=folder, create=False)
    except lmdb.Error as error:
        raise NetcError(f"`{name}` is not an LMDB: {error}", code="E501", field="data_param.source") from None
    needed = (environment.info()["last_pgno"] + 1) * environment.stat()["psize"]
    if Path(data).stat().st_size < needed:  # reading missing pages would end the process with a bus error
        environment.close()
        raise NetcError(
            f"LMDB `{name}` is truncated: {Path(data).stat().st_size} bytes of {needed}",
            code="E501",
            field="data_param.source",
        )
    if Path(data).stat().st_size <= CHECKED:
        try:
            _check(data, name)
        except NetcError:
            environment.close()
            raise
    return environment


def _check(data: str, name: str) -> None:
    """Raises NetcError E501 for damaged pages, on which the library would end the process with a bus error."""
    try:
        check_pages(Path(data))
    except ValueError as error:
        raise _damaged(name, error) from None


def _damaged(name: str, error: Exception) -> NetcError:
    return NetcError(f"LMDB `{name}` is damaged: {error}", code="E501", field="data_param.source")


def _missing(path: str, name: str, folder: bool) -> NetcError:
    if folder and (Path(path) / "CURRENT").exists():
        found, help_text = f"`{name}` is a LevelDB, not an LMDB", "set `backend: LEVELDB`"
        return NetcError(found, code="E501", field="data_param.source", help=help_text)
    found = f"`{name}` is not an LMDB: it has no data.mdb" if folder else f"no database `{name}`"
    return NetcError(found, code="E501", field="data_param.source")
