"""Activations: ReLU, PReLU, ELU, Sigmoid, TanH, BNLL, Swish. Other elementwise functions are in elementwise.py."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Self

from netc.ir.dims import product
from netc.ir.dtypes import FLOATS, DType
from netc.ir.fields import Fields
from netc.ir.filler import Filler
from netc.ir.layer import Cost, Layer, Mode, Shapes, Weight, Weights, fail
from netc.ir.operator import Operator
from netc.ir.traits import Role, Sees, TopRead
from netc.layers._operators import operator
from netc.layers._registry import register

if TYPE_CHECKING:
    from torch import Tensor, nn


@operator("Relu")
@register("ReLU", field="relu_param", v1="RELU")
@dataclass(frozen=True)
class ReLU(Layer):
    """x where x is positive, `negative_slope` times x elsewhere; at 0 the gradient is that of the negative side.

    Shapes: any, kept.

    >>> ReLU().infer(((2, 3, 4),), 1)
    ((2, 3, 4),)

    Reference: `relu_layer.cpp`.
    """

    negative_slope: float = 0.0
    """Slope below 0; 0 is the plain rectifier."""

    role: ClassVar[Role] = "inner"
    sees: ClassVar[Sees] = "place"
    empty_blobs: ClassVar[bool] = True
    accepts: ClassVar[tuple[frozenset[DType], ...]] = (FLOATS,)
    in_place_pairs: ClassVar[tuple[tuple[int, int], ...]] = ((0, 0),)

    @classmethod
    def from_caffe2(cls, operator: Operator) -> Self:  # noqa: ARG003
        """Caffe2's operator has no slope."""
        return cls()

    @property
    def overwritable(self) -> bool:  # type: ignore[override]
        """Torch saves the top if the layer can be computed in place."""
        return self.negative_slope < 0

    @property
    def keeps_sign(self) -> bool:  # type: ignore[override]
        """Unless a negative slope reverses the sign."""
        return self.negative_slope >= 0

    @property
    def overwrites(self) -> bool:  # type: ignore[override]
        """Torch computes the layer in place; backward then reads the sign of x from y."""
        return self.negative_slope >= 0

    def reads_top(self, in_place: bool) -> TopRead:
        """The sign, if y overwrote x (`relu_layer.cpp`, Backward_cpu reads the bottom's memory)."""
        return "sign" if in_place else ""

    @property
    def in_place(self) -> bool:  # type: ignore[override]
        """Caffe's backward pass reads the sign of x from y, which a negative slope reverses."""
        return self.negative_slope >= 0

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """One comparison per element, and one multiplication if there is a slope."""
        return Cost(operations=product(tops[0]) * (2 if self.negative_slope else 1))

    def module(self, bottoms: Shapes, tops: int) -> nn.Module | None:
        """torch.nn.ReLU or torch.nn.LeakyReLU."""
        from torch import nn

        return nn.LeakyReLU(self.negative_slope) if self.negative_slope else nn.ReLU()

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        import torch.nn.functional as F

        return F.leaky_relu(bottoms[0], self.negative_slope) if self.negative_slope else F.relu(bottoms[0])


@register("PReLU", field="prelu_param")
@dataclass(frozen=True)
class PReLU(Layer):
    """x where x is positive, a learned slope times x elsewhere: one slope per channel, or one for all.

    Shapes: (n, c, ...), kept; the slopes have shape (c), with `channel_shared` ().

    >>> PReLU().weights(((2, 3, 4),))[0].shape, PReLU(channel_shared=True).weights(((2, 3, 4),))[0].shape
    ((3,), ())

    Reference: `prelu_layer.cpp`; He et al., Delving Deep into Rectifiers, 2015.
    """

    filler: Filler = field(default_factory=lambda: Filler(value=0.25))
    """How the slopes are initialized."""
    channel_shared: bool = False
    """One slope for all channels."""

    in_place = True
    role: ClassVar[Role] = "inner"
    overwritable: ClassVar[bool] = True
    sees: ClassVar[Sees] = "place"

    @classmethod
    def from_caffe(cls, layer: Fields) -> Self:
        """The default filler is the constant 0.25, not Caffe's usual 0. Raises NetcError E103 for an invalid filler."""
        p = layer.message("prelu_param")
        filler = Filler.read(p, "filler") if "filler" in p else Filler(value=0.25)
        return cls(filler, p.get("channel_shared", False))

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 for a bottom without a channel axis."""
        if len(bottoms[0]) < 2:
            fail(f"`PReLU` expects a bottom with at least 2 axes, got {len(bottoms[0])}", field="bottom")
        return bottoms

    def weights(self, bottoms: Shapes) -> Weights:
        """`weight`: the slopes."""
        if self.channel_shared:
            return (Weight("weight", (), self.filler, torch_shape=(1,)),)
        return (Weight("weight", (bottoms[0][1],), self.filler),)

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """One comparison and one multiplication per element."""
        return Cost(operations=2 * product(tops[0]))

    def module(self, bottoms: Shapes, tops: int) -> nn.Module | None:
        """torch.nn.PReLU."""
        from torch import nn

        return nn.PReLU(1 if self.channel_shared else bottoms[0][1])

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        import torch.nn.functional as F

        return F.prelu(bottoms[0], weights[0])


@register("ELU", field="elu_param")
@dataclass(frozen=True)
class ELU(Layer):
    """x where x is positive, alpha (exp(x) - 1) elsewhere; the gradient at 0 is alpha.

    Shapes: any, kept.

    >>> ELU(alpha=0.5).infer(((2, 3),), 1)
    ((2, 3),)

    Reference: `elu_layer.cpp`; Clevert et al., Fast and Accurate Deep Network Learning by ELUs, 2015.
    """

    alpha: float = 1.0
    """The negated limit for large negative x."""

    role: ClassVar[Role] = "inner"
    overwritable: ClassVar[bool] = True
    sees: ClassVar[Sees] = "place"

    @property
    def keeps_sign(self) -> bool:  # type: ignore[override]
        """Unless a negative alpha reverses the sign."""
        return self.alpha >= 0

    def reads_top(self, in_place: bool) -> TopRead:
        """Its values, for the gradient of the negative side (`elu_layer.cpp`, Backward_cpu)."""
        return "values"

    @property
    def in_place(self) -> bool:  # type: ignore[override]
        """Caffe's backward pass reads the sign of x from y, which a negative alpha reverses."""
        return self.alpha >= 0

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """One comparison, exponential, subtraction and multiplication per element."""
        return Cost(operations=4 * product(tops[0]))

    def module(self, bottoms: Shapes, tops: int) -> nn.Module | None:
        """torch.nn.ELU."""
        from torch import nn

        return nn.ELU(self.alpha)

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        import torch.nn.functional as F

        return F.elu(bottoms[0], self.alpha)


@operator("Sigmoid")
@register("Sigmoid", field="sigmoid_param", v1="SIGMOID")
@dataclass(frozen=True)
class Sigmoid(Layer):
    """1 / (1 + exp(-x)).

    Shapes: any, kept.

    >>> Sigmoid().infer(((2, 3),), 1)
    ((2, 3),)

    Reference: `sigmoid_layer.cpp`; Caffe2: `sigmoid_op.cc`.
    """

    in_place = True
    role: ClassVar[Role] = "score"
    sees: ClassVar[Sees] = "place"
    empty_blobs: ClassVar[bool] = True
    accepts: ClassVar[tuple[frozenset[DType], ...]] = (FLOATS,)
    in_place_pairs: ClassVar[tuple[tuple[int, int], ...]] = ((0, 0),)

    def reads_top(self, in_place: bool) -> TopRead:
        """The gradient is y (1 - y) (`sigmoid_layer.cpp`, Backward_cpu)."""
        return "values"

    def module(self, bottoms: Shapes, tops: int) -> nn.Module | None:
        """torch.nn.Sigmoid."""
        from torch import nn

        return nn.Sigmoid()

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        return bottoms[0].sigmoid()


@operator("Tanh")
@register("TanH", field="tanh_param", v1="TANH")
@dataclass(frozen=True)
class TanH(Layer):
    """The hyperbolic tangent.

    Shapes: any, kept.

    >>> TanH().infer(((2, 3),), 1)
    ((2, 3),)

    Reference: `tanh_layer.cpp`; Caffe2: `tanh_op.cc`.
    """

    in_place = True
    role: ClassVar[Role] = "inner"
    keeps_sign: ClassVar[bool] = True
    sees: ClassVar[Sees] = "place"
    empty_blobs: ClassVar[bool] = True
    accepts: ClassVar[tuple[frozenset[DType], ...]] = (FLOATS,)
    in_place_pairs: ClassVar[tuple[tuple[int, int], ...]] = ((0, 0),)

    def reads_top(self, in_place: bool) -> TopRead:
        """The gradient is 1 - y^2 (`tanh_layer.cpp`, Backward_cpu)."""
        return "values"

    def module(self, bottoms: Shapes, tops: int) -> nn.Module | None:
        """torch.nn.Tanh."""
        from torch import nn

        return nn.Tanh()

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        return bottoms[0].tanh()


LINEAR_FROM = 50.0
"""For larger x the gradient of BNLL is that at 50, which is 1 in float32 and float64 (`bnll_layer.cpp`)."""


@register("BNLL", v1="BNLL")
@dataclass(frozen=True)
class BNLL(Layer):
    """log(1 + exp(x)), the binomial normal log likelihood.

    Shapes: any, kept.

    >>> BNLL().infer(((2, 3),), 1)
    ((2, 3),)

    Reference: `bnll_layer.cpp`.
    """

    overwritable: ClassVar[bool] = True
    sees: ClassVar[Sees] = "place"

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """One exponential, addition and logarithm per element."""
        return Cost(operations=3 * product(tops[0]))

    def module(self, bottoms: Shapes, tops: int) -> nn.Module | None:
        """torch.nn.Softplus."""
        from torch import nn

        return nn.Softplus(threshold=LINEAR_FROM)

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        import torch.nn.functional as F

        return F.softplus(bottoms[0], threshold=LINEAR_FROM)


@register("Swish", field="swish_param")
@dataclass(frozen=True)
class Swish(Layer):
    """x sigmoid(beta x).

    Shapes: any, kept.

    >>> Swish(beta=1.5).infer(((2, 3),), 1)
    ((2, 3),)

    Reference: `swish_layer.cpp`; Ramachandran et al., Searching for Activation Functions, 2017.
    """

    beta: float = 1.0
    """Factor of x inside the sigmoid."""

    in_place = True
    keeps_sign: ClassVar[bool] = True
    overwritable: ClassVar[bool] = True
    sees: ClassVar[Sees] = "place"

    def reads_top(self, in_place: bool) -> TopRead:
        """The gradient is computed from beta y and the sigmoid (`swish_layer.cpp`, Backward_cpu)."""
        return "values"

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """One sigmoid and one multiplication per element, and another multiplication unless beta is 1."""
        return Cost(operations=product(tops[0]) * (2 if self.beta == 1 else 3))

    def module(self, bottoms: Shapes, tops: int) -> nn.Module | None:
        """torch.nn.SiLU if beta is 1."""
        from torch import nn

        return nn.SiLU() if self.beta == 1 else None

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        return bottoms[0] * (bottoms[0] * self.beta).sigmoid()
