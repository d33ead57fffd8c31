"""The order of records and their random numbers, which depend only on a seed and the number of the record.

Records are numbered from 0 over all epochs and ranks: rank r of w reads the numbers r, r + w, ... (`data_layer.cpp`,
Skip). Random draws come from a counter-based generator (Philox, Salmon et al. 2011), so that neither the number of
threads nor where a run was resumed changes them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Numbers = npt.NDArray[np.int64]
Draws = npt.NDArray[np.uint64]

RECORD, EPOCH, SKIP, AUGMENT = 0, 1, 2, 3
"""Streams of random numbers: for a record, for the order of an epoch, for `rand_skip`, for augmentation."""
PLANNED = 1024
"""Records planned at a time: planning one batch costs as much as planning many."""


class BatchPlan(NamedTuple):
    """The n records of a batch, before they are read."""

    numbers: Numbers
    """Numbers of the records over all epochs and ranks (n)."""
    indices: Numbers
    """Their indices in the source (n)."""
    draws: Draws
    """Random numbers of each (n, 4)."""
    seed: int = 0
    """The seed of the sampler."""


def generator(seed: int, stream: int, counter: int = 0) -> np.random.Philox:
    """Random bits of a stream from a counter on; each step of the counter is four 64-bit numbers."""
    key = (seed & (1 << 64) - 1) | stream << 64
    return np.random.Philox(key=key, counter=counter)


def draws(seed: int, numbers: Numbers) -> Draws:
    """Four random 64-bit numbers for each record (n, 4), for ascending record numbers of one stride.

    >>> import numpy
    >>> together = draws(7, numpy.arange(5, 9))
    >>> bool((draws(7, numpy.array([6, 8])) == together[[1, 3]]).all())
    True
    """
    if not len(numbers):
        return np.empty((0, 4), np.uint64)
    stride = int(numbers[1] - numbers[0]) if len(numbers) > 1 else 1
    count = (len(numbers) - 1) * stride + 1
    bits = generator(seed, RECORD, int(numbers[0])).random_raw(4 * count)
    return bits.reshape(count, 4)[::stride]


@dataclass
class Sampler:
    """The order in which a source's records are read."""

    seed: int = 0
    shuffle: bool = False
    """A new random order each epoch."""
    rank: int = 0
    world_size: int = 1
    skip: int = 0
    """`rand_skip`: a random number of records below this is skipped at the start."""
    permute: Callable[[np.random.Generator], Numbers] | None = None
    """A random order of all records, called when an epoch begins."""
    _epochs: dict[int, Numbers] = field(default_factory=dict, init=False, repr=False)

    def numbers(self, position: int, count: int) -> Numbers:
        """The numbers of the `count` records that this rank reads from its `position` on."""
        return (np.arange(position, position + count, dtype=np.int64)) * self.world_size + self.rank

    def plans(self, position: int, batch_size: int) -> Iterator[BatchPlan]:
        """An endless iterator over batches, from this rank's `position` on."""
        count = max(1, PLANNED // batch_size)
        while True:
            numbers = self.numbers(position, count * batch_size)
            drawn = draws(self.seed, numbers).reshape(count, batch_size, 4)
            numbers = numbers.reshape(count, batch_size)
            for rows in zip(numbers, self.indices(numbers), drawn):
                yield BatchPlan(*rows, self.seed)
            position += count * batch_size

    def indices(self, numbers: Numbers) -> Numbers:
        """The indices in the source of the records of whole batches, which are the last axis.

        Without `shuffle`, indices past the end wrap around in the source.
        """
        at = numbers + self.drawn_skip(self.skip)
        if not self.shuffle:
            return at
        epochs, at = np.divmod(at, len(self._epoch(0)))
        for epoch in np.unique(epochs).tolist():
            part = epochs == epoch
            at[part] = self._epoch(epoch)[at[part]]
        return at

    def drawn_skip(self, limit: int, number: int = 0) -> int:
        """A random number below `limit`, for the store of that number; 0 if the limit is 0."""
        return int(generator(self.seed, SKIP, number).random_raw()) % limit if limit else 0

    def _epoch(self, number: int) -> Numbers:
        if number not in self._epochs:
            assert self.permute is not None
            while len(self._epochs) > 1:
                self._epochs.pop(next(iter(self._epochs)))
            self._epochs[number] = self.permute(np.random.Generator(generator(self.seed, EPOCH, number << 64)))
        return self._epochs[number]
