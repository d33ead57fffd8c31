"""From a data layer to its source."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from netc.data.database import DatumRecords, Store
from netc.data.finish import Finish
from netc.data.lmdb_store import LmdbStore
from netc.data.order import Order
from netc.data.prefetch import PrefetchedSource
from netc.data.source import Records, Source
from netc.data.transform import Crop, ResolvePath, mean_of


def open_source(
    layer: Any,
    phase: str,
    *,
    seed: int = 0,
    resolve_path: ResolvePath = Path,
    rank: int = 0,
    world_size: int = 1,
    threads: int | None = None,
) -> Source:
    """The source that a data layer's parameters describe; `layer` is known by its `type`.

    `phase` is `"TRAIN"` or `"TEST"`: crops are random, and records shared out among ranks, only in TRAIN, as in Caffe.
    `seed` settles all that is random; `resolve_path` finds the files that the layer names. `threads` read, by default
    one a core. Raises NetcError E501 to E508 (see the package) for sources that cannot be read.
    """
    train = phase == "TRAIN"
    order = Order(seed, rank=rank if train else 0, world_size=world_size if train else 1)
    return _OPENERS[layer.type](layer, train, order, resolve_path, threads)


def _data(layer: Any, train: bool, order: Order, resolve: ResolvePath, threads: int | None) -> Source:
    transform = layer.transform
    store: Store = LmdbStore(resolve(layer.source), layer.source)
    records = DatumRecords(store, transform.force_color, transform.force_gray)
    order.skip, order.shuffle = layer.rand_skip, getattr(layer, "shuffle", False)
    return _pictures(layer, records, order, train, resolve, layer.prefetch, threads)


def _pictures(
    layer: Any, records: Records, order: Order, train: bool, resolve: ResolvePath, prefetch: int, threads: int | None
) -> Source:
    """A source of pictures, with the layer's transform."""
    transform = layer.transform
    order.permute = records.permute
    try:
        mean = mean_of(transform, records.shapes()[0][0], resolve)
        return PrefetchedSource(
            records,
            order,
            batch_size=layer.batch_size,
            crop=Crop(transform.crop_size, random=train, mirror=transform.mirror),
            finish=Finish(transform.scale, mean),
            prefetch=prefetch,
            threads=threads,
        )
    except BaseException:
        records.close()
        raise


_OPENERS = {"Data": _data}
