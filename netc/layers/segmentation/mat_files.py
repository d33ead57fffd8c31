"""MatWrite and MatRead: blobs as MATLAB files."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

from netc.diagnostics import counted
from netc.extras import import_extra
from netc.files import read_bytes, reason_of
from netc.ir.dims import UNKNOWN, Shape, text
from netc.ir.fields import Fields
from netc.ir.layer import Cost, Count, DataLayer, Layer, Mode, Shapes, StateEntry, fail
from netc.ir.mat_names import mat_names
from netc.ir.traits import FedBy
from netc.layers._registry import register

if TYPE_CHECKING:
    from torch import Tensor


@register("MatWrite", dialect="deeplab", field="mat_write_param", v1="MAT_WRITE")
@dataclass(frozen=True)
class MatWrite(Layer):
    """Writes each bottom to a MATLAB file, in training, tests and the Python interface.

    The file of bottom i is PREFIXNAME_blob_i.mat; it holds the variable `data` in single precision, with MATLAB's axes
    width, height, channels and items. NAME is the first word of a line of `source`, one line for each pass, or
    `iter_` and the number of the pass. A file that this run did not write is replaced with `--overwrite` only.

    Shapes: any number of bottoms of at most four axes, no top.

    >>> MatWrite(prefix="features/").infer(((1, 21, 41, 41),), 0)
    ()

    Reference: `mat_write_layer.cpp`, `matio_io.cpp` of DeepLab.
    """

    prefix: str = ""
    """What the names of files begin with: a folder with its separator, and letters."""
    source: str = ""
    """Path of a list with a name for each pass; empty for names with the number of the pass."""
    strip: int = 0
    """Number of characters that are removed from the end of each name of the list."""
    period: int = 1
    """Only every `period`-th pass is written, beginning with the first."""

    bottom_count: ClassVar[Count] = Count(1, None)
    top_count: ClassVar[Count] = Count(0)
    writes_file: ClassVar[bool] = True

    @classmethod
    def from_caffe(cls, layer: Fields) -> Self:
        """Reads `mat_write_param`. Raises NetcError E103 for a negative `strip` and a `period` that is not positive."""
        result = super().from_caffe(layer)
        _check_strip(result.strip)
        if result.period < 1:
            fail(f"`period` is {result.period}: it must be positive", code="E103", field="period")
        return result

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 for a bottom of more than four axes."""
        for shape in bottoms:
            if len(shape) > 4:
                fail(f"expected a bottom with up to 4 axes, got {text(shape)}", field="bottom")
        return ()

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """Zero."""
        return Cost()

    def state_entries(self, bottoms: Shapes) -> tuple[StateEntry, ...]:
        """The number of passes."""
        return (StateEntry("passes", (), "int64"),)

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> tuple[Tensor, ...]:
        """Raises NetcError E501 for a list that cannot be read, E408 for more passes than names, and for a file that
        cannot be written, E412 for one of another program, E633 without SciPy.
        """
        import torch

        from netc.layers._written_files import write_file

        if mode.files == "none":
            return ()
        before = mode.kept("passes")
        number = 0 if before is None else int(before)
        if number % self.period == 0:
            name = self._name(number, mode)
            for index, bottom in enumerate(bottoms):
                file = f"{self.prefix}{name}_blob_{index}.mat"
                write_file(file, _encoded(bottom), mode.files, "mat_write_param.prefix")
        mode.keep("passes", torch.tensor(number + 1))
        return ()

    def _name(self, number: int, mode: Mode) -> str:
        """The name of a pass."""
        if not self.source:
            return f"iter_{number}"
        try:
            names = mat_names(read_bytes(mode.find(self.source)), self.strip)
        except (OSError, ValueError) as error:
            message = f"cannot read `{self.source}`: {reason_of(error)}"
            fail(message, code="E501", field="mat_write_param.source")
        if number >= len(names):
            message = f"`{self.source}` has {counted(len(names), 'name')}, and this is pass {number + 1}"
            fail(message, code="E408", field="mat_write_param.source")
        return names[number]


@register("MatRead", dialect="deeplab", field="mat_read_param")
@dataclass(frozen=True)
class MatRead(DataLayer):
    """Blobs from MATLAB files, as MatWrite writes them: top i of a record is PREFIXNAME_blob_i.mat.

    NAME is the first word of a line of `source`, from the beginning again after the last one, or `iter_` and the number
    of the record. The variable `data` of a file is one item in single precision. `reshape` is ignored: the files have
    one shape for each top.

    Shapes: to (batch_size, c, h, w) for each top; unknown if no file can be read.

    >>> MatRead(prefix="features/", batch_size=2).batch(((21, 41, 41),), 1)
    ((2, 21, 41, 41),)

    Reference: `mat_read_layer.cpp`, `matio_io.cpp` of DeepLab.
    """

    prefix: str = ""
    """What the names of files begin with: a folder with its separator, and letters."""
    source: str = ""
    """Path of a list with a name for each record; empty for names with the number of the record."""
    strip: int = 0
    """Number of characters that are removed from the end of each name of the list."""
    batch_size: int = 1
    """Number of records per batch."""

    top_count: ClassVar[Count] = Count(1, None)
    fed_by: ClassVar[FedBy] = "mat files"

    @classmethod
    def from_caffe(cls, layer: Fields) -> Self:
        """Reads `mat_read_param`. Raises NetcError E103 for a negative `strip` and an empty batch."""
        result = super().from_caffe(layer)
        _check_strip(result.strip)
        if result.batch_size < 1:
            fail("`batch_size` must be positive", code="E103", field="batch_size")
        return result

    def batch(self, record: Shapes | None, tops: int) -> tuple[Shape | None, ...]:
        """The shapes of a record's files, for each item."""
        shapes = record or ((UNKNOWN, UNKNOWN, UNKNOWN),) * tops
        return tuple((self.batch_size, *shape) for shape in shapes[:tops])

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """Zero: the files are read outside the net."""
        return Cost()


def _check_strip(strip: int) -> None:
    if strip < 0:
        fail(f"`strip` is {strip}: it must not be negative", code="E103", field="strip")


def _encoded(blob: Tensor) -> bytes:
    """The content of the file of a blob."""
    scipy_io = import_extra("scipy.io", "matlab", "writing .mat files", "scipy")
    array = blob.detach().float().cpu().numpy()
    data = io.BytesIO()
    scipy_io.savemat(data, {"data": array.reshape((*array.shape, 1, 1, 1, 1)[:4]).T})
    return data.getvalue()
