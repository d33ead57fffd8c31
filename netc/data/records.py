"""Records by index, which batches are made of: the contract of databases, image lists and window files."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from netc.data.batch import Shape
from netc.data.images import Image
from netc.diagnostics import NetcError

EXAMINED = 9
"""Good records that tell the usual size of images, where others are skipped."""
MAX_SKIPS = 1000
"""Bad records in a row after which skipping gives up: nothing is good there."""


class Record(NamedTuple):
    """One record, before the transform."""

    image: Image
    """Planes (c, h, w), uint8 or float32."""
    label: Any
    """A number, or an array where a record has several."""
    valid: tuple[int, int, int, int] | None = None
    """Top, left, bottom and right of the part that is image; the rest is padding. None: all of it is."""


class RecordBatch(NamedTuple):
    """Records that are alike."""

    images: Image
    """Planes (n, c, h, w), uint8, of the caller's own."""
    labels: list[int]


Read = Callable[[int], Record]


class Records(Protocol):
    """Records by index, safe to read from many threads. Readers raise NetcError E503 to E505."""

    name: str

    def shapes(self, index: int = 0) -> tuple[Shape, ...]:
        """Shapes of a record: planes (c, h, w), then label."""

    def permute(self, random: np.random.Generator) -> npt.NDArray[np.int64]:
        """A random order of all records."""

    def describe(self, index: int) -> str:
        """A record by name, for a message."""

    def next_index(self, index: int) -> int:
        """The record that stands in for one that cannot be read."""

    def reading(self) -> contextlib.AbstractContextManager[Read]:
        """`read(index)`, whose arrays live until the context ends; an index past the end wraps round."""

    def read_many(self, indices: list[int]) -> RecordBatch | None:
        """Several records at once; None where each must be read by itself, be it to find out what is wrong with it."""

    def close(self) -> None:
        """Give back what is open."""


def first_shapes(records: Records, skip_bad: bool = False) -> tuple[Shape, ...]:
    """Shapes of the first record, or with `skip_bad` those that most of the first good ones have.

    Raises NetcError E503 to E505 where there is none.
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
