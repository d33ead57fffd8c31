"""Opens the source of batches that a data layer describes."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from netc.data.pipeline.augmentation import Augmenter
from netc.data.pipeline.cropping import Cropping, cropping_of
from netc.data.pipeline.mean import load_mean, window_mean
from netc.data.pipeline.normalization import Normalization
from netc.data.pipeline.record_source import RecordSource
from netc.data.pipeline.sampling import Sampler
from netc.data.records import Records, first_shapes
from netc.data.sources.database import DatumRecords
from netc.data.stores.joined import JoinedStore
from netc.data.stores.leveldb import LevelDbStore
from netc.data.stores.lmdb import LmdbStore

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from netc.data.accepted_labels import AcceptedLabels
    from netc.data.pipeline.augmentation import RecordAugmenter
    from netc.data.pipeline.boxes import BoxTransform
    from netc.data.pipeline.mean import Mean
    from netc.data.source import BatchSource
    from netc.data.stores.store import Store
    from netc.paths import ResolvePath


@dataclass(frozen=True)
class _Request:
    """The arguments of `open_source`."""

    layer: Any
    train: bool
    sampler: Sampler
    resolve: ResolvePath
    tops: Sequence[str]
    threads: int | None
    skip_bad: bool
    accepted: AcceptedLabels | None


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
    accepted: AcceptedLabels | None = None,
) -> BatchSource:
    """The source that a data layer's parameters describe; its `fed_by` selects the kind.

    `phase` is `"TRAIN"` or `"TEST"`: only in TRAIN are crops random and records divided among ranks, as in Caffe.
    `seed` determines all random choices; `resolve_path` finds the files that the layer names; `tops` are the names of
    the layer's tops, by which HDF5Data finds its datasets; `threads` is by default the number of cores. With `skip_bad`
    the next usable record replaces one that cannot be used, also one whose label is not `accepted`, and
    `source.skipped` lists those that were replaced.

    Raises NetcError E501 to E509 (see the package), and KeyError for a layer type that has no source of its own
    (`MemoryData` and `DummyData`, see netc.data.feeds).
    """
    train = phase == "TRAIN"
    sampler = Sampler(seed, rank=rank if train else 0, world_size=world_size if train else 1)
    return _OPENERS[layer.fed_by](_Request(layer, train, sampler, resolve_path, tops, threads, skip_bad, accepted))


def _data(request: _Request) -> BatchSource:
    layer, transform = request.layer, request.layer.transform
    color = transform.force_color or layer.force_encoded_color
    records = DatumRecords(_store(request), color, transform.force_gray)
    _order(request)
    return _image_source(request, records, layer.prefetch)


def _store(request: _Request) -> Store:
    layer = request.layer
    make: Callable[[Path, str], Store] = LmdbStore if layer.backend == "LMDB" else LevelDbStore
    names = getattr(layer, "sources", ()) or (layer.source,)
    with contextlib.ExitStack() as opened:
        stores = [opened.enter_context(contextlib.closing(make(request.resolve(name), name))) for name in names]
        opened.pop_all()
    if len(stores) == 1:
        return stores[0]
    return JoinedStore(stores, [request.sampler.drawn_skip(layer.rand_skip, number) for number in range(len(stores))])


def _order(request: _Request) -> None:
    """Set where a database is begun, unless its stores begin at places of their own, and whether it is shuffled."""
    layer = request.layer
    request.sampler.skip, request.sampler.shuffle = 0 if layer.sources else layer.rand_skip, layer.shuffle


def _annotated_data(request: _Request) -> BatchSource:
    from netc.data.pipeline.annotated_augmentation import AnnotatedAugmenter
    from netc.data.pipeline.boxes import BoxTransform
    from netc.data.sources.annotated_datum import AnnotatedRecords

    layer, transform = request.layer, request.layer.transform
    color, typed = transform.force_color or layer.force_encoded_color, bool(layer.anno_type)
    records = AnnotatedRecords(_store(request), color, transform.force_gray, typed)
    _order(request)
    boxes = BoxTransform(transform) if records.annotated else None
    augmenter = AnnotatedAugmenter(transform, layer.batch_sampler, layer.jitter)
    return _image_source(request, records, layer.prefetch, augmenter, boxes)


def _compact_data(request: _Request) -> BatchSource:
    from netc.data.sources.compact_record import CompactRecords

    color = request.layer.is_color
    records = CompactRecords(_store(request), color=color, gray=not color)
    _order(request)
    return _image_source(request, records, request.layer.prefetch)


def _mat_files(request: _Request) -> BatchSource:
    from netc.data.sources.mat_files import MatRecords, MatSource

    records = MatRecords(request.layer, len(request.tops) or 1, request.resolve)
    return MatSource(records, request.sampler, request.threads or 2, request.skip_bad)


def _boxes(request: _Request) -> BatchSource:
    from netc.data.sources.box_datum import BoxAugmenter, BoxRecords

    layer, transform = request.layer, request.layer.transform
    color = transform.force_color or layer.force_encoded_color
    records = BoxRecords(_store(request), color, transform.force_gray)
    _order(request)
    return _image_source(request, records, layer.prefetch, BoxAugmenter() if request.train else None)


def _video_file(request: _Request) -> BatchSource:
    from netc.data.sources.video import VideoRecords

    layer = request.layer
    records = VideoRecords(request.resolve(layer.video_file), layer.video_file, layer.skip_frames)
    return _image_source(replace(request, threads=1), records)


def _clips(request: _Request) -> BatchSource:
    from netc.data.sources.video import ClipSampler, FrameClips, SegmentClips

    layer = request.layer
    layer = replace(layer, transform=replace(layer.transform, mean_value=layer.plane_means()))
    volumes = hasattr(layer, "use_temporal_jitter")
    records = (FrameClips if volumes else SegmentClips)(layer, request.resolve)
    random = request.train and getattr(layer, "use_temporal_jitter", True)
    old = request.sampler
    sampler = ClipSampler(
        old.seed, layer.shuffle, old.rank, old.world_size, layer.rand_skip, count=len(records), random=random
    )
    request = replace(request, layer=layer, sampler=sampler)
    return _image_source(request, records, frames=layer.new_length if volumes else 0)


def _image_data(request: _Request) -> BatchSource:
    from netc.data.sources.image_list import ImageListRecords

    request.sampler.skip, request.sampler.shuffle = request.layer.rand_skip, request.layer.shuffle
    return _image_source(request, ImageListRecords(request.layer, request.resolve))


def _label_maps(request: _Request) -> BatchSource:
    from netc.data.pipeline.label_map_augmentation import LabelMapAugmenter
    from netc.data.sources.label_map_list import LabelMapRecords

    layer, sampler = request.layer, request.sampler
    records = LabelMapRecords(layer, request.resolve)
    sampler.skip, sampler.shuffle, sampler.permute = layer.rand_skip, layer.shuffle, records.permute
    channels, *size = first_shapes(records, request.skip_bad)[0]
    transform, (height, width) = layer.transform, layer.crop
    mean = load_mean(transform, channels, request.resolve)
    normalization = Normalization(layer.factor, mean, per_pixel=bool(transform.mean_file))
    normalization.check((channels, *size), lambda: records.describe(0))
    crop = Cropping(height, request.train or layer.crops_test_at_random, layer.mirrors, width)
    augmenter = LabelMapAugmenter(transform.scale_factors, layer.crop if layer.pads else (0, 0), layer.ignored)
    return _record_source(request, records, sampler, crop, normalization, augmenter=augmenter, label_maps=True)


def _image_source(
    request: _Request,
    records: Records,
    prefetch: int = 4,
    augmenter: RecordAugmenter | None = None,
    boxes: BoxTransform | None = None,
    frames: int = 0,
) -> BatchSource:
    """A source of images with the layer's transform."""
    transform, sampler = request.layer.transform, request.sampler
    sampler.permute = records.permute
    try:
        first = first_shapes(records, request.skip_bad)[0]
        mean = load_mean(transform, first[0], request.resolve)
        crop = cropping_of(transform, request.train, first[0], records)
        normalization = Normalization(request.layer.factor, mean, per_pixel=bool(transform.mean_file))
        normalization.check((first[0], *transform.augmented(*first[1:])), lambda: records.describe(0))
        if transform.multi_scale or transform.original_image or transform.warp.multiscale:
            return _multi_scale_source(request, records, crop, mean, prefetch)
        augmenter = augmenter or Augmenter(transform)
        return _record_source(request, records, sampler, crop, normalization, prefetch, augmenter, boxes, frames=frames)
    except BaseException:
        records.close()
        raise


def _multi_scale_source(
    request: _Request, records: Records, crop: Cropping, mean: Mean | None, prefetch: int
) -> BatchSource:
    from netc.data.pipeline.multi_scale import MultiScaleCrop
    from netc.data.pipeline.random_warp import RandomWarper

    transform = request.layer.transform
    if mean is not None and transform.mean_file:  # at a fixed position, whatever the crop
        mean = mean[:, : transform.crop_size, : transform.crop_size]
    normalization = Normalization(request.layer.factor, mean, per_pixel=bool(transform.mean_file))
    augmenter: RecordAugmenter = MultiScaleCrop(transform, request.train)
    if transform.warp.multiscale:
        crop, augmenter = Cropping(transform.crop_size), RandomWarper(transform.warp, transform.crop_size)
    return _record_source(request, records, request.sampler, crop, normalization, prefetch, augmenter)


def _record_source(
    request: _Request,
    records: Records,
    sampler: Sampler,
    crop: Cropping,
    normalization: Normalization,
    prefetch: int = 4,
    augmenter: RecordAugmenter | None = None,
    boxes: BoxTransform | None = None,
    label_maps: bool = False,
    frames: int = 0,
) -> RecordSource:
    return RecordSource(
        records,
        sampler,
        batch_size=request.layer.batch_size,
        crop=crop,
        normalization=normalization,
        prefetch=prefetch,
        threads=request.threads,
        augmenter=augmenter,
        boxes=boxes,
        frames=frames,
        label_maps=label_maps,
        skip_bad=request.skip_bad,
        accepted=request.accepted,
    )


def _window_data(request: _Request) -> BatchSource:
    from netc.data.sources.windows import WindowRecords

    records = WindowRecords(request.layer, request.resolve)
    transform = request.layer.transform
    mean = window_mean(transform, records.shapes()[0][0], request.resolve)
    normalization = Normalization(request.layer.factor, mean, per_pixel=bool(transform.mean_file))
    normalization.check(records.shapes()[0], lambda: f"a window of `{records.name}`")
    # The records are already cropped and mirrored, because padding and rounding depend on that.
    return _record_source(
        request, records, records.sampler(request.sampler), Cropping(transform.crop_size), normalization, 4
    )


def _folders(request: _Request) -> BatchSource:
    from netc.data.sources.folders import DrawingSampler, FolderRecords, FolderSource

    layer, sampler = request.layer, request.sampler
    records = FolderRecords(layer, request.resolve)
    seed = sampler.seed if layer.seed is None else layer.seed
    if layer.drawn:
        sampler = DrawingSampler(seed, rank=sampler.rank, world_size=sampler.world_size, count=len(records))
    else:
        sampler.permute = lambda random: random.permutation(len(records))
    return FolderSource(records, sampler, request.accepted, request.skip_bad)


def _regions(request: _Request) -> BatchSource:
    from netc.data.sources.instance_masks import region_source

    return region_source(request.layer, request.resolve, request.sampler)


def _hdf5_data(request: _Request) -> BatchSource:
    from netc.data.sources.hdf5 import Hdf5Files, Hdf5Source

    if not request.tops:
        raise ValueError("HDF5Data reads the datasets that its tops are named after: pass `tops`")
    files = Hdf5Files(request.layer, request.tops, request.resolve)
    request.sampler.shuffle, request.sampler.permute = request.layer.shuffle, files.permute
    accepted = request.accepted if request.skip_bad and len(request.tops) > 1 else None
    return Hdf5Source(files, request.sampler, request.layer.batch_size, accepted)


def _flow_data(request: _Request) -> BatchSource:
    from netc.data.sources.flow_database import FlowRecords, FlowSource

    store = _store(request)
    try:
        records = FlowRecords(request.layer, store, request.resolve)
        return FlowSource(records, request.sampler, len(request.tops), request.threads or 2, request.skip_bad)
    except BaseException:
        store.close()
        raise


def _poses(request: _Request) -> BatchSource:
    from netc.data.sources.pose_database import PoseRecords, PoseSource

    store, sampler = _store(request), request.sampler
    try:
        records = PoseRecords(request.layer, store)
        sampler.skip = request.layer.rand_skip
        sampler.permute = lambda random: random.permutation(len(records))
        return PoseSource(records, sampler, request.train, request.threads or 2, request.skip_bad)
    except BaseException:
        store.close()
        raise


def _disparities(request: _Request) -> BatchSource:
    from netc.data.sources.disparity_list import DisparityRecords

    request.sampler.skip, request.sampler.shuffle = request.layer.rand_skip, request.layer.shuffle
    return _image_source(request, DisparityRecords(request.layer, request.resolve))


def _one_file(request: _Request) -> BatchSource:
    from netc.data.sources.one_file import OneImage, RepeatedFile, numbers_of

    layer, path = request.layer, request.resolve(request.layer.file)
    if layer.format != "image":
        return numbers_of(layer, path, request.sampler)
    image = OneImage(layer.file, path)

    def transformed() -> Any:
        single = replace(request, layer=replace(layer, num=1), sampler=replace(request.sampler), threads=1)
        with contextlib.closing(_image_source(single, image, prefetch=0)) as source:
            source.configure(np.empty, normalize_on_host=True)
            return np.asarray(source.next_batch().tops[0][0], np.float32)

    return RepeatedFile(layer.file, request.sampler, layer.num, image.shapes()[0], transformed)


def _voxel_truth(request: _Request) -> BatchSource:
    from netc.data.sources.voxel_truth import VoxelTruthRecords, VoxelTruthSource

    layer, sampler = request.layer, request.sampler
    records = VoxelTruthRecords(layer, request.resolve)
    sampler.skip, sampler.shuffle = layer.rand_skip, layer.shuffle
    sampler.permute = lambda random: random.permutation(len(records))
    return VoxelTruthSource(records, sampler, request.train, request.threads or 2, request.skip_bad)


def _object_file(request: _Request) -> BatchSource:
    from netc.data.sources.object_images import ObjectImages, ObjectSource

    records, sampler = ObjectImages(request.layer, request.resolve), request.sampler
    sampler.shuffle, sampler.permute = request.layer.shuffle, records.permute
    return ObjectSource(records, sampler, len(request.tops), request.threads or 2, request.skip_bad)


_OPENERS = {
    "database": _data,
    "annotated database": _annotated_data,
    "compact database": _compact_data,
    "mat files": _mat_files,
    "boxes": _boxes,
    "image list": _image_data,
    "label maps": _label_maps,
    "folders": _folders,
    "windows": _window_data,
    "regions": _regions,
    "instance masks": _regions,
    "video file": _video_file,
    "clips": _clips,
    "hdf5": _hdf5_data,
    "flow database": _flow_data,
    "file": _one_file,
    "disparities": _disparities,
    "voxel truth": _voxel_truth,
    "object file": _object_file,
    "poses": _poses,
}
