"""The interface of sources of batches."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from netc.data.batch import Allocate, Batch, Shape
    from netc.data.pipeline.normalization import Normalization
    from netc.diagnostics import NetcError


@dataclass
class ReadStatistics:
    """How long the consumer waited for data.

    The first batch does not count: startup does not limit a long run.
    """

    records: int = 0
    waited: float = 0.0
    """Seconds spent waiting."""
    started: float | None = None

    def count(self, records: int, waited: float) -> None:
        """Count a batch."""
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
        """Whether the consumer waited for the source for more than a tenth of the time."""
        return self.waited > 0.1 * self.elapsed

    @property
    def records_per_second(self) -> float:
        """Records delivered per second; the rate of the source itself where it is limiting."""
        return self.records / max(self.elapsed, 1e-9)

    def restart(self) -> None:
        """Reset all counts."""
        self.records, self.waited, self.started = 0, 0.0, time.perf_counter()


class BatchSource(Protocol):
    """The batches of a data layer, without end."""

    record_shapes: tuple[Shape, ...]
    """Shapes of one record as stored, one for each top."""
    position: int
    """Records read so far, by this rank."""
    statistics: ReadStatistics

    @property
    def skipped(self) -> Mapping[str, NetcError]:
        """Records that could not be used and were replaced by others: error by description of the record."""

    @property
    def normalization(self) -> Normalization | None:
        """What the device does with `tops[0]`; None if the tops are complete as they are."""

    def configure(self, allocate: Allocate, normalize_on_host: bool) -> None:
        """Set how arrays of a batch are allocated, and whether the reader threads normalize; before the first batch.

        The default is memory of NumPy, and `normalization` left to the device.
        """

    def epoch_size(self) -> int | None:
        """The number of records of one pass over the data; None if records are drawn at random."""

    def next_batch(self) -> Batch:
        """The next batch. Raises NetcError, on every call, for a batch that cannot be read."""

    def arranged(self, tops: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """The tops of a batch, given as tensors, with the axes that the net expects."""

    def first_of(self, tops: tuple[Tensor, ...], count: int) -> tuple[Tensor, ...]:
        """The first `count` items of a batch, given as tensors."""

    def seek(self, position: int) -> None:
        """Continue with another record."""

    def state(self) -> dict[str, int]:
        """What `restore` needs to continue from here with the same batches; plain JSON."""

    def restore(self, state: dict[str, int]) -> None:
        """Continue where another source of the same layer returned this `state`."""

    def close(self) -> None:
        """Stop reading and release threads, files and environments. May be called twice."""
