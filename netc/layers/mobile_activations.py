"""Activations that forks of Caffe added: ReLU6, HardSwish, Mish, SeLU."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

from netc.ir.dims import product
from netc.ir.fields import Fields
from netc.ir.layer import CaffeFields, Cost, Layer, Mode, Shapes
from netc.ir.traits import Role, Sees, TopRead
from netc.layers._registry import register

if TYPE_CHECKING:
    from torch import Tensor, nn


@register("ReLU6", dialect="mobilenet_yolo", field="relu6_param", v1="RELU6")
@dataclass(frozen=True)
class ReLU6(Layer):
    """x where x is positive, at most `n`; `negative_slope` times x elsewhere. The gradient at 0 is the slope, at n 0.

    Shapes: any, kept.

    >>> ReLU6().infer(((2, 3, 4),), 1)
    ((2, 3, 4),)

    Reference: `relu6_layer.cpp` of MobileNet-YOLO; Howard et al., MobileNets, 2017. `n` is OpenVINO's.
    """

    negative_slope: float = 0.0
    """Slope below 0."""
    n: float = 6.0
    """The largest value."""

    role: ClassVar[Role] = "inner"
    overwritable: ClassVar[bool] = True
    sees: ClassVar[Sees] = "place"

    @property
    def keeps_sign(self) -> bool:  # type: ignore[override]
        """Unless a negative slope reverses the sign, or nothing is positive."""
        return self.negative_slope >= 0 and self.n > 0

    @property
    def in_place(self) -> bool:  # type: ignore[override]
        """Caffe's backward pass compares x with 0 and n, which y answers as well."""
        return self.negative_slope >= 0

    def reads_top(self, in_place: bool) -> TopRead:
        """The values, if y overwrote x."""
        return "values" if in_place else ""

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """Two comparisons per element, and one multiplication if there is a slope."""
        return Cost(operations=product(tops[0]) * (3 if self.negative_slope else 2))

    def module(self, bottoms: Shapes, tops: int) -> nn.Module | None:
        """torch.nn.ReLU6 with the default parameters."""
        from torch import nn

        return nn.ReLU6() if self == ReLU6() else None

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        import torch.nn.functional as F

        if not self.negative_slope:
            return F.hardtanh(bottoms[0], 0.0, self.n)
        return F.hardtanh(F.leaky_relu(bottoms[0], self.negative_slope), float("-inf"), self.n)


@register("HardSwish", dialect="synopsys")
@dataclass(frozen=True)
class HardSwish(Layer):
    """x min(max(x + 3, 0), 6) / 6.

    Shapes: any, kept.

    >>> HardSwish().infer(((2, 3),), 1)
    ((2, 3),)

    Reference: `hard_swish_layer.cpp` of synopsys-caffe; Howard et al., Searching for MobileNetV3, 2019.
    """

    role: ClassVar[Role] = "inner"
    keeps_sign: ClassVar[bool] = True
    overwritable: ClassVar[bool] = True
    sees: ClassVar[Sees] = "place"

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """One addition, two comparisons, one multiplication and one division per element."""
        return Cost(operations=5 * product(tops[0]))

    def module(self, bottoms: Shapes, tops: int) -> nn.Module | None:
        """torch.nn.Hardswish."""
        from torch import nn

        return nn.Hardswish()

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        import torch.nn.functional as F

        return F.hardswish(bottoms[0])


@register("Mish", dialect="synopsys")
@dataclass(frozen=True)
class Mish(Layer):
    """x tanh(log(1 + exp(x))).

    Shapes: any, kept.

    >>> Mish().infer(((2, 3),), 1)
    ((2, 3),)

    Reference: `mish_layer.cpp` of the YOLOv4 ports; Misra, Mish, 2019.
    """

    role: ClassVar[Role] = "inner"
    keeps_sign: ClassVar[bool] = True
    overwritable: ClassVar[bool] = True
    sees: ClassVar[Sees] = "place"

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """One exponential, addition, logarithm, hyperbolic tangent and multiplication per element."""
        return Cost(operations=5 * product(tops[0]))

    def module(self, bottoms: Shapes, tops: int) -> nn.Module | None:
        """torch.nn.Mish."""
        from torch import nn

        return nn.Mish()

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        import torch.nn.functional as F

        return F.mish(bottoms[0])


@register("SeLU", dialect="jolibrain", field="selu_param")
@dataclass(frozen=True)
class SeLU(Layer):
    """A factor times x where x is positive, times alpha (exp(x) - 1) elsewhere: the factor keeps mean and variance.

    Shapes: any, kept.

    >>> SeLU().infer(((2, 3),), 1)
    ((2, 3),)

    Reference: `selu_layer.cpp` of jolibrain's Caffe; Klambauer et al., Self-Normalizing Neural Networks, 2017.
    """

    alpha: float = 1.67326
    """The negated limit of the second factor for large negative x."""
    factor: float = 1.0507
    """The field `lambda`."""

    caffe_fields: ClassVar[CaffeFields] = {"factor": ("selu_param.lambda",)}
    role: ClassVar[Role] = "inner"
    overwritable: ClassVar[bool] = True
    sees: ClassVar[Sees] = "place"

    @classmethod
    def from_caffe(cls, layer: Fields) -> Self:
        """Reads `lambda` into `factor`."""
        p, default = layer.message("selu_param"), cls()
        return cls(p.get("alpha", default.alpha), p.get("lambda", default.factor))

    def to_caffe(self) -> dict[str, Any]:
        """The parameter message, with `lambda`."""
        return {{"factor": "lambda"}.get(name, name): value for name, value in super().to_caffe().items()}

    @property
    def keeps_sign(self) -> bool:  # type: ignore[override]
        """Unless a negative number reverses the sign."""
        return self.alpha >= 0 and self.factor > 0

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """One comparison, exponential, subtraction and two multiplications per element."""
        return Cost(operations=5 * product(tops[0]))

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        import torch.nn.functional as F

        return F.elu(bottoms[0], self.alpha) * self.factor


@register("SeLu", dialect="self_normalizing", field="selu_param")
@dataclass(frozen=True)
class SeLu(SeLU):
    """SeLU as the first port of it was called, with more digits of its defaults.

    Shapes: any, kept.

    >>> SeLu().factor
    1.050700987

    Reference: `selu_layer.cpp` of the self-normalizing networks port of 2017.
    """

    alpha: float = 1.67326324
    """The negated limit of the second factor for large negative x."""
    factor: float = 1.050700987
    """The field `lambda`."""
