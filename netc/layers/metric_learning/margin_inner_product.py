"""MarginInnerProduct: SphereFace's inner products with an angular margin."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from netc.diagnostics import counted
from netc.ir.dims import Shape, differ, product, text
from netc.ir.fields import Fields
from netc.ir.filler import Filler
from netc.ir.layer import CaffeFields, Cost, Count, Layer, Mode, Shapes, StateEntry, Weight, Weights, fail
from netc.ir.traits import Sees
from netc.layers._axes import axis_of
from netc.layers._labels import indices
from netc.layers._registry import register
from netc.layers._windows import positive

if TYPE_CHECKING:
    from torch import Tensor

UNIT = 8
"""Rounding errors by which a row's length may differ from 1."""
MARGINS = {"SINGLE": 1, "DOUBLE": 2, "TRIPLE": 3, "QUADRUPLE": 4}


@dataclass(frozen=True)
class MarginProducts(Layer):
    """Base of MarginInnerProduct and LargeMarginInnerProduct: their fields, shapes, and lambda."""

    num_output: int
    """Number of classes."""
    margin: Literal["SINGLE", "DOUBLE", "TRIPLE", "QUADRUPLE"] = "SINGLE"
    """The factor m of the angle, 1 to 4: `type` in the file."""
    weight_filler: Filler = field(default_factory=Filler)
    """How the vectors of the classes are initialized."""
    axis: int = 1
    """First axis of an item's vector."""
    base: float = 1.0
    """lambda before it decreases."""
    gamma: float = 0.0
    """How fast lambda decreases."""
    power: float = 1.0
    """Exponent of the decrease."""
    iteration: int = 0
    """Number of passes before the first."""
    lambda_min: float = 0.0
    """Lower bound of lambda."""

    bottom_count: ClassVar[Count] = Count(2)
    top_count: ClassVar[Count] = Count(1, 2)
    no_gradient: ClassVar[tuple[int, ...]] = (1,)
    indices: ClassVar[tuple[int, ...]] = (1,)
    rearranges: ClassVar[bool] = True
    overwritable: ClassVar[bool] = True
    sees: ClassVar[Sees] = "all"

    @classmethod
    def from_caffe(cls, layer: Fields) -> Self:
        """Reads `type` into `margin`."""
        p = layer.message(cls.param_field or "")
        return dataclasses.replace(super().from_caffe(layer), margin=p.get("type", "SINGLE"))

    def to_caffe(self) -> dict[str, Any]:
        """The parameter message, with the margin as `type`."""
        return {("type" if name == "margin" else name): value for name, value in super().to_caffe().items()}

    @property
    def carries_state(self) -> bool:  # type: ignore[override]
        """Where lambda changes from pass to pass."""
        return bool(self.gamma and self.power)

    def label_classes(self, scores: Shape) -> int | None:
        """The number of outputs, if it is a parameter."""
        return self.num_output or None

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 unless there is one label for each vector."""
        x, labels = bottoms
        kept = x[: axis_of(self.axis, x)]
        if differ(product(labels), product(kept)):
            fail(f"labels {text(labels)} for {counted(product(kept), 'vector')} {text(x)}", field="bottom")
        return ((*kept, self.num_output), (1,))

    def weights(self, bottoms: Shapes) -> Weights:
        """`weight`: one row for each class."""
        axis = axis_of(self.axis, bottoms[0])
        return (Weight("weight", (self.num_output, product(bottoms[0][axis:])), self.weight_filler),)

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """The matrix once for each vector, and twenty operations for each label."""
        axis = axis_of(self.axis, bottoms[0])
        return Cost(macs=product(bottoms[0]) * tops[0][-1], operations=20 * product(bottoms[0][:axis]))

    def state_entries(self, bottoms: Shapes) -> tuple[StateEntry, ...]:
        """The number of passes."""
        return (StateEntry("iteration", ()),)

    def _blend(self, like: Tensor, mode: Mode) -> Tensor:
        """Return lambda of this pass, and count the pass."""
        import torch

        kept = mode.kept("iteration")
        passes = (like.new_full((), float(self.iteration)) if kept is None else kept.to(like)) + 1
        if not torch.compiler.is_exporting():
            mode.keep("iteration", passes)
        return (self.base * (1 + self.gamma * passes) ** -self.power).clamp(min=self.lambda_min)


@register("MarginInnerProduct", dialect="sphereface", field="margin_inner_product_param")
@dataclass(frozen=True)
class MarginInnerProduct(MarginProducts):
    """Inner products with vectors of length 1, smaller for the class of the label by an angular margin (A-Softmax).

    For the label's class |x| cos(angle) is replaced by (|x| psi(angle) + lambda |x| cos(angle)) / (1 + lambda), where
    psi continues cos(m angle) to a decreasing function. lambda = max(base (1 + gamma i)^-power, lambda_min) in pass i.

    Shapes: (n, ...) and labels (n) to (n, num_output) and optionally lambda (1).

    >>> MarginInnerProduct(num_output=4).infer(((7, 6), (7,)), 2)
    ((7, 4), (1,))

    Reference: `margin_inner_product_layer.cpp` of SphereFace; Liu et al., SphereFace: Deep Hypersphere Embedding for
    Face Recognition, 2017. As there, each pass divides the rows of the blob by their length, and the gradients are
    not the derivatives: see `netc.functions.margin_product`.
    """

    caffe_fields: ClassVar[CaffeFields] = {"margin": ("margin_inner_product_param.type",)}

    @classmethod
    def from_caffe(cls, layer: Fields) -> Self:
        """Raises NetcError E103 unless `num_output` is positive."""
        result = super().from_caffe(layer)
        positive((result.num_output,), "num_output")
        return result

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> tuple[Tensor, ...]:
        """The rows of the blob are divided by their lengths in place; an exported program leaves it as it is."""
        from netc.functions.margin_product import MarginProduct

        axis = axis_of(self.axis, tuple(bottoms[0].shape))
        vectors = bottoms[0].reshape(bottoms[1].numel(), -1)
        blend = self._blend(vectors, mode)
        labels = indices(bottoms[1].detach().flatten(), self.num_output, mode)
        weight, margin = unit_rows(weights[0]), MARGINS[self.margin]
        products: Tensor = MarginProduct.apply(vectors, weight, labels, blend, margin)  # type: ignore[no-untyped-call]
        return products.reshape(*bottoms[0].shape[:axis], -1), blend.reshape(1)


def unit_rows(blob: Tensor) -> Tensor:
    """Return a blob after its rows were divided by their lengths; a copy while a program is exported.

    Rows of length 1 stay as they are, so that passes do not add up rounding errors.
    """
    import torch

    length = blob.detach().norm(dim=1, keepdim=True)
    divisor = torch.where((length - 1).abs() > UNIT * torch.finfo(blob.dtype).eps, length, 1.0)
    if torch.compiler.is_exporting():
        return blob / divisor
    with torch.no_grad():
        blob.div_(divisor)
    return blob
