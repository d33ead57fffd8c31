"""HDF5Data: rows of datasets from a list of files (`hdf5_data_layer.cpp`)."""

from __future__ import annotations

import contextlib
import itertools
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import h5py
import numpy as np
import numpy.typing as npt

from netc.data.batch import Allocate, Array, Batch, Shape
from netc.data.pipeline.prefetch import PrefetchingSource
from netc.data.records import MAX_SKIPS
from netc.data.sources.image_list import read_text
from netc.diagnostics import Diagnostic, NetcError
from netc.files import check_regular, exists, reason_of
from netc.weights.hdf5_file import stored_dataset

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from concurrent.futures import Executor, Future

    from netc.data.accepted_labels import AcceptedLabels
    from netc.data.pipeline.sampling import Numbers, Sampler
    from netc.paths import ResolvePath

FIELD = "hdf5_data_param.source"
WHOLE = 1 << 28
"""Bytes of the largest file that is read at once; of a larger one only the rows of a batch are read."""
AHEAD = 2
"""Batches read ahead."""


class Hdf5Parameters(Protocol):
    """The parameters of a layer that describe its files."""

    @property
    def source(self) -> str: ...
    @property
    def batch_size(self) -> int: ...


class Hdf5Files:
    """The rows of all files, numbered consecutively; a top is the dataset of its name.

    Raises NetcError E501 for a list or file that cannot be read, E502 if there are no rows, E508 for each file whose
    datasets are missing, are not numeric, differ in length, or differ in shape from those of the first file, E405 and
    E406 for datasets that are in another file or would expand without limit.
    """

    def __init__(self, parameters: Hdf5Parameters, tops: Sequence[str], resolve: ResolvePath) -> None:
        self.name, self.tops = parameters.source, tuple(tops)
        path = resolve(parameters.source)
        self.files = [_located(n, path, resolve) for n in read_text(path, self.name, FIELD).split()]
        self._counts = self._check()
        self._starts = np.concatenate([[0], np.cumsum(self._counts)]).astype(np.int64)
        self._loaded: tuple[int, list[Array]] | None = None
        if not self._starts[-1]:
            raise NetcError(f"the files of `{self.name}` hold no rows", code="E502", field=FIELD)

    def permute(self, random: np.random.Generator) -> npt.NDArray[np.int64]:
        """Files in a random order, rows in a random order within each."""
        order = random.permutation(len(self.files))
        return np.concatenate([self._starts[i] + random.permutation(self._counts[i]) for i in order])

    def describe(self, index: int) -> str:
        """A row, for a message."""
        index %= int(self._starts[-1])
        owner = int(np.searchsorted(self._starts, index, side="right")) - 1
        return f"row {index - int(self._starts[owner])} of `{self.files[owner]}`"

    def rows(self, indices: Numbers) -> tuple[Array, ...]:
        """The rows of a batch for each top, float32; indices past the end wrap around. Raises NetcError E501."""
        indices = indices % self._starts[-1]
        owners = np.searchsorted(self._starts, indices, side="right") - 1
        tops = [np.empty((len(indices), *shape), np.float32) for shape in self.shapes]
        edges = [0, *(np.flatnonzero(np.diff(owners)) + 1).tolist(), len(indices)]
        for low, high in itertools.pairwise(edges):
            owner = int(owners[low])
            self._copy(owner, indices[low:high] - self._starts[owner], [top[low:high] for top in tops])
        return tuple(tops)

    def _copy(self, owner: int, rows: Numbers, targets: list[Array]) -> None:
        if self._loaded is not None and self._loaded[0] == owner:
            for target, data in zip(targets, self._loaded[1]):
                target[...] = data[rows]
            return
        path = self.files[owner]
        with self._reading(path) as file:
            sets = [self._find(file, path, top) for top in self.tops]
            if sum(s.size * s.dtype.itemsize for s in sets) <= WHOLE:
                self._loaded = owner, [s[...] for s in sets]
                self._copy(owner, rows, targets)
                return
            unique, places = np.unique(rows, return_inverse=True)
            whole = slice(int(unique[0]), int(unique[-1]) + 1)
            run = whole if len(unique) == whole.stop - whole.start else unique
            for target, dataset in zip(targets, sets):
                target[...] = dataset[run][places]

    @contextlib.contextmanager
    def _reading(self, path: Path) -> Iterator[Any]:
        """The open file. Raises NetcError E501 for one that cannot be opened, or not be read where it is damaged."""
        try:
            check_regular(path)
        except OSError as error:
            raise self._unreadable(path, reason_of(error), missing=isinstance(error, FileNotFoundError)) from None
        reason = "it is not an HDF5 file, or is damaged"
        try:
            with h5py.File(path, "r") as file:
                reason = "it is damaged, or was changed"
                yield file
        except NetcError:
            raise
        except (OSError, RuntimeError, KeyError) as error:  # what h5py raises for errors of HDF5
            raise self._unreadable(path, reason, str(error)) from None

    def _unreadable(self, path: Path, reason: str, *notes: str, missing: bool = False) -> NetcError:
        what = f"`{path}` of `{self.name}` cannot be read: {reason}"
        return NetcError(what, code="E501", field=FIELD, notes=notes, missing=missing)

    def _check(self) -> list[int]:
        found: list[Diagnostic] = []
        counts: list[int] = []
        self.shapes: tuple[Shape, ...] = ()
        for path in self.files:
            try:
                with self._reading(path) as file:
                    shapes = [self._shape(file, path, top) for top in self.tops]
                counts.append(self._count(path, shapes))
            except NetcError as error:
                found += [replace(d, field=FIELD) for d in error.diagnostics]
        if found:
            raise NetcError(found)
        return counts

    def _find(self, file: Any, path: Path, top: str) -> Any:
        """The dataset of a top. Raises NetcError E508 if there is none."""
        try:
            if (found := stored_dataset(file, top)) is not None:
                return found
        except NetcError as error:
            raise error.at(None, f"in `{path}` of `{self.name}`") from None
        names = ", ".join(f"`{name}`" for name in list(file)[:8]) or "nothing"
        raise NetcError(f"`{path}` has no dataset `{top}`", code="E508", notes=[f"it contains {names}"])

    def _shape(self, file: Any, path: Path, top: str) -> Shape:
        dataset = self._find(file, path, top)
        if dataset.dtype.kind not in "fiu" or not dataset.shape:
            what = f"{dataset.dtype}" if dataset.shape else "a single value"
            raise NetcError(f"dataset `{top}` of `{path}` holds {what}, not rows of numbers", code="E508")
        return tuple(map(int, dataset.shape))

    def _count(self, path: Path, shapes: list[Shape]) -> int:
        if any(shape[0] != shapes[0][0] for shape in shapes):
            lengths = ", ".join(f"`{top}` {shape[0]}" for top, shape in zip(self.tops, shapes))
            raise NetcError(f"the datasets of `{path}` differ in length: {lengths}", code="E508")
        rows = tuple(shape[1:] for shape in shapes)
        self.shapes = self.shapes or rows
        if rows != self.shapes:
            expected, found = (", ".join("x".join(map(str, s)) or "1" for s in r) for r in (self.shapes, rows))
            raise NetcError(f"rows of `{path}` are {found}; those of the first file are {expected}", code="E508")
        return shapes[0][0]


class Hdf5Source(PrefetchingSource["PendingRows"]):
    """Batches of rows; see `BatchSource`. One thread reads ahead, because the HDF5 library does not support more."""

    normalization = None

    def __init__(
        self, files: Hdf5Files, sampler: Sampler, batch_size: int, accepted: AcceptedLabels | None = None
    ) -> None:
        super().__init__(files.name, sampler, batch_size, files.shapes, prefetch=AHEAD, threads=1)
        self.files, self.accepted = files, accepted
        self.skipped: dict[str, NetcError] = {}
        """Rows with labels that are not `accepted`; a file is readable as a whole or not at all."""

    def configure(self, allocate: Allocate, normalize_on_host: bool) -> None:
        """See BatchSource; rows need neither."""

    def start_batch(self, pool: Executor, position: int) -> PendingRows:
        """Start to read the rows of a batch."""
        indices = self.sampler.indices(self.sampler.numbers(position, self.batch_size))
        return PendingRows(pool.submit(self._accepted_rows, indices))

    def _accepted_rows(self, indices: Numbers) -> tuple[Array, ...]:
        """Rows; the next ones with accepted labels replace others. Raises NetcError E301 if there are none."""
        tops = self.files.rows(indices)
        if self.accepted is None:
            return tops
        for _ in range(MAX_SKIPS):
            bad = ~self.accepted.each(tops[1])
            if not bad.any():
                return tops
            for index in indices[bad].tolist():
                what = self.files.describe(index)
                self.skipped[what] = NetcError(f"{what}: label outside {self.accepted}", code="E301")
            indices = np.where(bad, indices + 1, indices)
            for top, row in zip(tops, self.files.rows(indices[bad])):
                top[bad] = row
        raise self.skipped[what]


class PendingRows:
    """A batch of rows that is being read."""

    def __init__(self, future: Future[tuple[Array, ...]]) -> None:
        self._future = future
        self.cancel = future.cancel

    def result(self) -> Batch:
        """Wait for the batch. Raises NetcError E501 where a file can no longer be read."""
        return Batch(self._future.result())


def _located(name: str, list_path: Path, resolve: ResolvePath) -> Path:
    """A file of the list: in the working directory, in the directory of the list, or where `resolve` finds it."""
    for path in (Path(name), list_path.parent / name):
        if exists(path):
            return path
    return resolve(name)
