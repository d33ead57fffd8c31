"""A read that blocks neither delays Ctrl-C nor the end of the process."""

from __future__ import annotations

import queue
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import CancelledError

import pytest

from netc.data import open_source
from netc.data.pipeline import thread_pool
from netc.data.pipeline.parallel_map import parallel_map
from netc.data.pipeline.thread_pool import ReadingPool
from tests.data.databases import data_layer, database, random_images


@pytest.fixture
def block(monkeypatch):
    """An event that is set when a test ends; reads wait for it."""
    monkeypatch.setattr(thread_pool, "GRACE", 0.2)
    event = threading.Event()
    yield event
    event.set()


def test_results_and_errors():
    pool = ReadingPool(3, "test")
    assert [future.result() for future in [pool.submit(pow, 2, i) for i in range(20)]] == [2**i for i in range(20)]
    with pytest.raises(ZeroDivisionError):
        pool.submit(lambda: 1 / 0).result()
    pool.shutdown()
    assert pool.join()
    with pytest.raises(RuntimeError, match="shut down"):
        pool.submit(abs, 1)


def test_tasks_that_have_not_begun_are_canceled(block):
    pool = ReadingPool(1, "test")
    running, waiting = pool.submit(block.wait), pool.submit(abs, 1)
    pool.stop()
    with pytest.raises(CancelledError):
        waiting.result(5)
    assert not pool.join()
    block.set()
    assert running.result(5)
    assert pool.join()


def test_a_thread_that_takes_the_last_task_while_the_pool_stops(monkeypatch):
    class Emptied(queue.SimpleQueue):
        """Has a task when asked, and none when it is taken."""

        def empty(self) -> bool:
            return False

        def get_nowait(self):
            raise queue.Empty

    pool = ReadingPool(1, "test")
    monkeypatch.setattr(pool, "_tasks", Emptied())
    assert pool.submit(abs, -1).result(5) == 1
    pool.stop()
    assert pool.join()


def test_tasks_that_were_submitted_are_done_unless_canceled():
    pool = ReadingPool(1, "test")
    futures = [pool.submit(abs, -i) for i in range(50)]
    pool.shutdown()
    assert [future.result(5) for future in futures] == list(range(50))


def test_ctrl_c_ends_waiting_for_a_read_that_blocks(tmp_path, block, monkeypatch):
    source = open_source(data_layer(database(tmp_path / "db", random_images(4))), "TEST")
    monkeypatch.setattr(source.builder.records, "read_many", lambda indices: block.wait() and None)
    closed = []
    monkeypatch.setattr(source.builder.records, "close", lambda: closed.append(True))
    timer = threading.Timer(0.3, signal.pthread_kill, (threading.main_thread().ident, signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        source.next_batch()
    started = time.monotonic()
    source.close()
    assert time.monotonic() - started < 2
    assert not closed  # the thread still reads
    block.set()


def test_a_tool_ends_where_a_read_blocks(block):
    results = parallel_map(lambda item: block.wait() if item else item, range(9), threads=2)
    assert next(results) == 0
    started = time.monotonic()
    results.close()
    assert time.monotonic() - started < 2


@pytest.mark.slow
def test_a_process_ends_where_a_read_blocks():
    code = (
        "import threading; from netc.data.pipeline import thread_pool as t; t.GRACE = 0.2;"
        "t.ReadingPool(1, 'x').submit(threading.Event().wait); print('end')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "end\n", "")
