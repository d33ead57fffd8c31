"""From a data layer to its source."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from netc.data.pipeline.augmentation import Augment
from netc.data.pipeline.cropping import Cropping, Mean, ResolvePath, TransformParameters, mean_of, read_mean
from netc.data.pipeline.normalization import Normalization
from netc.data.pipeline.prefetch import PrefetchedSource
from netc.data.pipeline.sampling import Order
from netc.data.source import BatchSource, Records, first_shapes
from netc.data.sources.database import DatumRecords, Store
from netc.data.stores.leveldb import LevelDbStore
from netc.data.stores.lmdb import LmdbStore
from netc.diagnostics import NetcError


@dataclass(frozen=True)
class _Request:
    """What `open_source` was asked for."""

    layer: Any
    train: bool
    order: Order
    resolve: ResolvePath
    tops: Sequence[str]
    threads: int | None
    skip_bad: bool


def open_source(
    layer: Any,
    phase: str,
    *,
    seed: int = 0,
    resolve_path: ResolvePath = Path,
    tops: Sequence[str] = (),
    rank: int = 0,
    world_size: int = 1,
    threads: int | None = None,
    skip_bad: bool = False,
) -> BatchSource:
    """The source that a data layer's parameters describe; `layer` is known by its `type`.

    `phase` is `"TRAIN"` or `"TEST"`: only in TRAIN are crops random and records shared out among ranks, as in Caffe.
    `seed` settles all that is random; `resolve_path` finds the files that the layer names; `tops` are the names of the
    layer's tops, by which HDF5Data finds its datasets; `threads` read, by default one a core. With `skip_bad` the place
    of a record that cannot be used is taken by the next that can, and `source.skipped` tells which those were.

    Raises NetcError E501 to E509 (see the package), and KeyError for a layer type that has no source of its own
    (`MemoryData` and `DummyData` are handed their batches: see handed.py).
    """
    train = phase == "TRAIN"
    order = Order(seed, rank=rank if train else 0, world_size=world_size if train else 1)
    return _OPENERS[layer.type](_Request(layer, train, order, resolve_path, tops, threads, skip_bad))


def _data(asked: _Request) -> BatchSource:
    layer, transform = asked.layer, asked.layer.transform
    make: Callable[[Path, str], Store] = LmdbStore if layer.backend == "LMDB" else LevelDbStore
    color = transform.force_color or layer.force_encoded_color
    records = DatumRecords(make(asked.resolve(layer.source), layer.source), color, transform.force_gray)
    asked.order.skip, asked.order.shuffle = layer.rand_skip, layer.shuffle
    return _pictures(asked, records, layer.prefetch)


def _image_data(asked: _Request) -> BatchSource:
    from netc.data.sources.image_list import ImageListRecords

    asked.order.skip, asked.order.shuffle = asked.layer.rand_skip, asked.layer.shuffle
    return _pictures(asked, ImageListRecords(asked.layer, asked.resolve))


def _pictures(asked: _Request, records: Records, prefetch: int = 4) -> BatchSource:
    """A source of pictures, with the layer's transform."""
    transform, order = asked.layer.transform, asked.order
    order.permute = records.permute
    try:
        mean = mean_of(transform, first_shapes(records, asked.skip_bad)[0][0], asked.resolve)
        height, width = transform.crop
        crop = Cropping(height, asked.train, transform.mirror, width if width != height else 0)
        finish = Normalization(transform.scale, mean, picture=bool(transform.mean_file))
        return _prefetched(asked, records, order, crop, finish, prefetch, Augment(transform))
    except BaseException:
        records.close()
        raise


def _prefetched(
    asked: _Request,
    records: Records,
    order: Order,
    crop: Cropping,
    finish: Normalization,
    prefetch: int,
    augment: Augment | None = None,
) -> PrefetchedSource:
    return PrefetchedSource(
        records,
        order,
        batch_size=asked.layer.batch_size,
        crop=crop,
        finish=finish,
        prefetch=prefetch,
        threads=asked.threads,
        augment=augment,
        skip_bad=asked.skip_bad,
    )


def _window_data(asked: _Request) -> BatchSource:
    from netc.data.sources.windows import WindowRecords

    records = WindowRecords(asked.layer, asked.resolve)
    transform = asked.layer.transform
    mean = _window_mean(transform, records.shapes()[0][0], asked.resolve)
    finish = Normalization(transform.scale, mean, picture=bool(transform.mean_file))
    # Windows come cropped and mirrored: their padding and rounding depend on it.
    return _prefetched(asked, records, records.order(asked.order), Cropping(transform.crop_size), finish, 4)


def _window_mean(transform: TransformParameters, channels: int, resolve: ResolvePath) -> Mean | None:
    """The mean of windows: of a mean picture its middle, found by its width (`window_data_layer.cpp`)."""
    if not transform.mean_file:
        return mean_of(transform, channels, resolve)
    mean, size = read_mean(resolve(transform.mean_file), transform.mean_file), transform.crop_size
    offset = (mean.shape[2] - size) // 2
    middle = mean[:, offset : offset + size, offset : offset + size] if offset >= 0 else mean
    if middle.shape[1:] != (size, size):
        raise NetcError(
            f"mean file `{transform.mean_file}` is {mean.shape[1]}x{mean.shape[2]}: too small for a crop of {size}",
            code="E505",
            field="transform_param.mean_file",
        )
    return middle


def _hdf5_data(asked: _Request) -> BatchSource:
    from netc.data.sources.hdf5 import Hdf5Files, Hdf5Source

    if not asked.tops:
        raise ValueError("HDF5Data reads the datasets that its tops are named after: give `tops`")
    files = Hdf5Files(asked.layer, asked.tops, asked.resolve)
    asked.order.shuffle, asked.order.permute = asked.layer.shuffle, files.permute
    return Hdf5Source(files, asked.order, asked.layer.batch_size)


_OPENERS = {"Data": _data, "ImageData": _image_data, "WindowData": _window_data, "HDF5Data": _hdf5_data}
