"""SpatialBN: batch normalization."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

from netc.ir.dims import product
from netc.ir.layer import Cost, Count, Mode, Shapes, fail
from netc.ir.operator import Operator
from netc.ir.traits import Role, Sees
from netc.layers._batch_moments import normalized
from netc.layers._operator_layer import OperatorLayer, channel_axis, check_order
from netc.layers._operators import operator
from netc.layers.operators.channel_affine import check_channels

if TYPE_CHECKING:
    from torch import Tensor


@operator("SpatialBN")
@dataclass(frozen=True)
class SpatialBatchNorm(OperatorLayer):
    """(x - mean) / sqrt(variance + epsilon) for each channel, times a factor, plus an addend.

    With `is_test` mean and variance are inputs. Otherwise they are those of the batch, or follow from the sums of
    several batches, and the outputs are y, momentum times the mean and variance that were the inputs plus
    1 - momentum times those of the batch (the biased variance), the batch's mean, and 1 / sqrt(variance + epsilon); all
    but y are without gradient. Whether the net is in training does not matter, as in Caffe2.

    Shapes: X (n, c, ...), or (n, ..., c) in order NHWC, then factor, addend, mean and variance, each (c), perhaps the
    sums and the sums of squares of `num_batches` batches, each (c), to X; without `is_test` to X and four times (c).

    >>> SpatialBatchNorm(is_test=True).infer(((2, 3, 4), (3,), (3,), (3,), (3,)), 1)
    ((2, 3, 4),)

    Reference: `spatial_batch_norm_op.h`; Ioffe and Szegedy, Batch Normalization, 2015.
    """

    is_test: bool = False
    """Whether mean and variance are inputs."""
    epsilon: float = 1e-5
    """Added to the variance before the square root."""
    momentum: float = 0.9
    """How much of the mean and variance that are inputs stays."""
    order: str = "NCHW"
    """Which axis of X is that of the channels."""
    num_batches: int = 1
    """The number of batches, all of the size of X, whose sums are inputs; 1 if there are none."""

    in_place_pairs: ClassVar[tuple[tuple[int, int], ...]] = ((0, 0), (3, 1), (4, 2))
    no_gradient = (3, 4)
    role: ClassVar[Role] = "inner"
    overwritable: ClassVar[bool] = True
    sees: ClassVar[Sees] = "place"

    @classmethod
    def from_caffe2(cls, operator: Operator) -> Self:
        """Raises NetcError E101 if `is_test` is missing, E023 unless outputs 1 and 2 overwrite mean and variance."""
        operator.require("is_test")
        for source, output in ((3, 1), (4, 2)):
            if len(operator.outputs) > output and operator.outputs[output] not in operator.inputs[source : source + 1]:
                operator.fail(
                    f"output {output} of `SpatialBN` must have the blob of input {source}",
                    code="E023",
                    help=f"use the name of input {source} for the output",
                )
        return super().from_caffe2(operator)

    def __post_init__(self) -> None:
        """Raises NetcError E103 for an unknown order, and numbers that are out of range."""
        check_order(self.order)
        if not self.epsilon > 0:
            fail(f"`epsilon` is {self.epsilon:g}: it must be above 0", code="E103", field="epsilon")
        if not 0 <= self.momentum <= 1:
            fail(f"`momentum` is {self.momentum:g}: it must be from 0 to 1", code="E103", field="momentum")

    @property
    def bottom_count(self) -> Count:  # type: ignore[override]
        """With several batches also their sums."""
        return Count(7) if self._by_sums else Count(5, 7)

    @property
    def top_count(self) -> Count:  # type: ignore[override]
        """One with `is_test`, else five."""
        return Count(1) if self.is_test else Count(5)

    @property
    def batch_statistics(self) -> bool:  # type: ignore[override]
        """Unless mean and variance are inputs."""
        return not self.is_test

    @property
    def _by_sums(self) -> bool:
        return self.num_batches > 1 and not self.is_test

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 for an X without channels, and for another number of elements than of channels."""
        if len(bottoms) == 6:
            fail("`SpatialBN` expects 5 or 7 inputs, got 6", field="input")
        inputs = bottoms[:5] if self.is_test else (*bottoms[:3], *(bottoms[5:] if self._by_sums else ()))
        channels = check_channels("SpatialBN", inputs, self.order)
        return (bottoms[0], *((channels,),) * 4) if not self.is_test else (bottoms[0],)

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """One multiplication and one addition per element, and four operations for the moments."""
        return Cost(operations=product(tops[0]) * (2 if self.is_test else 6))

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor | tuple[Tensor, ...]:
        """Computed as described in the class docstring."""
        import torch.nn.functional as F

        axis = channel_axis(self.order, bottoms[0].dim())
        x = bottoms[0] if axis == 1 else bottoms[0].movedim(axis, 1)
        factor, addend, mean, variance = (
            bottom if bottom.dim() == 1 else bottom.reshape(-1) for bottom in bottoms[1:5]
        )
        if self.is_test:
            y = F.batch_norm(x, mean.detach(), variance.detach(), factor, addend, False, 0.0, self.epsilon)
            return y if axis == 1 else y.movedim(1, axis)
        channels = x.shape[1]
        mean, variance = (  # not yet initialized, if of another size
            old.detach() if old.numel() == channels else old.new_zeros(channels) for old in (mean, variance)
        )
        if not x.shape[0]:
            zeros = x.new_zeros(channels)
            return bottoms[0].clone(), mean.clone(), variance.clone(), zeros, zeros.clone()
        if self._by_sums:
            y, new_mean, new_variance = self._by_several(x, factor, addend, bottoms[5], bottoms[6])
        else:
            y, moments = normalized(x, factor, addend, factor.detach(), self.epsilon, mode)
            new_mean, new_variance = moments.mean, moments.biased
        return (
            y if axis == 1 else y.movedim(1, axis),
            mean.lerp(new_mean, 1 - self.momentum),
            variance.lerp(new_variance, 1 - self.momentum),
            new_mean,
            (new_variance + self.epsilon).rsqrt(),
        )

    def _by_several(
        self, x: Tensor, factor: Tensor, addend: Tensor, sums: Tensor, squares: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """X normalized by the moments of several batches, and these; the gradient passes through the sums."""
        elements = self.num_batches * x.numel() / x.shape[1]
        mean = sums.reshape(-1) / elements
        variance = squares.reshape(-1) / elements - mean.square()
        scale = factor * (variance + self.epsilon).rsqrt()
        shape = (-1, *(1,) * (x.dim() - 2))
        y = x * scale.reshape(shape) + (addend - mean * scale).reshape(shape)
        return y, mean.detach(), variance.detach()
