"""LargeMarginInnerProduct: the inner products of L-Softmax, with an angular margin for the class of each vector."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from netc.ir.dims import differ, product, text
from netc.ir.layer import CaffeFields, Count, Mode, Shapes, Weights, fail
from netc.layers._axes import axis_of
from netc.layers._labels import indices
from netc.layers._registry import register
from netc.layers._windows import positive
from netc.layers.metric_learning.margin_inner_product import MARGINS, MarginProducts

if TYPE_CHECKING:
    from torch import Tensor

TINY = 1e-9
"""Added to the product of two lengths, which may be 0."""


@register("LargeMarginInnerProduct", dialect="sphereface", field="largemargin_inner_product_param")
@dataclass(frozen=True)
class LargeMarginInnerProduct(MarginProducts):
    """Inner products with the vectors of the classes, smaller for the class of the label by an angular margin.

    For the label's class |w| |x| cos(angle) is replaced by |w| |x| (psi(angle) + lambda cos(angle)) / (1 + lambda),
    where psi continues cos(m angle) to a decreasing function. lambda = max(base (1 + gamma i)^-power, lambda_min) in
    pass i. The vectors of the classes are a blob or, in happynear's Caffe, the third bottom.

    Shapes: (n, ...), labels (n), and optionally (classes, ...), to (n, classes) and optionally lambda (1).

    >>> LargeMarginInnerProduct(num_output=4).infer(((7, 6), (7,)), 2)
    ((7, 4), (1,))

    Reference: `largemargin_inner_product_layer.cpp` of LargeMargin_Softmax_Loss and of happynear's Caffe; Liu et al.,
    Large-Margin Softmax Loss for Convolutional Neural Networks, 2016.
    """

    caffe_fields: ClassVar[CaffeFields] = {"margin": ("largemargin_inner_product_param.type",)}
    bottom_count: ClassVar[Count] = Count(2, 3)

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 unless there is one label for each vector, and if sizes of vectors differ.

        Raises NetcError E103 unless `num_output` is positive, where it is read.
        """
        (kept, lambda_shape), axis = super().infer(bottoms[:2], tops), axis_of(self.axis, bottoms[0])
        if len(bottoms) == 2:
            positive((self.num_output,), "num_output")
            return kept, lambda_shape
        classes = bottoms[2]
        if not classes or differ(product(classes[1:]), product(bottoms[0][axis:])):
            fail(f"vectors of classes {text(classes)} for vectors {text(bottoms[0])}", field="bottom")
        return (*kept[:-1], classes[0]), lambda_shape

    def weights(self, bottoms: Shapes) -> Weights:
        """`weight`: one row for each class; none with a third bottom."""
        return super().weights(bottoms) if len(bottoms) == 2 else ()

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> tuple[Tensor, ...]:
        """The gradients are the derivatives."""
        axis = axis_of(self.axis, tuple(bottoms[0].shape))
        vectors = bottoms[0].reshape(bottoms[1].numel(), -1)
        classes = weights[0] if len(bottoms) == 2 else bottoms[2].reshape(bottoms[2].shape[0], -1)
        blend = self._blend(vectors, mode)
        labels = indices(bottoms[1].detach().flatten(), len(classes), mode).unsqueeze(1)
        plain, margin = vectors @ classes.t(), MARGINS[self.margin]
        top = plain
        if margin > 1:
            own = plain.gather(1, labels)
            lengths = classes.norm(dim=1).take(labels) * vectors.norm(dim=1, keepdim=True) + TINY
            psi = _CURVES[margin](own / lengths)
            top = plain.scatter(1, labels, (lengths * psi + blend * own) / (1 + blend))
        return top.reshape(*bottoms[0].shape[:axis], -1), blend.reshape(1)


def _double(cosine: Tensor) -> Tensor:
    return 2 * cosine.sign() * cosine.square() - 1


def _triple(cosine: Tensor) -> Tensor:
    outer = (cosine.abs() - 0.5).sign()
    return outer * (4 * cosine**3 - 3 * cosine) + cosine.sign() * (1 + outer) - 2


def _quadruple(cosine: Tensor) -> Tensor:
    square = cosine.square()
    outer = cosine.sign() * (2 * square - 1).sign()
    return outer * (8 * square.square() - 8 * square + 1) + 2 * cosine.sign() + outer - 3


_CURVES: dict[int, Callable[[Tensor], Tensor]] = {2: _double, 3: _triple, 4: _quadruple}
