"""PSPNet's BatchNorm with `update_global_stats`: normalizes by averages that it goes on updating."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

from netc.ir.layer import CaffeFields, Layer, Mode
from netc.layers._registry import LayerUse, register
from netc.layers.batch_norm import BatchNorm

if TYPE_CHECKING:
    from torch import Tensor


def _is_updating(use: LayerUse) -> bool:
    """Whether a BatchNorm layer has `update_global_stats: true`."""
    return bool(use.parameters.message("batch_norm_param").get("update_global_stats", False))


@register("BatchNorm", dialect="pspnet", field="batch_norm_param", when=_is_updating)
@dataclass(frozen=True)
class UpdatingBatchNorm(BatchNorm):
    """As BVLC's BatchNorm; in training with `use_global_stats: true` it normalizes by the accumulated mean m.

    The variance is then the mean of (x - m)^2 over the batch, m and the variance are accumulated, and neither has a
    gradient.

    Shapes: (n, c, ...) to the same; a bottom of one axis is one channel.

    >>> [w.name for w in UpdatingBatchNorm(use_global_stats=True).weights(((8, 3, 7, 6),))]
    ['mean', 'variance', 'scale_factor']

    Reference: `batch_norm_layer.cpp` of PSPNet's and DeepLab's Caffe. Without `use_global_stats: true` that code takes
    the variance of another pass; here the layer is then BVLC's.
    """

    update_global_stats: bool = True
    """Whether the averages are updated."""

    caffe_fields: ClassVar[CaffeFields] = {}

    def to_caffe(self) -> dict[str, object]:
        """The parameter message, with `update_global_stats` in any case."""
        return {**super().to_caffe(), "update_global_stats": self.update_global_stats}

    @property
    def updates(self) -> bool:
        """Whether a training pass differs from BVLC's."""
        return self.update_global_stats and self.use_global_stats is True

    def frozen(self) -> Self:
        """Return the layer that always uses its blobs, and does not change them."""
        return dataclasses.replace(self, use_global_stats=True, update_global_stats=False)

    def absorbs(self, reader: Layer) -> bool:
        """As BVLC's, where a training pass is as well."""
        return not self.updates and super().absorbs(reader)

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        if not self.updates or not mode.training:
            return super().forward(bottoms, weights, mode)
        import torch

        x = bottoms[0] if bottoms[0].dim() > 1 else bottoms[0].unsqueeze(1)
        mean, _ = self._moments(weights)
        axes = [0, *range(2, x.dim())]
        shape = (1, -1, *(1,) * (x.dim() - 2))
        difference = x - mean.detach().clone().reshape(shape)
        sums = torch.cat((difference.detach().square().sum(axes), x.new_full((1,), x.numel() / x.shape[1])))
        if mode.all_sum is not None:
            sums = mode.all_sum(sums)
        variance, count = sums[:-1] / sums[-1], sums[-1]
        self._gather(mode, weights, mean.clone(), variance * (count / (count - 1).clamp(min=1)), count)
        return (difference * (variance + self.eps).rsqrt().reshape(shape)).reshape(bottoms[0].shape)
