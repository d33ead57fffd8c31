"""What every source of batches offers, and a batch as it comes from one."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from netc.data.images import Image
from netc.diagnostics import NetcError

if TYPE_CHECKING:
    from netc.data.pipeline.normalization import Normalization

Shape = tuple[int, ...]
Array = npt.NDArray[Any]
LOOKED_AT = 9
"""Good records that tell the usual size of pictures, where others are skipped."""
SKIPS = 1000
"""Bad records in a row after which skipping gives up: nothing is good there."""


class Record(NamedTuple):
    """One record, before the transform."""

    image: Image
    """Planes (c, h, w), uint8 or float32."""
    label: Any
    """A number, or an array where a record has several."""
    valid: tuple[int, int, int, int] | None = None
    """Top, left, bottom and right of the part that is picture; the rest is padding. None: all of it is."""


class Stacked(NamedTuple):
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

    def after(self, index: int) -> int:
        """The record that stands in for one that cannot be read."""

    def reading(self) -> contextlib.AbstractContextManager[Read]:
        """`read(index)`, whose arrays live until the context ends; an index past the end wraps round."""

    def stacked(self, indices: list[int]) -> Stacked | None:
        """Several records at once; None where each must be read by itself, be it to find out what is wrong with it."""

    def close(self) -> None:
        """Give back what is open."""


@dataclass
class Batch:
    """The tops of one pass. `tops[0]` of a picture source is as stored, and `Finish` completes it on the device."""

    tops: tuple[Array, ...]
    """Data (n, c, h, w), uint8 or float32, cropped; then labels, float32."""
    mirror: npt.NDArray[np.bool_] | None = None
    """Which pictures are to be flipped left to right (n)."""
    offsets: npt.NDArray[np.int64] | None = None
    """Row and column in the record of each crop's first pixel (n, 2), where a mean picture asks for them."""
    valid: npt.NDArray[np.int64] | None = None
    """Top, left, bottom, right of what is picture (n, 4); the rest becomes 0. None: all of it is."""
    release: Callable[[], None] = lambda: None
    """Give the arrays back for another batch; nobody may read them after that."""

    def note(self, slot: int | slice, offset: Any, valid: tuple[int, int, int, int] | None) -> None:
        """Note what the device must know of a picture, or of several that are alike in it."""
        if self.offsets is not None:
            self.offsets[slot] = offset
        if self.valid is not None and valid is not None:
            self.valid[slot] = valid


@dataclass
class ReadStatistics:
    """How long the consumer waited for data.

    The first batch does not count: starting up is not what limits a long run.
    """

    records: int = 0
    waited: float = 0.0
    """Seconds spent waiting."""
    started: float | None = None

    def count(self, records: int, waited: float) -> None:
        """Note a batch."""
        if self.started is None:
            self.restart()
            return
        self.records += records
        self.waited += waited

    @property
    def elapsed(self) -> float:
        """Seconds since the first batch, or since `restart`."""
        return 0.0 if self.started is None else time.perf_counter() - self.started

    @property
    def limiting(self) -> bool:
        """Whether the source held the consumer up for more than a tenth of the time."""
        return self.waited > 0.1 * self.elapsed

    @property
    def records_per_second(self) -> float:
        """Records delivered a second; where the source is limiting, all that it can."""
        return self.records / max(self.elapsed, 1e-9)

    def restart(self) -> None:
        """Count afresh."""
        self.records, self.waited, self.started = 0, 0.0, time.perf_counter()


def first_shapes(records: Records, skip_bad: bool = False) -> tuple[Shape, ...]:
    """Shapes of the first record, or with `skip_bad` those that most of the first good ones have.

    Raises NetcError E503 to E505 where there is none.
    """
    if not skip_bad:
        return records.shapes()
    index, found = 0, Counter[tuple[Shape, ...]]()
    for _ in range(SKIPS):
        try:
            found[records.shapes(index)] += 1
        except NetcError as error:
            last = error
        if found.total() == LOOKED_AT:
            break
        index = records.after(index)
    if not found:
        raise last
    return found.most_common(1)[0][0]


class BatchSource(Protocol):
    """A data layer's batches, one after another without end."""

    record_shapes: tuple[Shape, ...]
    """Shapes of one record as the source holds it, a shape for each top."""
    position: int
    """Records read so far, by this rank."""
    statistics: ReadStatistics
    complete: bool
    """Set before the first batch: the reader threads shall do that instead, for a net on the CPU."""
    allocate: Callable[[Shape, Any], Array]
    """Makes the arrays of a batch: set to one that gives pinned memory before the first batch, where wanted."""

    @property
    def skipped(self) -> Mapping[str, NetcError]:
        """Records that could not be used and for which others stand in, by what they are called, with what is wrong."""

    @property
    def finish(self) -> Normalization | None:
        """What the device does with `tops[0]`; None where the tops are complete from the start."""

    def next_batch(self) -> Batch:
        """The next batch. Raises NetcError, as often as it is called, for a batch that cannot be read."""

    def seek(self, position: int) -> None:
        """Go on with another record."""

    def state(self) -> dict[str, int]:
        """What `restore` needs to go on from here with the same batches; plain JSON."""

    def restore(self, state: dict[str, int]) -> None:
        """Go on where another source, of the same layer, gave this `state`."""

    def close(self) -> None:
        """Stop reading and give back threads, files and environments. May be called twice."""
