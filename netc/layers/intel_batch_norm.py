"""Intel's BatchNorm: with a learned factor and addend, ReLU, and moments of parts of a batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Self

from netc.diagnostics import counted
from netc.ir.dims import known
from netc.ir.fields import Fields
from netc.ir.filler import Filler
from netc.ir.layer import Affine, CaffeFields, Cost, Layer, Mode, Shapes, Weight, Weights, fail
from netc.ir.parameters import ParamSpec
from netc.layers._registry import LayerUse, register
from netc.layers.batch_norm import BatchNorm

if TYPE_CHECKING:
    from torch import Tensor

OWN = ("filler", "bias_term", "relu", "stats_batch_size")
"""The fields that only Intel's form has, besides `use_weight_bias`."""


def _is_intels(use: LayerUse) -> bool:
    """Whether a BatchNorm layer has `use_weight_bias`, `filler`, `bias_term`, `relu` or `stats_batch_size`.

    With `use_weight_bias: false` only `relu: true` and a `stats_batch_size` count.
    """
    p = use.parameters.message("batch_norm_param")
    if not p.get("use_weight_bias", True):
        return bool(p.get("relu", False) or p.get("stats_batch_size", 0))
    return "use_weight_bias" in p or any(name in p for name in OWN)


@register("BatchNorm", dialect="intel", field="batch_norm_param", when=_is_intels)
@dataclass(frozen=True)
class IntelBatchNorm(BatchNorm):
    """(x - mean) / sqrt(variance + eps) weight + bias for each channel, and optionally ReLU, in one layer.

    Moments are accumulated as by BVLC's layer. With `stats_batch_size` each part of the batch of that many items has
    moments of its own, which are accumulated one after the other.

    Shapes: (n, c, ...) to the same; a bottom of one axis is one channel.

    >>> [(w.name, w.shape) for w in IntelBatchNorm().weights(((8, 3, 7, 6),))]
    [('mean', (3,)), ('variance', (3,)), ('scale_factor', (1,)), ('weight', (3,)), ('bias', (3,))]

    Reference: `mkldnn_batch_norm_layer.cpp` of Intel's Caffe.
    """

    use_weight_bias: bool = True
    """Whether there is a learned factor."""
    bias_term: bool = True
    """Whether there is a learned addend as well."""
    filler: Filler = field(default_factory=lambda: Filler(value=1.0))
    """How the factor is initialized; ones by default."""
    bias_filler: Filler = field(default_factory=Filler)
    """How the addend is initialized."""
    stats_batch_size: int = 0
    """Number of items that are normalized together in training; 0 for the whole batch."""
    relu: bool = False
    """Whether negative results are replaced by 0."""

    caffe_fields: ClassVar[CaffeFields] = {}

    @classmethod
    def from_caffe(cls, layer: Fields) -> Self:
        """Raises NetcError E103 if `param` would let a solver change the statistics."""
        for param in layer.get("param", ())[:3]:
            if param["lr_mult"] != 0:
                fail(
                    f"`lr_mult` is {param['lr_mult']:g}: a solver cannot change batch statistics",
                    code="E103",
                    field="param",
                    help="set `lr_mult: 0` for the first three blobs",
                )
        return super(BatchNorm, cls).from_caffe(layer)

    def to_caffe(self) -> dict[str, Any]:
        """The parameter message, with `use_weight_bias` in any case."""
        return {**super().to_caffe(), "use_weight_bias": self.use_weight_bias}

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 for a batch that `stats_batch_size` does not divide, and for a scalar."""
        result = super().infer(bottoms, tops)
        count = bottoms[0][0]
        if (
            self.use_global_stats is not True
            and self.stats_batch_size
            and known(count)
            and count % self.stats_batch_size
        ):
            fail(
                f"a batch of {counted(count, 'item')} cannot be divided into parts of {self.stats_batch_size}",
                field="batch_norm_param.stats_batch_size",
            )
        return result

    def weights(self, bottoms: Shapes) -> Weights:
        """As BVLC's, then `weight` and `bias`, if there are any."""
        shape = (self._channels(bottoms[0]),)
        own = (Weight("weight", shape, self.filler), Weight("bias", shape, self.bias_filler))
        return (*super().weights(bottoms), *own[: self.use_weight_bias * (1 + self.bias_term)])

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """BVLC's, that of the factor and the addend, and a comparison for ReLU."""
        own = super().cost(bottoms, tops)
        return Cost(operations=own.operations // 2 * (2 + self.use_weight_bias * (1 + self.bias_term) + self.relu))

    def other_layer(self, blobs: int) -> str | None:
        """BVLC's, which has statistics only."""
        if blobs != 3 or not self.use_weight_bias:
            return None
        return "a BatchNorm with three blobs has no learned factor: set `use_weight_bias: false` in `batch_norm_param`"

    def param_specs(self, specs: tuple[ParamSpec, ...]) -> tuple[ParamSpec, ...]:
        """Return the settings; statistics are not learned."""
        return (*(ParamSpec(lr_mult=0.0, decay_mult=0.0) for _ in specs[:3]), *specs[3:])

    @property
    def overwritable(self) -> bool:  # type: ignore[override]
        """Whether a gradient needs the top: that of ReLU."""
        return not self.relu

    @property
    def affine(self) -> bool:  # type: ignore[override]
        """Whether the layer has its own factor, and no ReLU after it."""
        return self.use_weight_bias and not self.relu

    def absorbs(self, reader: Layer) -> bool:
        """Nothing: the factor is the layer's own."""
        return False

    def channel_affine(self, blobs: Sequence[Any], axes: int) -> Affine | None:
        """Normalization by the blobs and what is learned; None with ReLU, or if a test uses the batch."""
        if self.relu:
            return None
        affine = [*blobs[3:], blobs[0] * 0][:2] if self.use_weight_bias else []
        return super().channel_affine([*blobs[:3], *affine], axes)

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """BVLC's normalization, with the layer's own factor and addend."""
        import torch

        batch = mode.training if self.use_global_stats is None else not self.use_global_stats
        x = bottoms[0]
        parts = torch.split(x, self.stats_batch_size) if batch and self.stats_batch_size else (x,)
        tops = [super(IntelBatchNorm, self).forward((part, *weights[3:]), weights[:3], mode) for part in parts]
        top = torch.cat(tops) if len(tops) > 1 else tops[0]
        return top.relu() if self.relu else top
