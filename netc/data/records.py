"""Records by index, from which batches are assembled: the interface of databases, image lists and window files."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from netc.data.batch import Shape
from netc.diagnostics import NetcError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    import numpy.typing as npt

    from netc.data.images import Image

EXAMINED = 9
"""Number of good records that determine the expected shape if bad ones are skipped."""
MAX_SKIPS = 1000
"""Consecutive bad records after which skipping gives up."""


class Record(NamedTuple):
    """One record, before the transform."""

    image: Image
    """Planes (c, h, w), uint8 or float32."""
    label: Any
    """A number, an array where a record has several, or a label map (1, h, w)."""
    valid: tuple[int, int, int, int] | None = None
    """Top, left, bottom and right of the image within padding; None without padding."""
    more: tuple[Any, ...] = ()
    """Arrays for the tops after the label."""


class RecordBatch(NamedTuple):
    """Several records of one shape."""

    images: Image
    """Planes (n, c, h, w), uint8, owned by the caller."""
    labels: list[int]


Read = Callable[[int], Record]


class Records(Protocol):
    """Records by index, safe to read from many threads. Readers raise NetcError E503 to E505."""

    name: str

    def shapes(self, index: int = 0) -> tuple[Shape, ...]:
        """Shapes of a record: planes (c, h, w), then label, then those of further tops."""

    def permute(self, random: np.random.Generator) -> npt.NDArray[np.int64]:
        """A random order of all records."""

    def describe(self, index: int) -> str:
        """A record by name, for a message."""

    def next_index(self, index: int) -> int:
        """The record that replaces one that cannot be read."""

    def reading(self) -> contextlib.AbstractContextManager[Read]:
        """`read(index)`, whose arrays are valid until the context ends; an index past the end wraps around."""

    def read_many(self, indices: list[int]) -> RecordBatch | None:
        """Several records at once; None if they must be read one by one, also to report what is wrong with one."""

    def close(self) -> None:
        """Release files and environments."""


class UnbatchedRecords:
    """The part of `Records` of sources whose records are image files, each decoded separately."""

    def read(self, index: int) -> Record:
        """One record. Raises NetcError E503 to E509."""
        raise NotImplementedError

    @contextlib.contextmanager
    def reading(self) -> Iterator[Read]:
        """See Records."""
        yield self.read

    def read_many(self, indices: list[int]) -> RecordBatch | None:
        """None: each image is decoded separately."""
        return None


def first_shapes(records: Records, skip_bad: bool = False) -> tuple[Shape, ...]:
    """Shapes of the first record, or with `skip_bad` those that most of the first good ones have.

    Raises NetcError E503 to E505 if no record is good.
    """
    if not skip_bad:
        return records.shapes()
    index, found = 0, Counter[tuple[Shape, ...]]()
    for _ in range(MAX_SKIPS):
        try:
            found[records.shapes(index)] += 1
        except NetcError as error:
            last = error
        if found.total() == EXAMINED:
            break
        index = records.next_index(index)
    if not found:
        raise last
    return found.most_common(1)[0][0]
