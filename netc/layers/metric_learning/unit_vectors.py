"""SimpleNormalize and CosinL2Normalize: vectors of length 1, and cosines with the vectors of classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Self

from netc.ir.dims import Shape, product, text
from netc.ir.fields import Fields
from netc.ir.filler import Filler
from netc.ir.layer import CaffeFields, Cost, Count, Layer, Mode, Shapes, Weight, Weights, fail
from netc.ir.traits import Sees, TopRead
from netc.layers._axes import axis_of
from netc.layers._labels import check_items, check_one_label_an_item, indices
from netc.layers._registry import register
from netc.layers._windows import positive

if TYPE_CHECKING:
    from torch import Tensor


@register("SimpleNormalize", dialect="yuqj1991")
@dataclass(frozen=True)
class SimpleNormalize(Layer):
    """Each item divided by its length.

    Shapes: (n, ...), kept.

    >>> SimpleNormalize().infer(((4, 8),), 1)
    ((4, 8),)

    Reference: `simplenormalize_layer.cpp` of yuqj1991's Caffe. An item of zeros becomes NaN, as there.
    """

    overwritable: ClassVar[bool] = True
    sees: ClassVar[Sees] = "all"

    def reads_top(self, in_place: bool) -> TopRead:
        """The directions."""
        return "values"

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 for a bottom without axes."""
        if not bottoms[0]:
            fail(f"expected items (n, ...), got {text(bottoms[0])}", field="bottom")
        return (bottoms[0],)

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """Three operations per element."""
        return Cost(operations=3 * product(bottoms[0]))

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """All items at once."""
        rows = bottoms[0].flatten(1)
        length: Tensor = rows.norm(dim=1, keepdim=True)
        return (rows / length).reshape(bottoms[0].shape)


@register("CosinL2Normalize", dialect="yuqj1991", field="cosin_loss_param")
@dataclass(frozen=True)
class CosinL2Normalize(Layer):
    """Cosines of the angles to the vectors of the classes, times a scale; a margin is added for the label's class.

    Shapes: (n, ...) and labels (n) to (n, num_output).

    >>> CosinL2Normalize(num_output=10).infer(((4, 8), (4,)), 1)
    ((4, 10),)

    Reference: `cosin_l2_normalize_innerproduct.cpp` of yuqj1991's Caffe; Wang et al., CosFace: Large Margin Cosine
    Loss, 2018.
    """

    num_output: int
    """Number of classes."""
    weight_filler: Filler = field(default_factory=Filler)
    """How the vectors of the classes are initialized: `cosin_filler` in the file."""
    axis: int = 1
    """First axis of an item's vector."""
    margin: float = -0.35
    """Added to the cosine of the label's class."""
    scale: float = 64.0
    """Factor of all."""

    caffe_fields: ClassVar[CaffeFields] = {"weight_filler": ("cosin_loss_param.cosin_filler",)}
    bottom_count: ClassVar[Count] = Count(2)
    no_gradient: ClassVar[tuple[int, ...]] = (1,)
    indices: ClassVar[tuple[int, ...]] = (1,)
    rearranges: ClassVar[bool] = True
    overwritable: ClassVar[bool] = True
    sees: ClassVar[Sees] = "all"

    @classmethod
    def from_caffe(cls, layer: Fields) -> Self:
        """Raises NetcError E103 unless `num_output` is positive."""
        p = layer.message("cosin_loss_param")
        positive((p.get("num_output", 0),), "num_output")
        names = ("num_output", "axis", "margin", "scale")
        return cls(**{name: p[name] for name in names if name in p}, weight_filler=Filler.read(p, "cosin_filler"))

    def to_caffe(self) -> dict[str, object]:
        """The parameter message."""
        return {("cosin_filler" if name == "weight_filler" else name): v for name, v in super().to_caffe().items()}

    def label_classes(self, scores: Shape) -> int | None:
        """The number of outputs."""
        return self.num_output

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 unless there is one label for each item."""
        axis_of(self.axis, bottoms[0])
        check_items(bottoms)
        check_one_label_an_item(bottoms)
        return ((bottoms[0][0], self.num_output),)

    def weights(self, bottoms: Shapes) -> Weights:
        """`weight`: one row for each class."""
        axis = axis_of(self.axis, bottoms[0])
        return (Weight("weight", (self.num_output, product(bottoms[0][axis:])), self.weight_filler),)

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """The matrix once for each item."""
        return Cost(macs=product(bottoms[0]) * self.num_output, operations=2 * product(tops[0]))

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """The gradient is the derivative, through both lengths."""
        import torch.nn.functional as F

        labels = indices(bottoms[1].detach().flatten(), self.num_output, mode)
        cosine = F.normalize(bottoms[0].reshape(len(labels), -1)) @ F.normalize(weights[0]).t()
        return self.scale * (cosine + self.margin * F.one_hot(labels, self.num_output).to(cosine.dtype))
