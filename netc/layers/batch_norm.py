"""BatchNorm: zero mean and unit variance for each channel."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

from netc.diagnostics import counted
from netc.ir.dims import Shape, product
from netc.ir.fields import Fields
from netc.ir.layer import Affine, Cost, Layer, Mode, Shapes, Weight, Weights, fail
from netc.ir.traits import Role, Sees
from netc.layers._batch_moments import normalized
from netc.layers._registry import register
from netc.layers.scale import Scale

if TYPE_CHECKING:
    from torch import Tensor


@register("BatchNorm", field="batch_norm_param")
@dataclass(frozen=True)
class BatchNorm(Layer):
    """(x - mean) / sqrt(variance + eps) for each channel, without the learned affine map of a Scale layer.

    In training the moments are those of the batch, and three blobs accumulate them: `mean` and `variance` are weighted
    sums of the means and unbiased variances of the batches, each weight `moving_average_fraction` times the next one,
    and `scale_factor` is the sum of the weights. In test the moments are the first two divided by the third.

    Shapes: (n, c, ...) to the same; a bottom of one axis is one channel.

    >>> [(w.name, w.shape) for w in BatchNorm().weights(((8, 3, 7, 6),))]
    [('mean', (3,)), ('variance', (3,)), ('scale_factor', (1,))]

    Reference: Ioffe and Szegedy, Batch Normalization, 2015; `batch_norm_layer.cpp`.
    """

    use_global_stats: bool | None = None
    """Whether to normalize by the accumulated statistics; None means in test only."""
    moving_average_fraction: float = 0.999
    """Decay factor of the accumulated statistics per training batch."""
    eps: float = 1e-5
    """Added to the variance before the square root."""

    in_place: ClassVar[bool] = True
    role: ClassVar[Role] = "inner"
    overwritable: ClassVar[bool] = True
    sees: ClassVar[Sees] = "place"
    batch_statistics: ClassVar[bool] = True

    def frozen(self) -> BatchNorm:
        """Return a layer that always normalizes by its blobs."""
        return dataclasses.replace(self, use_global_stats=True)

    @classmethod
    def from_caffe(cls, layer: Fields) -> Self:
        """Raises NetcError E103 if `param` would let a solver change the blobs.

        Three `param` entries are accepted, because older files have them: Caffe sets their `lr_mult` to 0
        (`upgrade_proto.cpp`, UpgradeNetBatchNorm).
        """
        params = layer.get("param", ())
        for param in params if len(params) != 3 else ():
            if param["lr_mult"] != 0:
                fail(
                    f"`lr_mult` is {param['lr_mult']:g}: a solver cannot change batch statistics",
                    code="E103",
                    field="param",
                    help="set `lr_mult: 0`, or leave `param` out",
                )
        return super().from_caffe(layer)

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """The bottom's shape. Raises NetcError E102 for a scalar."""
        self._channels(bottoms[0])
        return (bottoms[0],)

    def _channels(self, bottom: Shape) -> int:
        if not bottom:
            fail("a scalar has no batch", field="bottom")
        return 1 if len(bottom) == 1 else bottom[1]

    def weights(self, bottoms: Shapes) -> Weights:
        """`mean`, `variance` and `scale_factor`: buffers, initially 0."""
        channels = self._channels(bottoms[0])
        shapes = {"mean": (channels,), "variance": (channels,), "scale_factor": (1,)}
        return tuple(Weight(name, shape, learnable=False) for name, shape in shapes.items())

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """One subtraction and one multiplication per element, as in test."""
        return Cost(operations=2 * product(tops[0]))

    def absorbs(self, reader: Layer) -> bool:
        """A Scale layer with one factor, and optionally one addend, per channel."""
        return isinstance(reader, Scale) and reader.axis == 1 and reader.num_axes == 1

    def moments(self, blobs: Sequence[Any]) -> list[Any]:
        """Return the mean and variance that a test normalizes by, and the blobs of a factor and addend after them.

        `blobs` are arrays of NumPy.
        """
        mean, variance, count, *affine = blobs
        share = 1 / count[0] if count[0] else 0.0
        return [mean * share, variance * share, *affine]

    def channel_affine(self, blobs: Sequence[Any], axes: int) -> Affine | None:
        """Normalization by the blobs, and a learned factor and addend after it; None if a test uses the batch."""
        import numpy as np

        if self.use_global_stats is False:
            return None
        mean, variance, *affine = self.moments(blobs)
        scale = 1 / np.sqrt(variance + self.eps)
        factor, addend = affine or (np.ones_like(scale), np.zeros_like(scale))
        return scale * factor, addend - mean * scale * factor

    def other_layer(self, blobs: int) -> str | None:
        """NVIDIA's, which has a factor and an addend too."""
        if blobs != 5:
            return None
        return "a BatchNorm with five blobs is that of NVIDIA's Caffe: set `scale_bias: true` in `batch_norm_param`"

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Further bottoms are the weight and bias of an absorbed Scale layer."""
        x = bottoms[0]
        channels = self._channels(tuple(x.shape))
        if channels != weights[0].shape[0]:
            fail(f"expected {counted(weights[0].shape[0], 'channel')}, got {channels}", field="bottom")
        factor, addend, *_ = *bottoms[1:], None, None
        batch = mode.training if self.use_global_stats is None else not self.use_global_stats
        normalize = functools.partial(self._by_batch, mode) if batch else self._by_blobs
        if x.dim() > 1:
            return normalize(x, factor, addend, weights)
        return normalize(x.unsqueeze(1), factor, addend, weights).squeeze(1)

    def _by_blobs(self, x: Tensor, factor: Tensor | None, addend: Tensor | None, blobs: Sequence[Tensor]) -> Tensor:
        import torch

        moments = self._moments(blobs)
        return torch.batch_norm(x, factor, addend, *moments, False, 0.0, self.eps, torch.backends.cudnn.enabled)

    def _moments(self, blobs: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """The accumulated mean and variance."""
        return _divided(*blobs)

    def _by_batch(
        self, mode: Mode, x: Tensor, factor: Tensor | None, addend: Tensor | None, blobs: Sequence[Tensor]
    ) -> Tensor:
        """Normalize by the batch and accumulate its moments."""
        top, moments = normalized(x, factor, addend, blobs[0], self.eps, mode)
        self._gather(mode, blobs, *moments)
        return top

    def _gather(
        self, mode: Mode, blobs: Sequence[Tensor], mean: Tensor, variance: Tensor, count: float | Tensor
    ) -> None:
        """Accumulate the mean and unbiased variance of `count` elements per channel."""
        import torch

        for blob, moment in zip(blobs, (mean, variance)):
            torch.add(moment, blob, alpha=self.moving_average_fraction, out=blob)
        blobs[2].mul_(self.moving_average_fraction).add_(1)


def _divided(mean: Tensor, variance: Tensor, count: Tensor) -> tuple[Tensor, Tensor]:
    """Return both sums divided by `count`, or 0 if that is 0.

    On a CPU reading the number is free and saves five small kernels per layer, which is measurable in a deep net.
    Published weights often have a count of 1.
    """
    import torch

    if type(count) is torch.Tensor and count.device.type == "cpu" and not torch.compiler.is_compiling():
        number = count.item()
        if number == 1:
            return mean, variance
        part = 1 / number if number else 0.0
        return mean * part, variance * part
    share = torch.where(count == 0, count, count.reciprocal())
    return mean * share, variance * share
