"""Reads an untrusted HDF5 file within limits.

HDF5 can refer to other files, to itself, and to data a thousand times its own size. Only hard links are followed, only
datasets whose values are stored in the file itself are read, and their total size is limited.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

import h5py
import numpy as np

from netc.diagnostics import NetcError, counted
from netc.weights.blobproto import MAX_AXES, MAX_COUNT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from netc.weights.blobs import Array

MAX_LINKS = 1 << 17
"""Limit of groups and datasets in a file."""
MAX_DEPTH = 32
"""Limit of slashes in a layer's name."""
MAX_INFLATION = 64
"""Limit of the total size of all values relative to the size of the file; compression makes it more than 1."""
FREE_BYTES = 1 << 24
"""Additional bytes allowed: small files are mostly headers."""
MAX_GAPS = 64
"""Limit of missing blobs before the first of a layer."""
MAX_TEXT = 1 << 16
"""Limit of the bytes of a string."""


class Reader:
    """An open HDF5 file. Methods raise NetcError E402 to E406; the caller handles errors of h5py."""

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
        """Each group below group `top`: relative path and datasets by number; `top` itself only if it has datasets.

        A group that contains only groups is a part of a name with slashes, not a layer.
        """
        pending = [("", self.root[top])]
        while pending:
            path, group = pending.pop()
            if not isinstance(group, h5py.Group):
                self.fail("E402", f"`{path or top}` is not a group, as it is in a Caffe file")
            if path.count("/") > MAX_DEPTH:
                self.fail("E405", f"groups are nested more than {MAX_DEPTH} deep")
            children = [(name, group[name]) for name in self.links(group)]
            arrays = {int(n): self.array(o) for n, o in children if isinstance(o, h5py.Dataset) and _is_index(n)}
            groups = [(f"{path}/{n}" if path else n, o) for n, o in children if isinstance(o, h5py.Group)]
            if arrays or (path and not groups):
                yield path, arrays
            pending.extend(reversed(groups))

    def array(self, dataset: h5py.Dataset) -> Array:
        """A dataset's values as floats: a view of the file if they are contiguous in it."""
        shape, kind = dataset.shape, dataset.dtype
        if shape is None or kind.kind not in "fiu" or kind.itemsize > 8:
            self.fail("E406", f"`{dataset.name}` does not contain numbers of at most 64 bits")
        if len(shape) > MAX_AXES or np.prod(shape, dtype=object) > MAX_COUNT:
            self.fail(
                "E404", f"`{dataset.name}` has the shape {'x'.join(map(str, shape))}: more values than a blob can hold"
            )
        self._take(dataset, int(np.prod(shape, dtype=object)) * max(4, kind.itemsize))
        float_kind = kind if kind.kind == "f" else np.dtype("<f4")  # as H5LTread_dataset_float converts integers
        offset = dataset.id.get_offset()
        plain = dataset.chunks is None and offset is not None and kind in (np.dtype("<f4"), np.dtype("<f8"))
        if plain and offset + dataset.nbytes <= len(self.data):
            view: Array = np.ndarray(shape, kind, self.data, offset)
            return view
        values: Array = np.asarray(dataset[()]).astype(float_kind.newbyteorder("="), copy=False)
        return values

    def in_order(self, arrays: dict[int, Array]) -> list[Array | None]:
        """The datasets in order, with None in gaps. Raises NetcError E404 for more gaps than shared blobs can cause."""
        length = max(arrays, default=-1) + 1
        if length > 2 * len(arrays) + MAX_GAPS:
            self.fail("E404", f"a blob is numbered `{length - 1}`, but there are only {counted(len(arrays), 'blob')}")
        return [arrays.get(index) for index in range(length)]

    def integer(self, name: str) -> int:
        """The integer in a dataset of one element."""
        dataset = self._dataset(name)
        if dataset.size != 1 or dataset.dtype.kind not in "iu":
            self.fail("E404", f"`{name}` is not a single integer")
        return int(np.asarray(dataset[()]).reshape(()))

    def text(self, name: str) -> str:
        """The string in a dataset of one element, of fixed or variable length."""
        dataset = self._dataset(name)
        if dataset.size != 1 or h5py.check_string_dtype(dataset.dtype) is None or dataset.dtype.itemsize > MAX_TEXT:
            self.fail("E404", f"`{name}` is not a single string")
        value = np.asarray(dataset[()]).reshape(()).item()
        return value if isinstance(value, str) else bytes(value).split(b"\0")[0].decode("utf-8", "surrogateescape")

    def fail(self, code: str, message: str) -> NoReturn:
        """Raise the error, with the file's name and size."""
        raise NetcError(message, code=code, notes=[f"in `{self.name}`, {len(self.data)} bytes"])

    def _dataset(self, name: str) -> h5py.Dataset:
        found = self.root[name]
        if not isinstance(found, h5py.Dataset):
            self.fail("E402", f"`{name}` is not a dataset, as it is in a Caffe file")
        self._take(found, found.nbytes if found.shape is not None else 0)
        return found

    def _take(self, dataset: h5py.Dataset, size: int) -> None:
        """Count the size of values toward the limit. Raises NetcError for values that are not stored in the file."""
        if dataset.external or dataset.is_virtual:
            self.fail("E406", f"the values of `{dataset.name}` are in another file")
        if size and not dataset.id.get_storage_size():
            self.fail("E404", f"the file has no values for `{dataset.name}`")
        self._bytes_left -= size
        if self._bytes_left < 0:
            self.fail(
                "E405", f"the values up to `{dataset.name}` take more than {MAX_INFLATION} times the size of the file"
            )


def _is_index(name: str) -> bool:
    """Whether a blob of Caffe may have this name: a number without leading zeros."""
    return name.isascii() and name.isdecimal() and len(name) < 6 and str(int(name)) == name
