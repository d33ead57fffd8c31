"""Map a function in threads, with results in order and a bounded number of pending ones."""

from __future__ import annotations

import os
from collections import deque
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from netc.data.pipeline.thread_pool import ReadingPool
from netc.diagnostics import NetcError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from concurrent.futures import Future

    from netc.data.records import Record, Records

T = TypeVar("T")
R = TypeVar("R")
AHEAD = 4
"""Pending results per thread."""
CHUNK = 16
"""Records read at a time."""


def cores() -> int:
    """The number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def parallel_map(function: Callable[[T], R], items: Iterable[T], threads: int | None = None) -> Iterator[R]:
    """The results of a function in the order of its arguments; errors are raised in order too.

    `threads` is one per core by default.

    >>> list(parallel_map(abs, [-2, 1, -3], threads=2))
    [2, 1, 3]
    """
    threads = threads or cores()
    pending: deque[Future[R]] = deque()
    pool = ReadingPool(threads, "netc-work")
    try:
        for item in items:
            pending.append(pool.submit(function, item))
            if len(pending) >= AHEAD * threads:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def read_in_parallel(records: Records, count: int, threads: int | None = None) -> Iterator[Record | NetcError]:
    """The first `count` records in order, with copies of their images, or their errors."""

    def read_chunk(start: int) -> list[Record | NetcError]:
        with records.reading() as read:
            return [_one(read, index) for index in range(start, min(start + CHUNK, count))]

    for chunk in parallel_map(read_chunk, range(0, count, CHUNK), threads):
        yield from chunk


def _one(read: Callable[[int], Record], index: int) -> Record | NetcError:
    try:
        record = read(index)
    except NetcError as error:
        return error
    return record._replace(image=np.array(record.image))
