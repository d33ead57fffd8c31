"""The reference of the data cases: the usual way to read Caffe's databases with PyTorch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import lmdb
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, RandomSampler

from netc.schema import caffe

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ENDLESS = 1 << 40


class DatumFolder(Dataset[Any]):
    """A database as a map-style data set: random crop, random mirror, mean subtracted, float32."""

    def __init__(self, path: Path, crop: int, mean: tuple[float, ...]) -> None:
        self.path, self.crop = str(path), crop
        self.mean = np.array(mean, np.float32)[:, None, None]
        self.environment: Any = None  # opened in the worker
        with lmdb.open(self.path, readonly=True, lock=False) as environment, environment.begin() as transaction:
            self.keys = list(transaction.cursor().iternext(values=False))

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        if self.environment is None:
            self.environment = lmdb.open(self.path, readonly=True, lock=False, readahead=False)
        with self.environment.begin() as transaction:
            datum = caffe.Datum.FromString(transaction.get(self.keys[index]))
        pixels = np.frombuffer(datum.data, np.uint8)
        if datum.encoded:
            decoded = cv2.imdecode(pixels, cv2.IMREAD_COLOR)
            assert decoded is not None, "the record was encoded by this benchmark"
            image = decoded.transpose(2, 0, 1)
        else:
            image = pixels.reshape(datum.channels, datum.height, datum.width)
        y = int(torch.randint(image.shape[1] - self.crop + 1, ()))
        x = int(torch.randint(image.shape[2] - self.crop + 1, ()))
        image = image[:, y : y + self.crop, x : x + self.crop]
        if torch.rand(()) < 0.5:
            image = image[:, :, ::-1]
        return torch.from_numpy(image.astype(np.float32) - self.mean), datum.label


def batches(path: Path, crop: int, mean: tuple[float, ...], batch: int, workers: int) -> Iterator[Any]:
    """An endless iterator over batches in random order, read by worker processes."""
    records = DatumFolder(path, crop, mean)
    sampler = RandomSampler(records, replacement=True, num_samples=ENDLESS)
    return iter(DataLoader(records, batch, sampler=sampler, num_workers=workers, drop_last=True))
