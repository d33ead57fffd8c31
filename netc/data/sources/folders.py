"""Records whose parts are files of one name in several folders: the data sets of fully convolutional networks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from netc.data import images
from netc.data.batch import Batch
from netc.data.label_map import decode_indices
from netc.data.matlab import read_variable
from netc.data.pipeline.prefetch import PrefetchingSource
from netc.data.pipeline.sampling import Numbers, Sampler, draws
from netc.data.records import MAX_SKIPS
from netc.data.sources.image_list import read_text
from netc.diagnostics import NetcError
from netc.files import reason_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor, Future

    from netc.data.accepted_labels import AcceptedLabels
    from netc.data.batch import Allocate, Array
    from netc.ir.folder_contents import FolderContent
    from netc.paths import ResolvePath

FIELD = "python_param.param_str"
WHOLE = ("E501", "E633")
"""Codes of errors that concern the source, not one record."""
LARGEST_CLASS = 1 << 16
"""Limit of the classes of a label map."""
VOID = 255


class FolderParameters(Protocol):
    """The parameters of a layer that describe its folders; see FcnData."""

    @property
    def source(self) -> str: ...
    @property
    def contents(self) -> tuple[FolderContent, ...]: ...


@dataclass
class DrawingSampler(Sampler):
    """Draws records at random, with replacement."""

    count: int = 0
    """Number of records."""

    def indices(self, numbers: Numbers) -> Numbers:
        """The records of some numbers."""
        drawn = draws(self.seed, numbers.ravel())[:, 0] % np.uint64(self.count)
        return drawn.astype(np.int64).reshape(numbers.shape)


class FolderRecords:
    """The records that a list names, one per line.

    Raises NetcError E501 for a list or the names of classes that cannot be read, E502 for an empty list, E506 for bad
    names of classes.
    """

    def __init__(self, parameters: FolderParameters, resolve: ResolvePath) -> None:
        self.name, self._resolve = parameters.source, resolve
        text = read_text(resolve(self.name), self.name, FIELD)
        self.names = [line.strip() for line in text.split("\n") if line.strip()]
        if not self.names:
            raise NetcError(f"list `{self.name}` is empty", code="E502", field=FIELD)
        self._readers = [(content, self._reader(content)) for content in parameters.contents]

    def __len__(self) -> int:
        """Number of records."""
        return len(self.names)

    def describe(self, index: int) -> str:
        """The record, for a message."""
        return f"`{self.names[index % len(self)]}` of `{self.name}`"

    def read(self, index: int) -> tuple[Array, ...]:
        """The tops of a record (1, c, h, w). Raises NetcError E504 for a file that is missing or cannot be read."""
        return tuple(self._read(self.names[index % len(self)], *reader) for reader in self._readers)

    def _read(self, name: str, content: FolderContent, read: Callable[[bytes], Array]) -> Array:
        path = content.path.replace("{}", name)
        try:
            return np.ascontiguousarray(read(images.read((Path(path), self._resolve(path))))[None], np.float32)
        except NetcError:  # SciPy is missing
            raise
        except (OSError, ValueError) as error:
            raise NetcError(f"`{path}`: {reason_of(error)}", code="E504", field=FIELD) from None

    def _reader(self, content: FolderContent) -> Callable[[bytes], Array]:
        """The function that turns the bytes of a file into planes (c, h, w)."""
        if content.content == "mat":
            table = None if content.classes is None else self._class_table(*content.classes)
            return lambda data: mat_labels(read_variable(data, content.variable), content.from_one, table)
        if content.content == "indices":
            return lambda data: decode_indices(memoryview(data))
        return lambda data: _image(data, content)

    def _class_table(self, source: str, target: str) -> Array:
        """The class of a top for each class of the label maps: 0 for those that it does not have."""
        known, wanted = (_class_names(self._resolve(path), path) for path in (source, target))
        table = np.zeros(LARGEST_CLASS, np.uint8)
        for number, name in enumerate(wanted, 1):
            name = RENAMED.get(name, name)
            if name not in known:
                raise NetcError(f"class `{name}` of `{target}` is not in `{source}`", code="E506", field=FIELD)
            table[known.index(name) + 1] = number
        return table


RENAMED = {"diningtable": "table", "bedcloth": "bedclothes", "clothes": "cloth"}
"""Classes of PASCAL-Context with one name among the 59 and another among all."""


def _class_names(path: Path, name: str) -> list[str]:
    lines = [line for line in read_text(path, name, FIELD).split("\n") if line.strip()]
    found = [line.partition(":")[2].replace(" ", "") for line in lines]
    if not all(found) or len(found) >= LARGEST_CLASS:
        raise NetcError(f"`{name}` is not a list of classes, `number: name` per line", code="E506", field=FIELD)
    return found


def _image(data: bytes, content: FolderContent) -> Array:
    """An image minus its mean (c, h, w); depths as logarithms."""
    if content.content == "log depth":
        with np.errstate(divide="ignore"):  # a depth of 0 is -inf, as in the original
            planes = np.log(images.decode_deep(memoryview(data)).astype(np.float32))
    else:
        planes = images.decode(memoryview(data), images.IMREAD_COLOR)
        planes = planes[::-1] if content.content == "planes" else planes
    centered: Array = planes - np.array(content.mean).reshape(-1, 1, 1)
    return centered


def mat_labels(labels: Array, from_one: bool, table: Array | None) -> Array:
    """The label map (1, h, w) of a variable. Raises ValueError for an array that is not one.

    >>> mat_labels(np.array([[-1, 0, 1, 33]]), True, None).tolist()
    [[[255, 255, 0, 32]]]
    """
    if labels.ndim != 2 or not labels.size:
        raise ValueError(f"a label map has two axes, found {labels.ndim}")
    if not (labels < (LARGEST_CLASS if table is not None else VOID + 1)).all() or not (labels >= -1).all():
        raise ValueError(f"the label map has values outside 0 to {VOID}")
    whole = labels.astype(np.int64)
    if table is not None:
        whole = table[whole]
    return np.where(whole <= 0, VOID, whole - 1)[None] if from_one else whole[None]


class FolderSource(PrefetchingSource["PendingRecord"]):
    """Records of folders, one per batch; see `BatchSource`."""

    normalization = None

    def __init__(
        self, records: FolderRecords, sampler: Sampler, accepted: AcceptedLabels | None, skip_bad: bool
    ) -> None:
        self.records, self.accepted = records, accepted if skip_bad else None
        self.skipped: dict[str, NetcError] = {}
        self._attempts = MAX_SKIPS if skip_bad else 1
        shapes = tuple(top.shape[1:] for top in self._read(0))
        super().__init__(records.name, sampler, 1, shapes, prefetch=4, threads=2)

    def configure(self, allocate: Allocate, normalize_on_host: bool) -> None:
        """See BatchSource; the threads normalize."""

    def start_batch(self, pool: Executor, position: int) -> PendingRecord:
        """Start to read a record."""
        (index,) = self.sampler.indices(self.sampler.numbers(position, 1)).tolist()
        return PendingRecord(pool.submit(self._read, index))

    def _read(self, index: int) -> tuple[Array, ...]:
        """A record, or with `skip_bad` the next usable one."""
        for attempt in range(1, self._attempts + 1):
            try:
                return self._accepted(index)
            except NetcError as error:
                if attempt == self._attempts or error.diagnostics[0].code in WHOLE:
                    raise
                self.skipped[self.records.describe(index)] = error
                index += 1
        raise AssertionError

    def _accepted(self, index: int) -> tuple[Array, ...]:
        tops = self.records.read(index)
        if self.accepted is not None and not self.accepted(tops[1]):
            what = (
                f"{self.records.describe(index)}: label outside {self.accepted}: {self.accepted.first_bad(tops[1]):g}"
            )
            raise NetcError(what, code="E301")
        return tops


class PendingRecord:
    """A record that is being read."""

    def __init__(self, future: Future[tuple[Array, ...]]) -> None:
        self._future = future
        self.cancel = future.cancel

    def result(self) -> Batch:
        """Wait for the record. Raises NetcError for one that cannot be read."""
        return Batch(self._future.result())
