"""A stranger's HDF5 file: what may be read of it, and how much.

HDF5 can point into other files, at itself, and at data that is a thousand times its size. Only plain links are
followed, only datasets whose values stand in this file are read, and all of them together are bounded.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NoReturn

import h5py
import numpy as np

from netc.diagnostics import NetcError, counted
from netc.weights.blobproto import MAX_AXES, MAX_COUNT
from netc.weights.blobs import Array

MAX_LINKS = 1 << 17
"""Groups and datasets of one file."""
MAX_DEPTH = 32
"""Slashes in a layer's name."""
MAX_INFLATION = 64
"""Bytes that all values may take for each byte of the file: compression makes them more."""
FREE_BYTES = 1 << 24
"""Bytes that are allowed beyond that: small files are mostly headers."""
MAX_GAPS = 64
"""Blobs of a layer that may be missing before the first that is there."""
MAX_TEXT = 1 << 16
"""Bytes of a string."""


class Reader:
    """An open HDF5 file. Methods raise NetcError E402 to E406; h5py's own errors are the caller's to translate."""

    def __init__(self, file: h5py.File, data: memoryview, name: str) -> None:
        self.root: h5py.Group = file["/"]
        self.data = data
        self.name = name
        self._links_left = MAX_LINKS
        self._bytes_left = len(data) * MAX_INFLATION + FREE_BYTES

    def links(self, group: h5py.Group) -> list[str]:
        """The names in a group. Raises NetcError E405 for too many, E406 for links into other files or to names."""
        self._links_left -= len(group)
        if self._links_left < 0:
            self.fail("E405", f"the file has more than {MAX_LINKS} groups and datasets")
        names = list(group)
        for name in names:
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                self.fail("E406", f"`{group.name}/{name}` is a link to another place, which Caffe does not write")
        return names

    def tree(self, top: str) -> Iterator[tuple[str, dict[int, Array]]]:
        """Each group under group `top`: its path below it and its datasets by number; `top` itself only with some.

        A group that only holds groups is a part of a name with slashes, not a layer.
        """
        pending = [("", self.root[top])]
        while pending:
            path, group = pending.pop()
            if not isinstance(group, h5py.Group):
                self.fail("E402", f"`{path or top}` is no group, as in a Caffe file")
            if path.count("/") > MAX_DEPTH:
                self.fail("E405", f"groups are more than {MAX_DEPTH} deep")
            children = [(name, group[name]) for name in self.links(group)]
            arrays = {int(n): self.array(o) for n, o in children if isinstance(o, h5py.Dataset) and _is_index(n)}
            groups = [(f"{path}/{n}" if path else n, o) for n, o in children if isinstance(o, h5py.Group)]
            if arrays or (path and not groups):
                yield path, arrays
            pending.extend(reversed(groups))

    def array(self, dataset: h5py.Dataset) -> Array:
        """A dataset's values as floats: a view of the file where they stand there in one piece."""
        shape, kind = dataset.shape, dataset.dtype
        if shape is None or kind.kind not in "fiu" or kind.itemsize > 8:
            self.fail("E406", f"`{dataset.name}` holds no numbers of up to 64 bits")
        if len(shape) > MAX_AXES or np.prod(shape, dtype=object) > MAX_COUNT:
            self.fail("E404", f"`{dataset.name}` has the shape {'x'.join(map(str, shape))}: more than a blob can hold")
        self._take(dataset, int(np.prod(shape, dtype=object)) * max(4, kind.itemsize))
        float_kind = kind if kind.kind == "f" else np.dtype("<f4")  # as H5LTread_dataset_float turns integers
        offset = dataset.id.get_offset()
        plain = dataset.chunks is None and offset is not None and kind in (np.dtype("<f4"), np.dtype("<f8"))
        if plain and offset + dataset.nbytes <= len(self.data):
            view: Array = np.ndarray(shape, kind, self.data, offset)
            return view
        values: Array = np.asarray(dataset[()]).astype(float_kind.newbyteorder("="), copy=False)
        return values

    def in_order(self, arrays: dict[int, Array]) -> list[Array | None]:
        """The datasets by number, with None in the gaps. Raises NetcError E404 for more gaps than sharing explains."""
        length = max(arrays, default=-1) + 1
        if length > 2 * len(arrays) + MAX_GAPS:
            self.fail("E404", f"a blob is numbered `{length - 1}`, but there are only {counted(len(arrays), 'blob')}")
        return [arrays.get(index) for index in range(length)]

    def integer(self, name: str) -> int:
        """A number of a dataset with one element."""
        dataset = self._dataset(name)
        if dataset.size != 1 or dataset.dtype.kind not in "iu":
            self.fail("E404", f"`{name}` is not one whole number")
        return int(np.asarray(dataset[()]).reshape(()))

    def text(self, name: str) -> str:
        """A string of fixed or free length."""
        dataset = self._dataset(name)
        if dataset.size != 1 or h5py.check_string_dtype(dataset.dtype) is None or dataset.dtype.itemsize > MAX_TEXT:
            self.fail("E404", f"`{name}` is not one string")
        value = np.asarray(dataset[()]).reshape(()).item()
        return value if isinstance(value, str) else bytes(value).split(b"\0")[0].decode("utf-8", "surrogateescape")

    def fail(self, code: str, message: str) -> NoReturn:
        """Raise the error, with the file's name and size."""
        raise NetcError(message, code=code, notes=[f"in `{self.name}`, {len(self.data)} bytes"])

    def _dataset(self, name: str) -> h5py.Dataset:
        found = self.root[name]
        if not isinstance(found, h5py.Dataset):
            self.fail("E402", f"`{name}` is no dataset, as in a Caffe file")
        self._take(found, found.nbytes if found.shape is not None else 0)
        return found

    def _take(self, dataset: h5py.Dataset, size: int) -> None:
        """Account for values; refuse those that stand elsewhere, or nowhere."""
        if dataset.external or dataset.is_virtual:
            self.fail("E406", f"the values of `{dataset.name}` are in another file")
        if size and not dataset.id.get_storage_size():
            self.fail("E404", f"the file has no values for `{dataset.name}`")
        self._bytes_left -= size
        if self._bytes_left < 0:
            self.fail("E405", f"the values up to `{dataset.name}` are more than {MAX_INFLATION} times the file")


def _is_index(name: str) -> bool:
    """Whether Caffe would give a blob this name: a number without zeros before it."""
    return name.isascii() and name.isdecimal() and len(name) < 6 and str(int(name)) == name
