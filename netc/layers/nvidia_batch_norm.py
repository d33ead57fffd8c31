"""NVIDIA's BatchNorm: with a learned factor and addend for each channel, and averages that need no division."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Self

from netc.ir.dims import Shape
from netc.ir.fields import Fields
from netc.ir.filler import Filler
from netc.ir.layer import CaffeFields, Cost, Layer, Mode, Shapes, StateEntry, Weight, Weights
from netc.ir.parameters import ParamSpec
from netc.layers._registry import LayerUse, register
from netc.layers.batch_norm import BatchNorm

if TYPE_CHECKING:
    from torch import Tensor

FRESH = 2
"""Number of training passes that replace the averages."""
EPS = 1e-5
"""The smallest `eps` that cuDNN supports."""
BLOBS = 5
"""Blobs with a learned factor and addend."""
STATISTIC = ParamSpec(lr_mult=0.0, decay_mult=0.0)


def has_scale(use: LayerUse) -> bool:
    """Whether a BatchNorm layer has a learned factor and addend as in NVIDIA's Caffe; Intel's has a `filler`."""
    p = use.parameters.message("batch_norm_param")
    own = p.get("scale_bias", False) or "scale_filler" in p or "bias_filler" in p
    return bool(own) and not any(name in p for name in ("filler", "use_weight_bias", "bias_term"))


@register("BatchNorm", dialect="nvidia", field="batch_norm_param", when=has_scale)
@dataclass(frozen=True)
class NvidiaBatchNorm(BatchNorm):
    """(x - mean) / sqrt(variance + eps) weight + bias for each channel, in one layer.

    The moments are those of the batch in training, whatever `use_global_stats` says, and averages in test. The first
    two training passes replace the averages; each later one mixes the batch's mean and biased variance into them with
    a share of 1 - `moving_average_fraction`. The third blob is reserved. Without `scale_bias` the layer is BVLC's.

    Shapes: (n, c, ...) to the same; a bottom of one axis is one channel.

    >>> [(w.name, w.shape) for w in NvidiaBatchNorm().weights(((8, 3, 7, 6),))]
    [('mean', (3,)), ('variance', (3,)), ('scale_factor', (1,)), ('weight', (3,)), ('bias', (3,))]

    Reference: `batch_norm_layer.cpp`, `batch_norm_layer.cu` and `net.cpp` (CopyTrainedLayersFrom) of NVIDIA's Caffe
    0.17.
    """

    scale_bias: bool = True
    """Whether there is a learned factor and addend; also set by their fillers."""
    scale_filler: Filler = field(default_factory=lambda: Filler(value=1.0))
    """How the factor is initialized; ones by default."""
    bias_filler: Filler = field(default_factory=Filler)
    """How the addend is initialized."""

    caffe_fields: ClassVar[CaffeFields] = {}

    @classmethod
    def from_caffe(cls, layer: Fields) -> Self:
        """Reads the parameter message; `use_global_stats` is ignored and `eps` is at least 1e-5."""
        scales = has_scale(LayerUse(layer, 1, 1))
        result = super(BatchNorm, cls).from_caffe(layer)
        if not scales:
            return dataclasses.replace(result, scale_bias=False)
        return dataclasses.replace(result, scale_bias=True, use_global_stats=None, eps=max(result.eps, EPS))

    def to_caffe(self) -> dict[str, Any]:
        """The parameter message, with `scale_bias` in any case."""
        values = super().to_caffe()
        return {**values, "scale_bias": True} if self.scale_bias else _without(values, "scale_bias")

    @classmethod
    def in_file_order(cls, arrays: Sequence[Any]) -> Sequence[Any]:
        """Return the blobs of a file in the order and shapes of the layer.

        Files of versions up to 0.15 hold the factor, the addend, mean, variance and one reserved element, each with
        four axes.
        """
        if len(arrays) != BLOBS or any(array is None for array in arrays):
            return arrays
        sizes = [array.size for array in arrays]
        is_old = sizes[4] == 1 and (sizes[0] > 1 or arrays[0].ndim == 4)
        ordered = [arrays[i] for i in (2, 3, 4, 0, 1)] if is_old else list(arrays)
        return [array.reshape(array.size) for array in ordered]

    def param_specs(self, specs: tuple[ParamSpec, ...]) -> tuple[ParamSpec, ...]:
        """Return the settings of the blobs in the order of the layer: statistics are not learned.

        Settings that do not begin with those of statistics are in the order of old files: the factor and the addend
        first.
        """
        is_new = len(specs) > 2 and specs[0].lr_mult == 0
        affine = specs[3:] if is_new else specs[:2]
        return (*(STATISTIC,) * 3, *affine) if specs else specs

    def other_layer(self, blobs: int) -> str | None:
        """BVLC's, which has statistics only."""
        if not self.scale_bias:
            return super().other_layer(blobs)
        if blobs != 3:
            return None
        return "a BatchNorm with three blobs is that of BVLC's Caffe: use a `Scale` layer instead of `scale_bias`"

    def weights(self, bottoms: Shapes) -> Weights:
        """As BVLC's, with `weight` and `bias` after the reserved `scale_factor`, which is 1."""
        statistics = super().weights(bottoms)
        if not self.scale_bias:
            return statistics
        shape: Shape = (self._channels(bottoms[0]),)
        reserved = dataclasses.replace(statistics[2], filler=Filler(value=1.0))
        affine = (Weight("weight", shape, self.scale_filler), Weight("bias", shape, self.bias_filler))
        return (*statistics[:2], reserved, *affine)

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """BVLC's, and that of the factor and the addend."""
        own = super().cost(bottoms, tops)
        return own + own if self.scale_bias else own

    def state_entries(self, bottoms: Shapes) -> tuple[StateEntry, ...]:
        """The number of training passes."""
        return (StateEntry("passes", (), by_mode=False),) if self.scale_bias else ()

    @property
    def affine(self) -> bool:  # type: ignore[override]
        """Whether the layer has its own factor and addend."""
        return self.scale_bias

    def absorbs(self, reader: Layer) -> bool:
        """As BVLC's without `scale_bias`; otherwise the layer has its own factor."""
        return not self.scale_bias and super().absorbs(reader)

    def moments(self, blobs: Sequence[Any]) -> list[Any]:
        """See `BatchNorm.moments`; the reserved blob has no effect."""
        return [*blobs[:2], *blobs[3:]] if self.scale_bias else super().moments(blobs)

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """BVLC's normalization, with the layer's own factor and addend."""
        return super().forward((*bottoms[:1], *weights[3:], *bottoms[1:]), weights[:3], mode)

    def _moments(self, blobs: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        return (blobs[0], blobs[1]) if self.scale_bias else super()._moments(blobs)

    def _gather(
        self, mode: Mode, blobs: Sequence[Tensor], mean: Tensor, variance: Tensor, count: float | Tensor
    ) -> None:
        import torch

        if not self.scale_bias:
            super()._gather(mode, blobs, mean, variance, count)
            return
        before = mode.kept("passes", by_mode=False)
        passes = torch.zeros((), device=mean.device) if before is None else before
        kept = torch.where(passes < FRESH, 0.0, self.moving_average_fraction).to(mean.dtype)
        for blob, moment in zip(blobs, (mean, variance * ((count - 1) / count))):
            blob.mul_(kept).add_(moment * (1 - kept))
        mode.keep("passes", passes + 1, by_mode=False)


def _without(values: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key != name}
