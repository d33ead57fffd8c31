"""BN: batch normalization with a learned factor and addend, in the forms of several forks."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from netc.diagnostics import counted
from netc.ir.dims import Shape, product
from netc.ir.fields import Fields
from netc.ir.filler import Filler
from netc.ir.layer import Affine, CaffeFields, Cost, Count, Layer, Mode, Shapes, Weight, Weights, fail
from netc.ir.parameters import ParamSpec
from netc.ir.traits import Role, Sees
from netc.layers._batch_moments import Moments, normalized
from netc.layers._registry import LayerUse, register

if TYPE_CHECKING:
    from torch import Tensor

FIXED = ParamSpec(lr_mult=0.0, decay_mult=0.0)
SEGNET_EPS = 1e-9
OWN = {
    "pspnet": ("slope_filler", "bias_filler", "momentum", "eps", "frozen", "engine"),
    "segnet": ("bn_mode",),
    "happynear": ("var_eps", "moving_average", "decay", "axis"),
}
"""The fields of `bn_param` that only one form has."""
SEGNETS = {"Upsample", "Unpooling", "DenseImageData"}
PSPNETS = {"Interp", "SyncBN"}


def _forms(use: LayerUse) -> set[str]:
    """The forms that fit a layer."""
    p = use.parameters.message("bn_param")
    named = {form for form, names in OWN.items() if any(name in p for name in names)}
    if named:
        return named
    shifted = "scale_filler" in p or "shift_filler" in p
    if use.tops > 1 or use.blobs == 2 or (use.blobs is None and use.neighbors & SEGNETS):
        return {"segnet"}
    if use.blobs == 4 or len(use.parameters.get("param", ())) == 4:
        return {"happynear"} if shifted else {"pspnet"}
    if shifted:
        return {"segnet", "happynear"}
    return {"pspnet"} if use.neighbors & PSPNETS else set(OWN)


def _is_pspnets(use: LayerUse) -> bool:
    """Whether a BN layer has one of PSPNet's fields, or four blobs.

    The fields are `slope_filler`, `bias_filler`, `momentum`, `eps`, `frozen` and `engine`; with four blobs, there is no
    `scale_filler`.
    """
    return "pspnet" in _forms(use)


def _is_segnets(use: LayerUse) -> bool:
    """Whether a BN layer has `bn_mode`, two blobs or several tops, or its net an `Upsample` or `Unpooling` layer."""
    return "segnet" in _forms(use)


def _is_happynears(use: LayerUse) -> bool:
    """Whether a BN layer has `var_eps`, `moving_average`, `decay` or `axis`, or four blobs and a `scale_filler`."""
    return "happynear" in _forms(use)


@dataclass(frozen=True)
class FactorAndAddend(Layer):
    """Base of every form: one factor and one addend per channel, in blobs of four axes."""

    role: ClassVar[Role] = "inner"
    in_place: ClassVar[bool] = True
    overwritable: ClassVar[bool] = True
    sees: ClassVar[Sees] = "place"
    batch_statistics: ClassVar[bool] = True

    def infer(self, bottoms: Shapes, tops: int) -> tuple[Shape, ...]:
        """Raises NetcError E102 unless the bottom has 2 to 4 axes."""
        first = bottoms[0]
        if not 2 <= len(first) <= 4:
            fail(f"expected 2 to 4 axes, got {counted(len(first), 'axis')}", field="bottom")
        return (first,)

    def blobs(self, bottoms: Shapes, fillers: dict[str, Filler], axis: int = 1) -> Weights:
        """Blobs with the extent of the channels on `axis` of four axes, and 1 on the others."""
        self.infer(bottoms, 1)
        channels = bottoms[0][axis]
        shape = tuple(channels if i == axis else 1 for i in range(4))
        return tuple(
            Weight(name, shape, filler, (channels,), learnable=name in ("weight", "bias"))
            for name, filler in fillers.items()
        )

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """As a BatchNorm and a Scale, each a multiplication and an addition per element."""
        return Cost(operations=4 * product(tops[0]))


@dataclass(frozen=True)
class AveragingNorm(FactorAndAddend):
    """Base of the forms with moving averages: blobs `weight`, `bias`, `mean` and `variance`."""

    is_frozen: bool = field(default=False, kw_only=True)
    """Whether the averages are used in training too, and nothing is learned."""

    @property
    def use_global_stats(self) -> bool | None:
        """As BatchNorm's: None means in test only."""
        return True if self.is_frozen else None

    @property
    def affine(self) -> bool:  # type: ignore[override]
        """Whether the factor is learned, and a test uses the averages: otherwise it is not that of the elements."""
        return self.form[4] and not self.is_frozen

    @property
    def form(self) -> tuple[Filler, Filler, float, float, bool]:
        """Both fillers, eps, the batch's share of the averages, and whether a test uses them."""
        raise NotImplementedError

    @property
    def channel_axis(self) -> int:
        """The axis of the channels."""
        return 1

    def frozen(self) -> Self:
        """Return the layer that always uses its averages."""
        return dataclasses.replace(self, is_frozen=True)

    def param_specs(self, specs: tuple[ParamSpec, ...]) -> tuple[ParamSpec, ...]:
        """The averages are not learned; nothing is if the layer is frozen, whatever the file says."""
        if self.is_frozen:
            return (FIXED,) * 4
        return (*specs[:2], *(FIXED for _ in specs[2:]))

    def weights(self, bottoms: Shapes) -> Weights:
        """`weight` and `bias`, and the averages `mean` and `variance`, which no solver changes."""
        factor, addend, *_ = self.form
        variance = Filler(value=1.0 if self.is_frozen else 0.0)
        fillers = {"weight": factor, "bias": addend, "mean": Filler(), "variance": variance}
        return self.blobs(bottoms, fillers, self.channel_axis)

    def channel_affine(self, blobs: Sequence[Any], axes: int) -> Affine | None:
        """Normalization by the averages; None if a test uses the batch's moments."""
        import numpy as np

        _, _, eps, _, averages = self.form
        if self.channel_axis != 1 or not (averages or self.is_frozen):
            return None
        factor, addend, mean, variance = (blob.ravel() for blob in blobs)
        scale = factor / np.sqrt(variance + eps)
        return scale, addend - mean * scale

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """The gradient in a test is computed as if the averages were the batch's moments, as in the forks."""
        x, axis = bottoms[0], self.channel_axis
        self.infer((tuple(x.shape),), 1)
        if x.shape[axis] != weights[0].shape[0]:
            fail(f"expected {counted(weights[0].shape[0], 'channel')}, got {x.shape[axis]}", field="bottom")
        if axis == 1:
            return self._normalized(x, weights, mode)
        return self._normalized(x.movedim(axis, 1), weights, mode).movedim(1, axis)

    def _normalized(self, x: Tensor, weights: Sequence[Tensor], mode: Mode) -> Tensor:
        import torch

        from netc.functions.fixed_moments import FixedMoments

        factor, addend, mean, variance = weights
        _, _, eps, share, averages = self.form
        if not self.is_frozen and (mode.training or not averages):
            top, moments = normalized(x, factor, addend, mean, eps, mode)
            if mode.training:
                _average(weights[2:], moments, share)
            return top
        if not self.is_frozen and x.requires_grad and torch.is_grad_enabled():
            result: Tensor = FixedMoments.apply(x, factor, addend, mean, variance, eps)  # type: ignore[no-untyped-call]
            return result
        if self.is_frozen:
            factor, addend = factor.detach(), addend.detach()
        return torch.batch_norm(x, factor, addend, mean, variance, False, 0.0, eps, torch.backends.cudnn.enabled)


def _average(blobs: Sequence[Tensor], moments: Moments, share: float) -> None:
    for blob, moment in zip(blobs, (moments.mean, moments.biased)):
        blob.mul_(1 - share).add_(moment * share)


@register("BN", dialect="pspnet", field="bn_param", when=_is_pspnets)
@dataclass(frozen=True)
class PyramidBN(AveragingNorm):
    """(x - mean) / sqrt(variance + eps) slope + bias for each channel.

    The moments are those of the batch in training, and moving averages of them, with the biased variance, in test. A
    frozen layer uses the averages in training too, and learns nothing.

    Shapes: (n, c, h, w) to the same.

    >>> [(w.name, w.shape) for w in PyramidBN().weights(((8, 3, 7, 6),))][1:3]
    [('bias', (1, 3, 1, 1)), ('mean', (1, 3, 1, 1))]

    Reference: `bn_layer.cpp` of PSPNet, ICNet and yjxiong's Caffe.
    """

    slope_filler: Filler = field(default_factory=Filler)
    """How the factor is initialized; zeros by default."""
    bias_filler: Filler = field(default_factory=Filler)
    """How the addend is initialized."""
    momentum: float = 0.9
    """The factor of the averages in each training pass; the batch has the rest."""
    eps: float = 1e-5
    """Added to the variance before the square root."""

    caffe_fields: ClassVar[CaffeFields] = {"is_frozen": ("bn_param.frozen",)}

    @classmethod
    def from_caffe(cls, layer: Fields) -> Self:
        """Reads the parameter message."""
        p = layer.message("bn_param")
        fillers = Filler.read(p, "slope_filler"), Filler.read(p, "bias_filler")
        return cls(*fillers, p["momentum"], p["eps"], is_frozen=p["frozen"])

    def to_caffe(self) -> dict[str, Any]:
        """The parameter message, with both fillers, which distinguish the form from others."""
        values = super().to_caffe()
        frozen = {"frozen": True} if values.pop("is_frozen", False) else {}
        return {"slope_filler": self.slope_filler, "bias_filler": self.bias_filler, **values, **frozen}

    @property
    def form(self) -> tuple[Filler, Filler, float, float, bool]:
        """See `AveragingNorm.form`."""
        return self.slope_filler, self.bias_filler, self.eps, 1 - self.momentum, True


@register("SyncBN", dialect="yjxiong", field="bn_param")
@dataclass(frozen=True)
class SyncBN(PyramidBN):
    """BN of PSPNet; in a training with several processes, see the option `sync_batch_norm`.

    Shapes: (n, c, h, w) to the same.

    >>> SyncBN().infer(((2, 3, 7, 6),), 1)
    ((2, 3, 7, 6),)

    Reference: `sync_bn_layer.cpp` of yjxiong's Caffe.
    """


@register("BN", dialect="happynear", field="bn_param", v1="BN", when=_is_happynears)
@dataclass(frozen=True)
class DecayingBN(AveragingNorm):
    """(x - mean) / sqrt(variance + var_eps) scale + shift for each channel, by the batch's moments in test as well.

    With `moving_average` a test uses moving averages of them, with the biased variance.

    Shapes: (n, c, h, w) to the same.

    >>> [w.shape for w in DecayingBN(axis=2).weights(((8, 3, 7, 6),))][:2]
    [(1, 1, 7, 1), (1, 1, 7, 1)]

    Reference: `bn_layer.cpp` of happynear's and ChenglongChen's caffe-windows, and of CTPN.
    """

    scale_filler: Filler = field(default_factory=Filler)
    """How the factor is initialized; zeros by default."""
    shift_filler: Filler = field(default_factory=Filler)
    """How the addend is initialized."""
    var_eps: float = 1e-10
    """Added to the variance before the square root."""
    moving_average: bool = False
    """Whether a test uses the averages."""
    decay: float = 0.05
    """The batch's share of the averages in each training pass."""
    axis: int = 1
    """The axis of the channels: 1 or 2 (CTPN)."""

    caffe_fields: ClassVar[CaffeFields] = {"is_frozen": ()}

    @classmethod
    def from_caffe(cls, layer: Fields) -> Self:
        """Raises NetcError E103 for another axis."""
        p = layer.message("bn_param")
        if p["axis"] not in (1, 2):
            fail(f"`axis` is {p['axis']}: it must be 1 or 2", code="E103", field="axis")
        fillers = Filler.read(p, "scale_filler"), Filler.read(p, "shift_filler")
        return cls(*fillers, p["var_eps"], p["moving_average"], p["decay"], p["axis"])

    def to_caffe(self) -> dict[str, Any]:
        """The parameter message, with `var_eps`, which distinguishes the form from others."""
        values = super().to_caffe()
        values.pop("is_frozen", None)
        return {"var_eps": self.var_eps, **values}

    def infer(self, bottoms: Shapes, tops: int) -> tuple[Shape, ...]:
        """Raises NetcError E102 unless the bottom has the axis of the channels."""
        if len(bottoms[0]) <= self.axis:
            fail(f"axis {self.axis} of a bottom with {counted(len(bottoms[0]), 'axis')}", field="axis")
        return super().infer(bottoms, tops)

    @property
    def channel_axis(self) -> int:
        """See `axis`."""
        return self.axis

    @property
    def form(self) -> tuple[Filler, Filler, float, float, bool]:
        """See `AveragingNorm.form`."""
        return self.scale_filler, self.shift_filler, self.var_eps, self.decay, self.moving_average


@register("BN", dialect="segnet", field="bn_param", when=_is_segnets, likely=True)
@dataclass(frozen=True)
class SegNetBN(FactorAndAddend):
    """(x - mean) / sqrt(variance + 1e-9) scale + shift for each channel, by the batch's moments in test as well.

    With `bn_mode: INFERENCE` it is x scale + shift: a script has included the moments. Two more tops hold the mean and
    the biased variance.

    Shapes: (n, c, h, w) to the same, (1, c, 1, 1) and (1, c, 1, 1).

    >>> SegNetBN().infer(((2, 3, 7, 6),), 3)
    ((2, 3, 7, 6), (1, 3, 1, 1), (1, 3, 1, 1))

    Reference: `bn_layer.cpp` of SegNet, ENet and DeconvNet.
    """

    scale_filler: Filler = field(default_factory=Filler)
    """How the factor is initialized; zeros by default."""
    shift_filler: Filler = field(default_factory=Filler)
    """How the addend is initialized."""
    bn_mode: Literal["LEARN", "INFERENCE"] = "LEARN"
    """Whether to normalize by the batch, or only to multiply and add."""

    top_count: ClassVar[Count] = Count(1, 3)

    @property
    def in_place(self) -> bool:  # type: ignore[override]
        """With INFERENCE the gradient of the factor needs the bottom."""
        return self.bn_mode == "LEARN"

    @property
    def affine(self) -> bool:  # type: ignore[override]
        """With LEARN the factor is not that of the bottom's elements."""
        return self.bn_mode == "INFERENCE"

    @property
    def batch_statistics(self) -> bool:  # type: ignore[override]
        """With INFERENCE items do not depend on each other."""
        return self.bn_mode == "LEARN"

    def to_caffe(self) -> dict[str, Any]:
        """The parameter message, with `bn_mode`, which distinguishes the form from others."""
        return {**super().to_caffe(), "bn_mode": self.bn_mode}

    def infer(self, bottoms: Shapes, tops: int) -> tuple[Shape, ...]:
        """Raises NetcError E102 unless the bottom has 2 to 4 axes, E101 for moments that are not computed."""
        (first,) = super().infer(bottoms, tops)
        if tops > 1 and self.bn_mode == "INFERENCE":
            fail("`bn_mode: INFERENCE` computes no mean and variance", code="E101", field="top")
        moments = (1, first[1], 1, 1)
        return (first, moments, moments)

    def weights(self, bottoms: Shapes) -> Weights:
        """`weight` and `bias`."""
        return self.blobs(bottoms, {"weight": self.scale_filler, "bias": self.shift_filler})

    def channel_affine(self, blobs: Sequence[Any], axes: int) -> Affine | None:
        """The factor and addend, if no moments are computed."""
        return (blobs[0].ravel(), blobs[1].ravel()) if self.bn_mode == "INFERENCE" else None

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> tuple[Tensor, ...]:
        """No gradient flows through the moments in further tops."""
        (x,), (factor, addend) = bottoms, weights
        self.infer((tuple(x.shape),), mode.tops)
        if x.shape[1] != factor.shape[0]:
            fail(f"expected {counted(factor.shape[0], 'channel')}, got {x.shape[1]}", field="bottom")
        if self.bn_mode == "INFERENCE":
            shape = (1, -1, *[1] * (x.dim() - 2))
            return (x * factor.view(shape) + addend.view(shape),)
        top, moments = normalized(x, factor, addend, factor.detach(), SEGNET_EPS, mode)
        further = [part.view(1, -1, 1, 1) for part in (moments.mean, moments.biased)]
        return (top, *further[: mode.tops - 1])
