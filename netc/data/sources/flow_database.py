"""CustomData of FlowNet: records whose channels are images, flows and masks (`custom_data_layer.cpp`)."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from netc.data.batch import Allocate, Array, Batch
from netc.data.pipeline.mean import read_mean
from netc.data.pipeline.prefetch import PrefetchingSource
from netc.data.records import MAX_SKIPS
from netc.data.sources.database import KeyIndex
from netc.data.sources.datum import Datum, read_datum
from netc.data.sources.image_list import read_text
from netc.diagnostics import NetcError, counted

if TYPE_CHECKING:
    from concurrent.futures import Executor, Future

    from netc.data.pipeline.sampling import Numbers, Sampler
    from netc.data.stores.store import Store
    from netc.paths import ResolvePath

Floats = npt.NDArray[np.float32]
NOT_A_NUMBER = 32767
FLOW_STEPS = 32.0
"""Steps of an encoded flow in one pixel."""


class FlowRecords:
    """The records of a CustomData layer. Raises NetcError E502 for an empty database."""

    def __init__(self, layer: Any, store: Store, resolve: ResolvePath) -> None:
        self.layer, self.store, self.name = layer, store, store.name
        self._keys = KeyIndex(store)
        if not len(self._keys):
            raise NetcError(f"database `{self.name}` is empty", code="E502", field="data_param.source")
        self.selected = self._selected(resolve)
        first = self._datum(int(self.selected[0]))
        self.size = (first.channels, first.height, first.width)
        self.shapes = tuple((end - start, *self.size[1:]) for start, end in self._slices(first.channels))
        self.mean = self._mean(resolve)

    def order(self, epoch: int, seed: int) -> Numbers:
        """The indices of the records of the range, as permuted for the `epoch`-th time."""
        layer, chosen = self.layer, self.selected
        last = len(chosen) - 1
        start = min(max(layer.range_start, 0), last)
        end = layer.range_end if 0 <= layer.range_end <= last else last
        if end < start:
            raise NetcError(f"`range_end` {end} is before `range_start` {start}", code="E103", field="range_end")
        if not layer.rand_permute:
            return chosen[start : end + 1]
        random = np.random.default_rng([layer.rand_permute_seed or seed, 0])
        if layer.rand_permute_order == "FIRST_RANGE_THEN_PERMUTE":
            found = self._permuted(chosen[start : end + 1], random)
        else:
            found = self._permuted(chosen, random)[start : end + 1]
        if epoch:
            found = self._permuted(found, np.random.default_rng([layer.rand_permute_seed or seed, epoch]))
        return found

    def _permuted(self, indices: Numbers, random: np.random.Generator) -> Numbers:
        size = self.layer.block_size
        if not size:
            return random.permutation(indices)
        found = indices.copy()
        for start in range(0, len(found), size):
            random.shuffle(found[start : min(start + size, len(found)) - 1])
        return found

    def _selected(self, resolve: ResolvePath) -> Numbers:
        """The indices of the records that a preselection leaves. Raises NetcError E506 for another number of lines."""
        layer, count = self.layer, len(self._keys)
        if not layer.preselection_file:
            return np.arange(count)
        field = "data_param.preselection_file"
        words = read_text(resolve(layer.preselection_file), layer.preselection_file, field).split()
        if len(words) != count:
            text = f"`{layer.preselection_file}` has {counted(len(words), 'number')} for {counted(count, 'record')}"
            raise NetcError(text, code="E506", field=field)
        found = np.flatnonzero([word == str(layer.preselection_label) for word in words])
        if not len(found):
            raise NetcError(f"no record has the label {layer.preselection_label}", code="E502", field=field)
        return found

    def _mean(self, resolve: ResolvePath) -> Floats | None:
        layer, channels = self.layer, self.size[0]
        if layer.mean_file:
            mean = read_mean(resolve(layer.mean_file), layer.mean_file)
            if mean.shape != self.size:
                raise NetcError(f"a mean of {mean.shape} does not fit records of {self.size}", code="E505")
            return mean
        if not layer.subtract:
            return None
        if len(layer.subtract) > channels:
            text = f"{counted(len(layer.subtract), 'value')} of `subtract` for {counted(channels, 'channel')}"
            raise NetcError(text, code="E505", field="data_param.subtract")
        values = np.zeros((channels, 1, 1), np.float32)
        values[: len(layer.subtract), 0, 0] = layer.subtract
        return values

    def _slices(self, channels: int) -> list[tuple[int, int]]:
        """The first and last channel of each top. Raises NetcError E508 for slices that a record does not have."""
        points = self.layer.slice_point
        if points and points[-1] >= channels:
            text = f"`slice_point` {points[-1]} is beyond the {counted(channels, 'channel')} of `{self.name}`"
            raise NetcError(text, code="E508", field="data_param.slice_point")
        return list(pairwise((0, *points, channels)))

    def describe(self, index: int) -> str:
        """The record, for a message."""
        return f"record `{self._keys[index].decode('utf-8', 'backslashreplace')}` of `{self.name}`"

    def _datum(self, index: int) -> Datum:
        with self.store.reading() as get:
            value = get(self._keys[index]) or b""
        try:
            return read_datum(bytes(value))
        except ValueError as error:
            raise NetcError(f"{self.describe(index)}: {error}", code="E504", field="data_param.source") from None

    def read(self, index: int) -> tuple[Floats, int]:
        """The values (c, h, w) and the label of a record. Raises NetcError E504 for one that is damaged."""
        datum = self._datum(index)
        if (datum.channels, datum.height, datum.width) != self.size:
            size = (datum.channels, datum.height, datum.width)
            text = f"{self.describe(index)} has the shape {size}; that of the first is {self.size}"
            raise NetcError(text, code="E503", field="data_param.source")
        try:
            values = self._decoded(datum)
        except ValueError as error:
            raise NetcError(f"{self.describe(index)}: {error}", code="E504", field="data_param.source") from None
        if self.mean is not None:
            values = values - self.mean
        return values * np.float32(self.layer.scale), datum.label

    def _decoded(self, datum: Datum) -> Floats:
        """The values of all slices. Raises ValueError for a record of another length than they take."""
        if datum.floats is not None:
            if self.layer.encoding or datum.floats.size != np.prod(self.size):
                raise ValueError("floats in a record that is encoded, or too few")
            return datum.floats.reshape(self.size)
        data, at, found = np.frombuffer(datum.data, np.uint8), 0, np.empty(self.size, np.float32)
        encodings = (*self.layer.encoding, *("UINT8",) * len(self.shapes))
        for encoding, (start, end), shape in zip(encodings, self._slices(self.size[0]), self.shapes):
            count = int(np.prod(shape))
            taken = {"UINT8": count, "UINT16FLOW": 2 * count, "BOOL1": (count - 1) // 8 + 1}[encoding]
            if at + taken > data.size or (encoding == "BOOL1" and shape[0] != 1):
                raise ValueError(f"its {data.size} bytes do not hold the slices that the layer describes")
            found[start:end] = _values(data[at : at + taken], encoding, count).reshape(shape)
            at += taken
        return found


def _values(data: npt.NDArray[np.uint8], encoding: str, count: int) -> Array:
    """The values of a slice."""
    if encoding == "UINT8":
        return data
    if encoding == "BOOL1":
        return np.unpackbits(data, bitorder="little")[:count]
    steps = data.view("<i2")
    flow = steps.astype(np.float32) / np.float32(FLOW_STEPS)
    flow[steps == NOT_A_NUMBER] = np.nan
    return flow


class FlowSource(PrefetchingSource["PendingArrays"]):
    """Batches of the tops of a CustomData layer; see `BatchSource`."""

    normalization = None

    def __init__(self, records: FlowRecords, sampler: Sampler, tops: int, threads: int, skip_bad: bool) -> None:
        layer = records.layer
        super().__init__(records.name, sampler, layer.batch_size, records.shapes, layer.prefetch, threads)
        self.records, self.tops, self.skip_bad = records, tops, skip_bad
        self.skipped: dict[str, NetcError] = {}
        self._orders: dict[int, Numbers] = {}

    def configure(self, allocate: Allocate, normalize_on_host: bool) -> None:
        """See BatchSource; the tops are complete as they are read."""

    def epoch_size(self) -> int | None:
        """The number of records of the range."""
        return len(self._order(0))

    def release(self) -> None:
        """Close the database."""
        self.records.store.close()

    def _order(self, epoch: int) -> Numbers:
        if epoch not in self._orders:
            self._orders = {epoch: self.records.order(epoch, self.sampler.seed)}
        return self._orders[epoch]

    def start_batch(self, pool: Executor, position: int) -> PendingArrays:
        """Start to read a batch."""
        numbers = self.sampler.numbers(position, self.batch_size)
        every = self.records.layer.permute_every_iter
        order = self._order(position // self.batch_size // every if every else 0)
        return PendingArrays(pool.submit(self._read, order[numbers % len(order)].tolist()))

    def _read(self, indices: list[int]) -> tuple[Array, ...]:
        tops = [np.empty((len(indices), *shape), np.float32) for shape in self.record_shapes]
        labels = np.empty((len(indices), 1, 1, 1), np.float32)
        for row, index in enumerate(indices):
            values, labels[row] = self._usable(index)
            start = 0
            for top in tops:
                top[row] = values[start : start + top.shape[1]]
                start += top.shape[1]
        return (*tops, labels)[: self.tops or None]

    def _usable(self, index: int) -> tuple[Floats, int]:
        """A record, or with `skip_bad` the next one that can be read."""
        count = len(self.records.selected)
        for step in range(MAX_SKIPS if self.skip_bad else 1):
            try:
                return self.records.read((index + step) % count if step else index)
            except NetcError as error:
                if not self.skip_bad or step + 1 == MAX_SKIPS:
                    raise
                self.skipped[self.records.describe((index + step) % count)] = error
        raise AssertionError("the last attempt returns or raises")


class PendingArrays:
    """A batch that is being read."""

    def __init__(self, future: Future[tuple[Array, ...]]) -> None:
        self._future = future
        self.cancel = future.cancel

    def result(self) -> Batch:
        """Wait for the batch. Raises NetcError for a record that cannot be used."""
        return Batch(self._future.result())
