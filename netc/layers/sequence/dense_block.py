"""DenseBlock: the transitions of a DenseNet block in one layer."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Self

from netc.ir.dims import Shape, product, text
from netc.ir.fields import Fields
from netc.ir.filler import Filler
from netc.ir.layer import CaffeFields, Cost, Layer, Mode, Shapes, Weight, Weights, fail
from netc.ir.receptive_field import ReceptiveFields
from netc.layers._registry import register
from netc.layers._windows import positive

if TYPE_CHECKING:
    from torch import Tensor

EPS = 1e-5
"""cuDNN's smallest, which the layer uses."""
MOST_TRANSITIONS = 1000
"""More than any network has; each has blobs of its own."""
BOTTLENECK = 4
"""Channels of a bottleneck per channel that a transition adds."""
_CAFFE_NAMES = {
    "transitions": "numTransition",
    "growth_rate": "growthRate",
    "filter_filler": "Filter_Filler",
    "scale_filler": "BN_Scaler_Filler",
    "bias_filler": "BN_Bias_Filler",
    "dropout": "use_dropout",
    "dropout_ratio": "dropout_amount",
    "bottleneck": "use_BC",
    "moving_average_fraction": "moving_average_fraction",
}
FIXED = {"pad_h": 1, "pad_w": 1, "conv_verticalStride": 1, "conv_horizentalStride": 1, "filter_H": 3, "filter_W": 3}
"""Fields that have no effect: the layer's blobs and shapes are those of these values."""


@dataclass(frozen=True)
class Blobs:
    """The blobs of one normalization and the convolution after it."""

    kernel: Any
    scale: Any
    bias: Any
    mean: Any
    variance: Any


@register("DenseBlock", dialect="caffe_ocr", field="denseblock_param")
@dataclass(frozen=True)
class DenseBlock(Layer):
    """Transitions of batch normalization, ReLU and a 3x3 convolution, each of which adds channels to its input.

    With `bottleneck` a transition begins with batch normalization, ReLU and a 1x1 convolution to 4 `growth_rate`
    channels. In training the averages keep 1 - `moving_average_fraction` of their value.

    Shapes: (n, c, h, w) to (n, c + transitions growth_rate, h, w).

    >>> DenseBlock(transitions=8, growth_rate=8).infer(((1, 64, 16, 140),), 1)
    ((1, 128, 16, 140),)
    >>> len(DenseBlock(transitions=8, growth_rate=8).weights(((1, 64, 16, 140),)))
    41

    Reference: `DenseBlock_layer.cu` of caffe_ocr; Huang et al., Densely Connected Convolutional Networks, 2017. Its
    CPU code divides the averages by the last blob, which only CPU training changes; here it has no effect.
    """

    transitions: int = 40
    """Number of transitions."""
    growth_rate: int = 12
    """Channels that each transition adds."""
    filter_filler: Filler = field(default_factory=Filler)
    """How the kernels are initialized."""
    scale_filler: Filler = field(default_factory=Filler)
    """How the factors of the normalization are initialized."""
    bias_filler: Filler = field(default_factory=Filler)
    """How its addends are initialized."""
    dropout: bool = False
    """Whether elements of the convolution's output are set to 0 at random in training."""
    dropout_ratio: float = 0.0
    """The probability that an element is set to 0."""
    bottleneck: bool = False
    """Whether each transition begins with a 1x1 convolution."""
    moving_average_fraction: float = 0.1
    """The share of the batch's moments in the averages."""
    use_global_stats: bool | None = None
    """Whether averages are used in training too, and do not change; no field of a file."""

    caffe_fields: ClassVar[CaffeFields] = {name: (f"denseblock_param.{own}",) for name, own in _CAFFE_NAMES.items()} | {
        "use_global_stats": ()
    }

    batch_statistics: ClassVar[bool] = True
    rearranges: ClassVar[bool] = True
    overwritable: ClassVar[bool] = True

    @classmethod
    def from_caffe(cls, layer: Fields) -> Self:
        """Raises NetcError E101 for a convolution other than 3x3, E103 for sizes that are not positive."""
        p = layer.message("denseblock_param")
        if layer.get("param", ()):
            fail(
                "`DenseBlock` sets the rates of its blobs itself", code="E101", field="param", help="leave `param` out"
            )
        for name, value in FIXED.items():
            if p.get(name, value) != value:
                fail(f"`{name}` is supported as {value} only", code="E101", field=name)
        fillers = {name for name in _CAFFE_NAMES if name.endswith("filler")}
        given: dict[str, Any] = {name: p[own] for name, own in _CAFFE_NAMES.items() if name not in fillers and own in p}
        given |= {name: Filler.read(p, _CAFFE_NAMES[name]) for name in fillers}
        result = cls(**given)
        if not 1 <= result.transitions <= MOST_TRANSITIONS:
            found = f"`numTransition` is {result.transitions}: it must be from 1 to {MOST_TRANSITIONS}"
            fail(found, code="E103", field="numTransition")
        positive((result.growth_rate,), "growthRate")
        return result

    def to_caffe(self) -> dict[str, Any]:
        """The parameter message."""
        values = super().to_caffe()
        values.pop("use_global_stats", None)
        return {_CAFFE_NAMES[name]: value for name, value in values.items()}

    def __post_init__(self) -> None:
        """Raises NetcError E103 unless the dropout ratio is at least 0 and less than 1."""
        if not 0 <= self.dropout_ratio < 1:
            found = f"`dropout_amount` is {self.dropout_ratio:g}: it must be at least 0 and below 1"
            fail(found, code="E103", field="dropout_amount")

    def frozen(self) -> Self:
        """With averages that training does not change."""
        return dataclasses.replace(self, use_global_stats=True)

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 unless the bottom has four axes."""
        if len(bottoms[0]) != 4:
            fail(f"expected images (n, c, h, w), got {text(bottoms[0])}", field="bottom")
        n, c, h, w = bottoms[0]
        return ((n, c + self.transitions * self.growth_rate, h, w),)

    def weights(self, bottoms: Shapes) -> Weights:
        """One kind of blob of all transitions after another: kernels, factors, addends, means, variances."""
        channels = bottoms[0][1]
        inputs = [channels + i * self.growth_rate for i in range(self.transitions)]
        inner = [BOTTLENECK * self.growth_rate] * self.transitions
        blobs = self._group("", inner if self.bottleneck else inputs, inputs, (self.growth_rate, 3))
        if self.bottleneck:
            blobs += self._group("bottleneck_", inputs, inner, (BOTTLENECK * self.growth_rate, 1))
        return (*blobs, Weight("scale_factor", (1,), learnable=False))

    def _group(self, prefix: str, kernels: list[int], channels: list[int], out: tuple[int, int]) -> Weights:
        """Return five kinds of blobs: kernels for `kernels` input channels, and statistics of `channels` channels."""
        outputs, size = out
        made = [
            Weight(f"{prefix}kernel_{i}", (outputs, count, size, size), self.filter_filler)
            for i, count in enumerate(kernels)
        ]
        kinds = (
            ("scale", self.scale_filler, True),
            ("bias", self.bias_filler, True),
            ("mean", Filler(), False),
            ("variance", Filler(value=1.0), False),
        )
        for kind, filler, learnable in kinds:
            for i, count in enumerate(channels):
                name = f"{prefix}{kind}_{i}"
                made.append(Weight(name, (1, count, 1, 1), filler, torch_shape=(count,), learnable=learnable))
        return tuple(made)

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """Each kernel once per position, and three operations for each element that is normalized."""
        positions = product((tops[0][0], *tops[0][2:]))
        weights = self.weights(bottoms)
        macs = sum(product(weight.shape) for weight in weights if "kernel" in weight.name)
        normalized = sum(product(weight.shape) for weight in weights if "mean" in weight.name)
        return Cost(macs=positions * macs, operations=3 * positions * normalized)

    def receptive_field(
        self, fields: Sequence[ReceptiveFields], bottoms: Sequence[Shape], top: Shape
    ) -> ReceptiveFields | None:
        """Each transition adds a border of one position."""
        return tuple(functools.reduce(lambda one, _: one.window(3), range(self.transitions), one) for one in fields[0])

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Each transition reads the channels of all before it."""
        import torch
        import torch.nn.functional as F

        x = bottoms[0]
        for first, second in zip(self._transitions(weights, 0), self._bottlenecks(weights)):
            y = self._normalized(x, first, mode)
            if second is not None:
                y = self._normalized(F.conv2d(y, second.kernel), second, mode)
            y = F.conv2d(y, first.kernel, padding=1)
            if mode.training and self.dropout:
                y = F.dropout(y, self.dropout_ratio)
            x = torch.cat((x, y), 1)
        return x

    def _normalized(self, x: Tensor, blobs: Blobs, mode: Mode) -> Tensor:
        import torch.nn.functional as F

        batch = mode.training and not self.use_global_stats
        moments = blobs.mean, blobs.variance, blobs.scale, blobs.bias
        return F.batch_norm(x, *moments, batch, self.moving_average_fraction, EPS).relu()

    def _transitions(self, weights: Sequence[Tensor], start: int) -> Iterator[Blobs]:
        for i in range(self.transitions):
            yield Blobs(*(weights[start + kind * self.transitions + i] for kind in range(5)))

    def _bottlenecks(self, weights: Sequence[Tensor]) -> Iterator[Blobs | None]:
        if self.bottleneck:
            yield from self._transitions(weights, 5 * self.transitions)
        else:
            yield from [None] * self.transitions
