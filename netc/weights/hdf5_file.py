"""Reads an untrusted HDF5 file within limits.

HDF5 can refer to other files, to itself, and to data a thousand times its own size. Only hard links are followed, only
datasets whose values are stored in the file itself are read, and their total size is limited.
"""

from __future__ import annotations

import math
import zlib
from typing import TYPE_CHECKING, Any, NoReturn

import h5py
import numpy as np

from netc.diagnostics import NetcError, counted
from netc.files import MAX_DEFLATE
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
MAX_SOFT_LINKS = 8
"""Limit of the links of one path that refer to another path of the same file."""
CHECKSUM = 4
"""Bytes of the checksum that a filter adds."""
MAX_CHUNK = 1 << 28
"""Limit of the bytes of one chunk of a data file, which are decompressed at once."""


def stored_dataset(file: h5py.File, name: str) -> h5py.Dataset | None:
    """The dataset of a data file whose values are in that file itself; None if `name` is not a dataset.

    Links within the file are followed. Raises NetcError E406 for links to another file, external storage and virtual
    datasets, by which any file could be read, and E405 for a chunk whose size has no relation to that of the file.
    """
    found = _followed(file, name, MAX_SOFT_LINKS)
    if not isinstance(found, h5py.Dataset):
        return None
    check_storage(found)
    if _filters(found).count(h5py.h5z.FILTER_DEFLATE) > 1:
        raise NetcError(f"`{found.name}` is compressed twice, which can expand without limit", code="E405")
    if _chunk_bytes(found) > max(MAX_CHUNK, MAX_INFLATION * file.id.get_filesize()):
        raise NetcError(f"a chunk of `{found.name}` has {_chunk_bytes(found):,} bytes", code="E405")
    return found


def check_storage(dataset: h5py.Dataset) -> None:
    """Raise NetcError E406 for a dataset whose values are in another file."""
    if dataset.external or dataset.is_virtual:
        raise NetcError(f"the values of `{dataset.name}` are in another file", code="E406")


def _followed(group: h5py.Group, path: str, links_left: int) -> h5py.Group | h5py.Dataset | None:
    """The object at a path, None if there is none."""
    found: Any = group.file["/"] if path.startswith("/") else group
    for name in filter(None, path.split("/")):
        link = found.get(name, getlink=True) if _has_link(found, name) else None
        if isinstance(link, h5py.ExternalLink):
            raise NetcError(f"`{name}` is a link to the file `{link.filename}`", code="E406")
        if isinstance(link, h5py.SoftLink):
            found = _followed(found, link.path, links_left - 1) if links_left else None
        else:
            found = found[name] if link is not None else None
    return found


def _has_link(found: Any, name: str) -> bool:
    """Whether a group has a link of this name, whether or not it leads anywhere (`in` would open its file)."""
    return isinstance(found, h5py.Group) and bool(found.id.links.exists(name.encode("utf-8", "surrogateescape")))


def _chunk_bytes(dataset: h5py.Dataset) -> int:
    """The bytes of one chunk, which HDF5 holds in memory at once; it may exceed the dataset."""
    return math.prod(dataset.chunks) * dataset.dtype.itemsize if dataset.chunks else 0


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
        raise NetcError(message, code=code, notes=self._where)

    @property
    def _where(self) -> list[str]:
        return [f"in `{self.name}`, {len(self.data)} bytes"]

    def _dataset(self, name: str) -> h5py.Dataset:
        found = self.root[name]
        if not isinstance(found, h5py.Dataset):
            self.fail("E402", f"`{name}` is not a dataset, as it is in a Caffe file")
        self._take(found, found.nbytes if found.shape is not None else 0)
        return found

    def _take(self, dataset: h5py.Dataset, size: int) -> None:
        """Count the size of values toward the limit. Raises NetcError for values that are not stored in the file."""
        try:
            check_storage(dataset)
        except NetcError as error:
            raise error.at(None, *self._where) from None
        if size and not dataset.id.get_storage_size():
            self.fail("E404", f"the file has no values for `{dataset.name}`")
        self._check_chunks(dataset)
        self._bytes_left -= size + _chunk_bytes(dataset)
        if self._bytes_left < 0:
            self.fail(
                "E405", f"the values up to `{dataset.name}` take more than {MAX_INFLATION} times the size of the file"
            )

    def _check_chunks(self, dataset: h5py.Dataset) -> None:
        """Raise NetcError E405 for a chunk that decompresses to more than its size, E406 for an unusual filter.

        HDF5 decompresses a chunk to its end, whatever its declared size; other filters take the size of their result
        from the file.
        """
        filters = _filters(dataset)
        if not set(filters) <= _BOUNDED or filters.count(h5py.h5z.FILTER_DEFLATE) > 1:
            self.fail("E406", f"`{dataset.name}` is compressed in a way that Caffe does not use")
        largest = _chunk_bytes(dataset)
        for index in range(dataset.id.get_num_chunks() if h5py.h5z.FILTER_DEFLATE in filters else 0):
            chunk = dataset.id.get_chunk_info(index)
            stored = self.data[chunk.byte_offset : chunk.byte_offset + chunk.size]
            if len(stored) * MAX_DEFLATE > FREE_BYTES and _inflates_beyond(stored, largest + CHECKSUM):
                self.fail("E405", f"a chunk of `{dataset.name}` decompresses to more than its {largest:,} bytes")


_BOUNDED = {h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32, h5py.h5z.FILTER_LZF}
"""Filters whose result is at most MAX_DEFLATE times their input."""


def _filters(dataset: h5py.Dataset) -> list[int]:
    """The numbers of the filters of a dataset, in the order in which they were applied."""
    properties = dataset.id.get_create_plist()
    return [properties.get_filter(index)[0] for index in range(properties.get_nfilters())]


def _inflates_beyond(stored: memoryview, limit: int) -> bool:
    try:
        return len(zlib.decompressobj().decompress(stored, limit + 1)) > limit
    except zlib.error:
        return False  # stored uncompressed, or damaged: HDF5 reports it


def _is_index(name: str) -> bool:
    """Whether a blob of Caffe may have this name: a number without leading zeros."""
    return name.isascii() and name.isdecimal() and len(name) < 6 and str(int(name)) == name
