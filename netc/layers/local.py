"""Local: a convolution with kernels of its own at each place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Self

from netc.ir.coordinate_map import CoordinateMap, of_windows
from netc.ir.dims import Shape, product, text
from netc.ir.fields import Fields
from netc.ir.filler import Filler
from netc.ir.layer import CaffeFields, Cost, Layer, Mode, Shapes, Weight, Weights, fail
from netc.ir.receptive_field import ReceptiveField, ReceptiveFields
from netc.layers._registry import register
from netc.layers._windows import convolved, positive

if TYPE_CHECKING:
    from torch import Tensor


@register("Local", dialect="happynear", field="local_param", v1="LOCAL")
@dataclass(frozen=True)
class Local(Layer):
    """A convolution whose kernels and biases are learned for each place.

    Shapes: (n, c, h, w) to (n, num_output, oh, ow), with the windows of Convolution.

    >>> [w.shape for w in Local(num_output=8, kernel=3).weights(((2, 4, 7, 6),))]
    [(8, 1, 36, 20), (1, 1, 8, 20)]

    Reference: `local_layer.cpp` of happynear's Caffe; Taigman et al., DeepFace, 2014.
    """

    num_output: int
    """Number of kernels at each place."""
    kernel: int
    """Height and width of the kernels."""
    stride: int = 1
    """Distance between windows."""
    pad: int = 0
    """Zeros on all sides."""
    bias_term: bool = True
    """Whether a learned bias is added."""
    weight_filler: Filler = field(default_factory=Filler)
    """How the kernels are initialized."""
    bias_filler: Filler = field(default_factory=Filler)
    """How the biases are initialized."""

    caffe_fields: ClassVar[CaffeFields] = {"kernel": ("local_param.kernel_size",)}
    rearranges: ClassVar[bool] = True
    overwritable: ClassVar[bool] = True

    @classmethod
    def from_caffe(cls, layer: Fields) -> Self:
        """Raises NetcError E103 for extents that are not positive."""
        p = layer.message("local_param")
        result = cls(
            *(p[name] for name in ("num_output", "kernel_size", "stride", "pad", "bias_term")),
            *(Filler.read(p, name) for name in ("weight_filler", "bias_filler")),
        )
        for name, value in (
            ("num_output", result.num_output),
            ("kernel_size", result.kernel),
            ("stride", result.stride),
        ):
            positive((value,), name)
        return result

    def to_caffe(self) -> dict[str, object]:
        """The parameter message, with `kernel_size`."""
        return {("kernel_size" if name == "kernel" else name): value for name, value in super().to_caffe().items()}

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 unless the bottom has four axes, and is as large as a kernel."""
        bottom = bottoms[0]
        if len(bottom) != 4:
            fail(f"expected a bottom with 4 axes, got {text(bottom)}", field="bottom")
        for extent in bottom[2:]:
            if extent < self.kernel:
                fail(f"kernel of {self.kernel} does not fit an input of {extent}", field="local_param.kernel_size")
        places = (convolved(extent, self.kernel, self.stride, self.pad, 1) for extent in bottom[2:])
        return ((bottom[0], self.num_output, *places),)

    def weights(self, bottoms: Shapes) -> Weights:
        """`weight` (num_output, 1, c kernel^2, places) and, with `bias_term`, `bias` (1, 1, num_output, places)."""
        places = product(self.infer(bottoms, 1)[0][2:])
        weight = Weight("weight", (self.num_output, 1, bottoms[0][1] * self.kernel**2, places), self.weight_filler)
        bias = Weight("bias", (1, 1, self.num_output, places), self.bias_filler)
        return (weight, bias) if self.bias_term else (weight,)

    def coordinate_map(self, axes: int) -> CoordinateMap | None:
        """Positions of kernels' centers."""
        return of_windows((self.kernel,) * axes, (self.stride,) * axes, (self.pad,) * axes)

    def receptive_field(
        self, fields: Sequence[ReceptiveFields], bottoms: Sequence[Shape], top: Shape
    ) -> ReceptiveFields | None:
        """The window."""
        return tuple(ReceptiveField.window(one, self.kernel, self.stride, 1) for one in fields[0])

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """One multiply-add per weight and item."""
        return Cost(macs=bottoms[0][0] * product(self.weights(bottoms)[0].shape))

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """One product of matrices for each place."""
        import torch.nn.functional as F

        x = bottoms[0]
        shape = self.infer((tuple(x.shape),), 1)[0]
        if self.weights((tuple(x.shape),))[0].shape != tuple(weights[0].shape):
            fail(f"a bottom {text(tuple(x.shape))} does not fit weights {text(tuple(weights[0].shape))}")
        columns = F.unfold(x, self.kernel, padding=self.pad, stride=self.stride)
        top = (columns.permute(2, 0, 1) @ weights[0].squeeze(1).permute(2, 1, 0)).permute(1, 2, 0)
        if self.bias_term:
            top = top + weights[1].squeeze(1)
        return top.reshape(shape)
