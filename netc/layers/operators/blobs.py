"""The blobs that a Caffe2 net starts from: external inputs, and those that an init net fills."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from netc.ir.dims import Shape
from netc.ir.dtypes import DType, is_floating
from netc.ir.layer import Cost, Count, DataLayer, DTypes, Layer, Mode, Shapes, Weight, Weights
from netc.ir.traits import FedBy

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class ExternalInput(DataLayer):
    """A blob that the caller feeds; its shape and type are unknown unless given."""

    type = "ExternalInput"
    dialect = "caffe2"
    shape: Shape | None = None
    dtype: DType = "unknown"

    fed_by: ClassVar[FedBy] = "input"
    empty_blobs: ClassVar[bool] = True

    def batch(self, record: Shapes | None, tops: int) -> tuple[Shape | None, ...]:
        """The declared shape."""
        return (self.shape,) * tops

    def dtypes(self, bottoms: DTypes, tops: int) -> DTypes:
        """The declared type."""
        return (self.dtype,) * tops

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """None."""
        return Cost()


@dataclass(frozen=True)
class StoredBlob(Layer):
    """A blob that the init net fills: a parameter if it is of floating-point numbers, else a buffer."""

    type = "StoredBlob"
    dialect = "caffe2"
    shape: Shape = ()
    dtype: DType = "float32"

    bottom_count: ClassVar[Count] = Count(0)
    empty_blobs: ClassVar[bool] = True
    top_is_weight: ClassVar[bool] = True

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """The shape of the blob."""
        return (self.shape,)

    def dtypes(self, bottoms: DTypes, tops: int) -> DTypes:
        """The type of the blob."""
        return (self.dtype,)

    def weights(self, bottoms: Shapes) -> Weights:
        """`weight`: the blob itself."""
        return (Weight("weight", self.shape, dtype=self.dtype, learnable=is_floating(self.dtype)),)

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """Zero: nothing is computed."""
        return Cost()

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """The blob's own memory."""
        return weights[0]
