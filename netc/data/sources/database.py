"""Records of Datum in a key-value store, LMDB or LevelDB (`data_layer.cpp`)."""

from __future__ import annotations

import contextlib
import math
import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from netc.data import images
from netc.data.records import Read, Record, RecordBatch
from netc.data.sources.datum import Datum, is_annotated, read_alike, read_datum
from netc.diagnostics import NetcError, counted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from netc.data.batch import Shape
    from netc.data.stores.store import Store


class KeyIndex:
    """The keys of a store by index, iterated as far as needed; an index past the end wraps around."""

    def __init__(self, store: Store) -> None:
        self._known: list[bytes] = []
        self._rest: Iterator[bytes] | None = store.keys()
        self._fault: NetcError | None = None
        """The error that prevents reading the keys after the known ones."""
        self._lock = threading.Lock()

    def __getitem__(self, index: int) -> bytes:
        if index >= len(self._known):
            self._walk(index + 1)
        known = self._known
        return known[index] if index < len(known) else known[index % len(known)]

    def __len__(self) -> int:
        self._walk(None)
        return len(self._known)

    def _walk(self, count: int | None) -> None:
        if self._rest is None and self._fault is None:
            return
        with self._lock:
            if self._fault is not None:
                raise self._fault
            while self._rest is not None and (count is None or len(self._known) < count):
                try:
                    key = next(self._rest, None)
                except NetcError as fault:
                    self._fault, self._rest = fault, None
                    raise
                if key is None:
                    self._rest = None
                else:
                    self._known.append(key)

    def close(self) -> None:
        """Close the cursor."""
        with self._lock:
            if self._rest is not None:
                self._rest.close()  # type: ignore[attr-defined]
                self._rest = None


class DatumRecords:
    """The images and labels of a database; see `Records`.

    `color` and `gray` are `force_color` and `force_gray`, which apply to encoded images only, as in Caffe.
    Raises NetcError E502 for an empty database.
    """

    def __init__(self, store: Store, color: bool = False, gray: bool = False) -> None:
        self.store, self.name = store, store.name
        self._flag = images.flags(color, gray)
        self._keys = KeyIndex(store)
        try:
            self._keys[0]
        except NetcError:
            self.close()
            raise
        except (IndexError, ZeroDivisionError):
            self.close()
            raise NetcError(f"database `{self.name}` is empty", code="E502", field="data_param.source") from None

    def __len__(self) -> int:
        """Number of records; iterates all keys."""
        return len(self._keys)

    def packing(self, index: int) -> tuple[int, bool]:
        """Bytes of a record, and whether its image is encoded; False for a record that is not a Datum."""
        with self.store.reading() as get:
            value = get(self._keys[index]) or b""
            try:
                return len(value), self.parse(value)[0].encoded
            except ValueError:
                return len(value), False

    def shapes(self, index: int = 0) -> tuple[Shape, ...]:
        """Planes of a record, and its label, a scalar."""
        with self.reading() as read:
            return read(index).image.shape, ()

    def permute(self, random: np.random.Generator) -> npt.NDArray[np.int64]:
        """A random order of all keys."""
        return random.permutation(len(self._keys))

    def describe(self, index: int) -> str:
        """The record, for a message."""
        return f"record `{self._keys[index].decode('utf-8', 'backslashreplace')}` of `{self.name}`"

    def next_index(self, index: int) -> int:
        """The next record."""
        return index + 1

    @contextlib.contextmanager
    def reading(self) -> Iterator[Read]:
        """`read(index)`. Raises NetcError E503 for a record that is not a Datum, E504 for an undecodable image."""
        with self.store.reading() as get:

            def read(index: int) -> Record:
                datum, label = self._parsed(index, get)
                return Record(self._image(index, datum), label)

            yield read

    def read_many(self, indices: list[int]) -> RecordBatch | None:
        """Raw images of one size; None for others."""
        with self.store.reading() as get:
            try:
                found = read_alike([get(self._keys[index]) for index in indices])
            except (TypeError, ValueError):
                return None
            if found is None:
                return None
            extents, data, labels = found
        pixels = np.frombuffer(data, np.uint8)
        if min(extents) < 1 or len(pixels) != math.prod((len(indices), *extents)):
            return None
        return RecordBatch(pixels.reshape(len(indices), *extents), labels)

    def close(self) -> None:
        """Close the store."""
        self._keys.close()
        self.store.close()

    def parse(self, value: Any) -> tuple[Datum, Any]:
        """The image of a record, and its label. Raises ValueError for bytes that are not a Datum."""
        if is_annotated(value):
            raise ValueError("it is an AnnotatedDatum, which an `AnnotatedData` layer reads, not a Datum")
        datum = read_datum(value)
        return datum, datum.label

    def _parsed(self, index: int, get: Callable[[bytes], Any]) -> tuple[Datum, Any]:
        value = get(self._keys[index])
        try:
            if value is None:
                raise ValueError("it no longer exists")
            return self.parse(value)
        except ValueError as error:
            raise NetcError(f"{self.describe(index)}: {error}", code="E503", field="data_param.source") from None

    def _image(self, index: int, datum: Datum) -> images.Image:
        try:
            return images.decode(datum.data, self._flag) if datum.encoded else raw_image(datum)
        except ValueError as error:
            code = "E504" if datum.encoded else "E503"
            raise NetcError(f"{self.describe(index)}: {error}", code=code, field="data_param.source") from None


def raw_image(datum: Datum) -> images.Image:
    """The planes of a record that is not encoded: its bytes, or its floats if it has no bytes.

    Raises ValueError if their number does not agree with the shape.
    """
    shape = datum.channels, datum.height, datum.width
    values: Any = np.frombuffer(datum.data, np.uint8) if len(datum.data) else datum.floats
    count = 0 if values is None else len(values)
    if min(shape) < 1 or count != shape[0] * shape[1] * shape[2]:
        raise ValueError(f"{counted(count, 'value')} for an image of {'x'.join(map(str, shape))}")
    return values.reshape(shape)  # type: ignore[no-any-return]
