"""InnerProduct and Embed: the product of a matrix and a vector, and of a matrix and a one-hot vector."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Self

from netc.ir.dims import product, text
from netc.ir.fields import Fields
from netc.ir.filler import Filler
from netc.ir.layer import Cost, DTypes, Layer, Mode, Shapes, Weight, Weights, fail
from netc.ir.traits import Sees
from netc.layers._axes import axis_of
from netc.layers._registry import register
from netc.layers._windows import positive

if TYPE_CHECKING:
    from torch import Tensor, nn


@register("InnerProduct", field="inner_product_param", v1="INNER_PRODUCT")
@dataclass(frozen=True)
class InnerProduct(Layer):
    """Flattens all axes from `axis` on into a vector and multiplies it by a learned matrix.

    Shapes: (n, c, h, w) to (n, num_output).

    >>> InnerProduct(num_output=4096).infer(((10, 256, 6, 6),), 1)
    ((10, 4096),)

    Reference: `inner_product_layer.cpp`.
    """

    num_output: int
    """Number of elements of each output vector."""
    axis: int = 1
    """First axis of the vector; the axes before it are kept."""
    transpose: bool = False
    """The blob holds the matrix as (inputs, num_output)."""
    bias_term: bool = True
    """Whether a learned bias is added."""
    weight_filler: Filler = field(default_factory=Filler)
    """How the weights are initialized."""
    bias_filler: Filler = field(default_factory=Filler)
    """How the bias is initialized."""

    rearranges: ClassVar[bool] = True
    overwritable: ClassVar[bool] = True
    sees: ClassVar[Sees] = "all"

    @classmethod
    def from_caffe(cls, layer: Fields) -> Self:
        """Reads the parameter message. Raises NetcError E103."""
        result = super().from_caffe(layer)
        positive((result.num_output,), "num_output")
        return result

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 if the bottom does not have the axis."""
        return ((*bottoms[0][: axis_of(self.axis, bottoms[0])], self.num_output),)

    def weights(self, bottoms: Shapes) -> Weights:
        """`weight` (num_output, inputs), or (inputs, num_output) with `transpose`, and `bias` (num_output)."""
        inputs = product(bottoms[0][axis_of(self.axis, bottoms[0]) :])
        shape = (inputs, self.num_output) if self.transpose else (self.num_output, inputs)
        weight = Weight("weight", shape, self.weight_filler)
        bias = Weight("bias", (self.num_output,), self.bias_filler)
        return (weight, bias) if self.bias_term else (weight,)

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """One multiply-add per weight and vector; the bias is not counted, as in papers."""
        return Cost(macs=product(bottoms[0]) * self.num_output)

    def module(self, bottoms: Shapes, tops: int) -> nn.Module | None:
        """torch.nn.Linear if there is nothing to flatten."""
        from torch import nn

        if self.transpose or axis_of(self.axis, bottoms[0]) != len(bottoms[0]) - 1:
            return None
        return nn.Linear(bottoms[0][-1], self.num_output, self.bias_term)

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        import torch.nn.functional as F

        vectors = bottoms[0].flatten(axis_of(self.axis, tuple(bottoms[0].shape)))
        weight = weights[0].t() if self.transpose else weights[0]
        if vectors.shape[-1] != weight.shape[1]:
            fail(f"vectors of {vectors.shape[-1]} do not fit weights of shape {text(tuple(weights[0].shape))}")
        return F.linear(vectors, weight, weights[1] if self.bias_term else None)


@register("Embed", field="embed_param")
@dataclass(frozen=True)
class Embed(Layer):
    """Looks up a learned vector for each index in the bottom, from 0 to input_dim - 1.

    Shapes: (...) to (..., num_output).

    >>> Embed(num_output=300, input_dim=8000).infer(((20, 16),), 1)
    ((20, 16, 300),)

    Reference: `embed_layer.cpp`.
    """

    num_output: int
    """Number of elements of each vector."""
    input_dim: int
    """Number of vectors."""
    bias_term: bool = True
    """Whether one learned bias vector is added to every looked-up vector."""
    weight_filler: Filler = field(default_factory=Filler)
    """How the vectors are initialized."""
    bias_filler: Filler = field(default_factory=Filler)
    """How the bias is initialized."""

    no_gradient: ClassVar[tuple[int, ...]] = (0,)
    indices: ClassVar[tuple[int, ...]] = (0,)
    rearranges: ClassVar[bool] = True
    overwritable: ClassVar[bool] = True

    @classmethod
    def from_caffe(cls, layer: Fields) -> Self:
        """Reads the parameter message. Raises NetcError E103."""
        result = super().from_caffe(layer)
        positive((result.num_output,), "num_output")
        positive((result.input_dim,), "input_dim")
        return result

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Computed as described in the class docstring."""
        return ((*bottoms[0], self.num_output),)

    def dtypes(self, bottoms: DTypes, tops: int) -> DTypes:
        """Floating point, whatever the dtype of the indices."""
        return ("float32",)

    def weights(self, bottoms: Shapes) -> Weights:
        """`weight` (input_dim, num_output) and `bias` (num_output)."""
        weight = Weight("weight", (self.input_dim, self.num_output), self.weight_filler)
        bias = Weight("bias", (self.num_output,), self.bias_filler)
        return (weight, bias) if self.bias_term else (weight,)

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """The additions of the bias; the lookup is not counted."""
        return Cost(operations=product(tops[0]) * self.bias_term)

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Raises NetcError E301 for an index out of range."""
        import torch.nn.functional as F

        index = bottoms[0].long()
        if mode.check is not None:
            mode.check_range(bottoms[0], 0, self.input_dim, "index")
            # On a GPU the error is read later, and a lookup out of range would end the process first.
            index = index.clamp(0, self.input_dim - 1)
        top = F.embedding(index, weights[0])
        return top + weights[1] if self.bias_term else top
