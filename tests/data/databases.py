"""Small databases and layers for the tests of this folder."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import lmdb
import numpy as np
import pytest

from netc.diagnostics import NetcError
from netc.ir.transform import Transform
from netc.layers.data import Data
from netc.schema import caffe


def random_images(count: int, shape=(3, 7, 9), seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, *shape), dtype=np.uint8)


def record(image: np.ndarray, label: int = 0, **fields) -> bytes:
    c, h, w = image.shape
    return caffe.Datum(channels=c, height=h, width=w, data=image.tobytes(), label=label, **fields).SerializeToString()


def write(path: Path, records: list[bytes]) -> Path:
    with lmdb.open(str(path), map_size=1 << 26) as environment, environment.begin(write=True) as transaction:
        for i, value in enumerate(records):
            transaction.put(b"%08d" % i, value)
    return path


def database(path: Path, images: np.ndarray) -> Path:
    """Record i has label i."""
    return write(path, [record(image, i) for i, image in enumerate(images)])


def data_layer(path: Path, batch_size: int = 4, **settings) -> Data:
    own = {name: settings.pop(name) for name in ("rand_skip", "prefetch", "backend") if name in settings}
    return Data(source=str(path), batch_size=batch_size, transform=Transform(**settings), **{"backend": "LMDB", **own})


def labels(source, batches: int) -> list[int]:
    return [int(label) for _ in range(batches) for label in source.next_batch().tops[1]]


@contextlib.contextmanager
def fault(code: str, *parts: str) -> Iterator[pytest.ExceptionInfo[NetcError]]:
    """Here NetcError is raised, its first finding with this code and with these parts in its message."""
    with pytest.raises(NetcError) as caught:
        yield caught
    found = caught.value.diagnostics[0]
    assert found.code == code
    for part in parts:
        assert part in found.message
