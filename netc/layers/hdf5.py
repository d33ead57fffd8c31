"""HDF5Data, whose batches are read by the data package, and HDF5Output."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from netc.deferred_errors import deferred_errors
from netc.diagnostics import NetcError, counted
from netc.files import is_file
from netc.ir.dims import Shape, differ, text
from netc.ir.fields import Fields
from netc.ir.layer import Cost, Count, DataLayer, Layer, Mode, Shapes, StateEntry, fail
from netc.ir.traits import FedBy
from netc.layers._registry import register

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from torch import Tensor

    Array = npt.NDArray[np.float32]


@register("HDF5Data", field="hdf5_data_param", v1="HDF5_DATA")
@dataclass(frozen=True)
class HDF5Data(DataLayer):
    """Rows of the datasets with the names of the tops, from each HDF5 file of a list.

    A record is a row of each dataset.

    Shapes: to (batch_size, ...) for each top; unknown if no file can be read.

    >>> HDF5Data(source="files.txt", batch_size=10).batch(((8, 6), ()), 2)
    ((10, 8, 6), (10,))

    Reference: `hdf5_data_layer.cpp`.
    """

    source: str = ""
    """Path of a list of HDF5 files, one path per line."""
    batch_size: int = 0
    """Number of rows per batch."""
    shuffle: bool = False
    """Whether the files, and the rows of each file, are shuffled in each epoch."""

    fed_by: ClassVar[FedBy] = "hdf5"

    @classmethod
    def from_caffe(cls, layer: Fields) -> Self:
        """Reads `hdf5_data_param`. Raises NetcError E101 for a missing source or a `transform_param`, E103."""
        result = super().from_caffe(layer)
        if "transform_param" in layer:
            fail("`HDF5Data` does not support `transform_param`", code="E101", field="transform_param")
        if not result.source:
            fail("`source` is missing", code="E101", field="source")
        if result.batch_size < 1:
            fail("`batch_size` is required and must be positive", code="E103", field="batch_size")
        return result

    def batch(self, record: Shapes | None, tops: int) -> tuple[Shape | None, ...]:
        """Raises NetcError E102 if a record has fewer datasets than the layer has tops."""
        if record is None:
            return (None,) * tops
        if len(record) < tops:
            fail(f"{counted(len(record), 'dataset')} for {counted(tops, 'top')}", field="top")
        return tuple((self.batch_size, *shape) for shape in record[:tops])

    def random_fields(self, train: bool) -> tuple[str, ...]:
        """`shuffle`."""
        return ("shuffle",) * self.shuffle

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """Zero: the rows are read outside the net."""
        return Cost()


@register("HDF5Output", field="hdf5_output_param", v1="HDF5_OUTPUT")
@dataclass(frozen=True)
class HDF5Output(Layer):
    """Writes its bottoms to an HDF5 file, as float32 datasets `data` and `label` of shape (n, c, h, w).

    The first pass creates or replaces the file, each later one appends its items (in Caffe the second pass fails,
    because it creates the datasets again). Only `netc train`, `netc test` and the Python interface write it, and a file
    that this layer did not write is replaced with `--overwrite` only.

    Shapes: two bottoms of at most four axes and the same batch size, no top.

    >>> HDF5Output(file_name="scores.h5").infer(((4, 5), (4,)), 0)
    ()

    Reference: `hdf5_output_layer.cpp`.
    """

    file_name: str = ""
    """Path of the file, relative to the working directory."""

    bottom_count: ClassVar[Count] = Count(2)
    top_count: ClassVar[Count] = Count(0)
    no_gradient: ClassVar[tuple[int, ...]] = (0, 1)
    writes_file: ClassVar[bool] = True

    @classmethod
    def from_caffe(cls, layer: Fields) -> Self:
        """Reads `hdf5_output_param`. Raises NetcError E101 for a missing file name."""
        result = super().from_caffe(layer)
        if not result.file_name:
            fail("`file_name` is missing", code="E101", field="file_name")
        return result

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 if the bottoms do not match."""
        for shape in bottoms:
            if not 1 <= len(shape) <= 4:
                fail(f"expected a bottom with 1 to 4 axes, got {text(shape)}", field="bottom")
        data, label = bottoms
        if differ(data[0], label[0]):
            fail(
                f"{counted(data[0], 'item')} of data, but {label[0]} of labels: the first axes must agree",
                field="bottom",
            )
        return ()

    def state_entries(self, bottoms: Shapes) -> tuple[StateEntry, ...]:
        """Whether a pass has created the file."""
        return (StateEntry("written", (), "bool", by_mode=False),)

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> tuple[Tensor, ...]:
        """Opens, writes and closes the file in each pass, so that it is complete between passes.

        Raises NetcError E408 if it cannot be written, E412 for a file of another program.
        """
        import torch

        if mode.files == "none":
            return ()
        first = mode.kept("written", by_mode=False) is None
        if first and mode.files == "own" and not _is_own(Path(self.file_name)):
            fail(
                f"`{self.file_name}` exists, and netc did not write it",
                code="E412",
                field="hdf5_output_param.file_name",
                help="`--overwrite` replaces it",
            )
        arrays = [bottom.detach().float().cpu().numpy() for bottom in bottoms]
        self._save([rows.reshape((*rows.shape, 1, 1, 1)[:4]) for rows in arrays], first)
        mode.keep("written", torch.ones((), dtype=torch.bool), by_mode=False)
        return ()

    def _save(self, arrays: Sequence[Array], first: bool) -> None:
        try:
            _write(self.file_name, arrays, first)
        except NetcError:
            raise
        except (OSError, RuntimeError, KeyError) as error:  # h5py raises the last two for a file that was replaced
            number = error.errno if isinstance(error, OSError) else None
            reason = os.strerror(number) if number else str(error)
            fail(
                f"cannot write `{self.file_name}`: {reason[:1].lower()}{reason[1:]}",
                code="E408",
                field="hdf5_output_param.file_name",
            )


_MARK = "written_by"
"""An attribute of the files that are written; Caffe ignores it."""


def _is_own(path: Path) -> bool:
    """Whether a file may be replaced: it does not exist, is empty, or was written by this layer."""
    import h5py

    if not is_file(path):
        return True  # a folder or a device is an error when it is opened
    if not path.stat().st_size:
        return True
    try:
        with h5py.File(path, "r") as file:
            return str(file.attrs.get(_MARK)) == "netc"
    except (OSError, RuntimeError, KeyError):
        return False


def _write(path: str, arrays: Sequence[Array], first: bool) -> None:
    """Replace the file, or append rows."""
    import h5py

    _reserve(path, sum(rows.nbytes for rows in arrays), first)
    mode: Literal["w", "r+"] = "w" if first else "r+"
    with (
        Path(path).open("w+b" if first else "r+b") as target,
        deferred_errors(target) as opened,
        h5py.File(opened, mode) as file,
    ):
        file.attrs[_MARK] = "netc"
        for name, rows in zip(("data", "label"), arrays):
            if first:
                file.create_dataset(name, data=rows, maxshape=(None, *rows.shape[1:]))
                continue
            dataset = file[name]
            dataset.resize(len(dataset) + len(rows), axis=0)
            dataset[-len(rows) :] = rows


def _reserve(path: str, size: int, first: bool) -> None:
    """Check that there is space for `size` bytes, in place of the old ones or after them.

    If the disk fills up later, the file is damaged. What is reserved in excess (for partial chunks and HDF5's metadata)
    is released when HDF5 closes the file.
    """
    with Path(path).open("ab" if first else "r+b") as file:
        end = file.seek(0, os.SEEK_END)
        if hasattr(os, "posix_fallocate"):
            try:
                os.posix_fallocate(file.fileno(), 0 if first else end, 2 * size + (1 << 16))
            except OSError:
                file.truncate(end)
                raise
