"""Threads for reading that do not keep the process alive if a read blocks: a server may not respond.

concurrent.futures.ThreadPoolExecutor waits for its threads without limit, when it is shut down and when Python ends, so
that Ctrl-C would not end a process of which one thread is blocked.
"""

from __future__ import annotations

import atexit
import contextlib
import queue
import threading
import time
import weakref
from concurrent.futures import Executor, Future
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")
T = TypeVar("T")
GRACE = 5.0
"""Seconds to wait for threads that read; those that are still blocked then are abandoned."""
_POOLS: weakref.WeakSet[ReadingPool] = weakref.WeakSet()
_Task = tuple["Future[Any]", Any]


class ReadingPool(Executor):
    """An executor of `threads` daemon threads, which are started when they are needed."""

    def __init__(self, threads: int, name: str) -> None:
        self._limit, self._name = threads, name
        self._threads: list[threading.Thread] = []
        self._tasks: queue.SimpleQueue[_Task | None] = queue.SimpleQueue()
        self._closed = False
        _POOLS.add(self)

    def submit(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """See Executor. Raises RuntimeError after `shutdown`."""
        if self._closed:
            raise RuntimeError("the pool is shut down")
        future: Future[T] = Future()
        self._tasks.put((future, lambda: function(*args, **kwargs)))
        if len(self._threads) < self._limit:
            thread = threading.Thread(target=_work, args=(self._tasks,), name=self._name, daemon=True)
            self._threads.append(thread)
            thread.start()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """See Executor; waits for GRACE seconds at most."""
        self.stop(cancel_futures)
        if wait:
            self.join()

    def stop(self, cancel_futures: bool = True) -> None:
        """Let each thread end after its task, or after all tasks unless `cancel_futures`."""
        self._closed = True
        with contextlib.suppress(queue.Empty):  # its threads may take the last task at the same time
            while cancel_futures:
                task = self._tasks.get_nowait()
                if task is not None:
                    task[0].cancel()
        for _ in self._threads:
            self._tasks.put(None)

    def join(self) -> bool:
        """Wait for the threads, for GRACE seconds at most; returns whether all have ended."""
        deadline = time.monotonic() + GRACE
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)


def _work(tasks: queue.SimpleQueue[_Task | None]) -> None:
    while (task := tasks.get()) is not None:
        future, call = task
        if not future.set_running_or_notify_cancel():
            continue
        try:
            result = call()
        except BaseException as error:  # to the thread that waits for the result
            future.set_exception(error)
        else:
            future.set_result(result)
        del task, future, call  # what they refer to may be large


@atexit.register
def _end() -> None:
    """End threads before Python does: one that returns from OpenCV later would end the process with an error."""
    pools = list(_POOLS)
    for pool in pools:
        pool.stop()
    for pool in pools:
        pool.join()
