"""Cases that read data: raw and JPEG records of an LMDB as finished batches, and training from an LMDB."""

from __future__ import annotations

import contextlib
import functools
import tempfile
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import torch
from torch import Tensor

from benchmarks.dataloader import batches
from benchmarks.nets import waiter
from benchmarks.pairs import MODELS, Pair
from benchmarks.report import Result
from benchmarks.timing import alternate
from netc.data import open_source
from netc.data.pipeline.device_feed import DeviceFeed, OutputPool
from netc.data.sources.datum import write_datum
from netc.data.sources.opening import open_records
from netc.data.stores.writers import new_database
from netc.ir.transform import Transform
from netc.layers.data import Data
from netc.training.solver.executor import StraightLineExecutor
from netc.training.solver.optimizer import CaffeOptimizer
from netc.training.solver.update_rules.sgd import SGD

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MEAN = (104.0, 117.0, 123.0)
CROP, BATCH, RECORDS = 227, 64, 512
SQUARE, USUAL = (256, 256), (375, 500)
"""Heights and widths: the usual size for Caffe, and that of most ImageNet images."""
BATCHES, AHEAD = 40, 2
"""Batches per round, and the number of them that are read ahead."""


def cases(device: str, rounds: int, threads: int) -> dict[str, Callable[[], Result]]:
    """Every case by name."""
    few = max(5, rounds // 3)
    return {
        "data-raw": functools.partial(raw, device, few, threads),
        "data-jpeg": functools.partial(jpeg, "data-jpeg", USUAL, device, few, threads),
        "data-jpeg-256": functools.partial(jpeg, "data-jpeg-256", SQUARE, device, few, threads),
        "data-jpeg-bytes": functools.partial(jpeg, "data-jpeg-bytes", USUAL, None, few, threads),
        "train-lmdb-lenet": functools.partial(training, "lenet", 64, device, rounds, 20),
        "train-lmdb-alexnet": functools.partial(training, "alexnet", 32, device, rounds, 1),
    }


def raw(device: str, rounds: int, threads: int) -> Result:
    """Raw records as float32 batches on the device, cropped, mirrored and mean-subtracted, against a DataLoader."""
    with contextlib.ExitStack() as stack:
        path = stack.enter_context(_database(SQUARE, jpeg_quality=None))
        loader = batches(path, CROP, MEAN, BATCH, workers=2)
        next(loader)  # its processes start before there are threads
        feed = stack.enter_context(_opened(path, device, threads))

        def ours() -> Tensor:
            return _read_round(feed)

        def theirs() -> Tensor:
            return deque((next(loader)[0].to(device) for _ in range(BATCHES)), maxlen=1)[0]

        _check(ours(), theirs())
        timing = alternate(ours, theirs, rounds, wait=waiter(device))
        notes = {"other": "DataLoader, 2 workers", **_pace(timing), "reader_us": _reader(path), "threads": threads}
        return Result("data-raw", timing, 1 / 1.5, notes=notes)


def jpeg(name: str, size: tuple[int, int], device: str | None, rounds: int, threads: int) -> Result:
    """JPEG records as finished batches, against cv2.imdecode alone on the same bytes with as many threads.

    Without a device the batches are bytes, cropped, as they would be sent to a GPU.
    """
    with contextlib.ExitStack() as stack:
        path = stack.enter_context(_database(size, jpeg_quality=90))
        packed = _packed(path)
        feed = stack.enter_context(_opened(path, device or "cpu", threads))
        if device is None:
            feed.source.configure(OutputPool().take, normalize_on_host=False)
        pool = stack.enter_context(ThreadPoolExecutor(threads))

        def decode(part: range) -> None:
            for i in part:
                cv2.imdecode(packed[i % len(packed)], cv2.IMREAD_COLOR)

        def ours() -> None:
            _read_round(feed)

        def theirs() -> None:
            count = BATCHES * BATCH
            list(pool.map(decode, [range(i, count, threads) for i in range(threads)]))

        timing = alternate(ours, theirs, rounds, wait=waiter(device or "cpu"))
        notes = {"other": "cv2.imdecode alone", **_pace(timing), "reader_us": _reader(path), "threads": threads}
        return Result(name, timing, 1 / 0.9, notes=notes)


def training(model: str, batch: int, device: str, rounds: int, repeat: int) -> Result:
    """Training steps from an LMDB, against the same steps on a batch that is in memory."""
    pair = Pair(model, batch, device, train=True)
    c, h, w = pair.size
    with contextlib.ExitStack() as stack:
        if model == "lenet":
            path, transform = MODELS / "lenet" / "train_lmdb", Transform(scale=1 / 256)
        else:
            path = stack.enter_context(_database(SQUARE, jpeg_quality=None))
            transform = Transform(crop_size=h, mirror=True, mean_value=MEAN)
        layer = Data(batch, transform, str(path), "LMDB")
        source = stack.enter_context(contextlib.closing(open_source(layer, "TRAIN")))
        halves = _Halves(DeviceFeed(source, device))
        if halves.data.next()[0].shape != (batch, c, h, w):
            raise ValueError("the batches of the database have another size")
        halves.label.next()
        ready = {"data": _Half(lambda: (pair.x,)), "label": _Half(lambda: (pair.label,))}
        ours = _step(pair, {"data": halves.data, "label": halves.label})
        timing = alternate(ours, _step(pair, ready), rounds, repeat, waiter(device))
        notes = {"other": "a batch in memory", "batch": batch, "limiting": source.statistics.limiting}
        return Result(f"train-lmdb-{model}", timing, 1.05, notes=notes)


def _step(pair: Pair, feeds: dict[str, Any]) -> Callable[[], Tensor]:
    """One training step on the batches of the feeds; the learning rate is 0, so that both sides do the same."""
    executor = StraightLineExecutor(pair.net, pair.full_graph, feeds)
    optimizer = CaffeOptimizer(pair.net.blobs, 0.0, SGD(momentum=0.9), weight_decay=0.0005)

    def run() -> Tensor:
        executor.clear_gradients()
        (loss,) = executor.forward_backward()
        optimizer.step()
        return loss

    return run


class _Halves:
    """A feed of data and labels as two feeds."""

    def __init__(self, feed: DeviceFeed) -> None:
        self._feed, self._label = feed, torch.empty(0)
        self.data, self.label = _Half(self._data), _Half(lambda: (self._label,))

    def _data(self) -> tuple[Tensor, ...]:
        data, self._label = self._feed.next()
        return (data,)


class _Half:
    """A feed of one top."""

    def __init__(self, take: Callable[[], tuple[Tensor, ...]]) -> None:
        self.next = take


@contextlib.contextmanager
def _database(size: tuple[int, int], jpeg_quality: int | None) -> Iterator[Path]:
    """An LMDB of parts of scikit-learn's two photographs, in a temporary folder."""
    from sklearn import datasets

    folder = Path(datasets.__file__).parent / "images"
    found = [cv2.imread(str(folder / f"{name}.jpg")) for name in ("china", "flower")]
    photographs = [image for image in found if image is not None]
    random = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "lmdb"
        with new_database(path) as put:
            for i in range(RECORDS):
                (h, w), photograph = size, photographs[i % 2]
                y, x = random.integers(0, 427 - h), random.integers(0, 640 - w)
                part = np.ascontiguousarray(photograph[y : y + h, x : x + w])
                put(b"%08d" % i, _datum(part, i % 1000, jpeg_quality))
        yield path


def _datum(image: Any, label: int, jpeg_quality: int | None) -> bytes:
    if jpeg_quality is None:
        return write_datum((3, *image.shape[:2]), image.transpose(2, 0, 1).tobytes(), label, encoded=False)
    packed = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, jpeg_quality])[1]
    return write_datum(data=packed.tobytes(), label=label, encoded=True)


@contextlib.contextmanager
def _opened(path: Path, device: str, threads: int) -> Iterator[DeviceFeed]:
    transform = Transform(crop_size=CROP, mirror=True, mean_value=MEAN)
    source = open_source(
        Data(BATCH, transform, str(path), "LMDB", prefetch=AHEAD, shuffle=True), "TRAIN", threads=threads
    )
    with contextlib.closing(source):
        yield DeviceFeed(source, device)


def _packed(path: Path) -> list[Any]:
    from netc.data.sources.datum import read_datum

    records = open_records(path)
    with contextlib.closing(records), records.store.reading() as get:
        keys = list(records.store.keys())
        return [np.frombuffer(bytes(read_datum(get(key)).data), np.uint8) for key in keys]


def _reader(path: Path) -> float:
    """Microseconds that one thread takes to find and decode a record, without crop and mean."""
    records = open_records(path)
    with contextlib.closing(records), records.reading() as read:
        read(RECORDS - 1)
        start = time.perf_counter()
        for index in range(RECORDS):
            read(index)
        return round((time.perf_counter() - start) / RECORDS * 1e6, 1)


def _pace(timing: Any) -> dict[str, float]:
    """Images per second of both sides."""
    sides = (("images_per_second", timing.ours), ("other_images_per_second", timing.theirs))
    return {name: round(BATCHES * BATCH / float(np.median(seconds))) for name, seconds in sides}


def _read_round(feed: DeviceFeed) -> Tensor:
    """Read batches from a cold start, without reading ahead of the end, so that each batch read is counted."""
    source: Any = feed.source
    source.prefetch = AHEAD
    deque((feed.next() for _ in range(BATCHES - AHEAD)), maxlen=0)
    source.prefetch = 0
    return deque((feed.next()[0] for _ in range(AHEAD)), maxlen=1)[0]


def _check(ours: Tensor, theirs: Tensor) -> None:
    """Raises ValueError if the batches of the two sides do not match."""
    if ours.shape != theirs.shape or ours.dtype != theirs.dtype or abs(float(ours.mean() - theirs.mean())) > 25:
        raise ValueError("the two sides return different batches")
