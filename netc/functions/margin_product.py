"""Products of vectors and the unit vectors of classes, with an angular margin for the class of each vector."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

if TYPE_CHECKING:
    from collections.abc import Callable

Coefficients = tuple[Tensor, Tensor, Tensor]
"""For each row: the value that replaces cos(angle), and the factors of w and of x / |x| in its gradient."""


class MarginProduct(Function):
    """`MarginProduct.apply(x, weight, labels, blend, margin)` returns x weight^T with a margin for each row's label.

    At the label the product is |x| psi(angle), mixed with the plain product by (psi + blend plain) / (1 + blend). The
    gradients are those of SphereFace's code (`margin_inner_product_layer.cpp`): the weight's is that of the plain
    product, and the two parts of psi's gradient are divided by the length of their vector of coefficients.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, labels: Tensor, blend: Tensor, margin: int) -> Tensor:
        """The products; `weight` has rows of length 1."""
        top = x @ weight.t()
        ctx.save_for_backward(x, weight, labels, blend)
        ctx.margin = margin
        if margin == 1:
            return top
        column = labels.unsqueeze(1)
        plain, norm = top.gather(1, column), x.norm(dim=1, keepdim=True)
        psi, _, _ = _CURVES[margin](plain / norm)
        return top.scatter(1, column, (norm * psi + blend * plain) / (1 + blend))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, top_gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None, None, None]:
        """The gradients of x and of the weight."""
        x, weight, labels, blend = ctx.saved_tensors
        weight_gradient = top_gradient.t() @ x if ctx.needs_input_grad[1] else None
        x_gradient = None
        if ctx.needs_input_grad[0]:
            x_gradient = top_gradient @ weight
            if ctx.margin > 1:
                column = labels.unsqueeze(1)
                share = top_gradient.gather(1, column) / (1 + blend)
                x_gradient = x_gradient + share * _difference(x, weight.index_select(0, labels), ctx.margin)
        return x_gradient, weight_gradient, None, None, None


def _difference(x: Tensor, w: Tensor, margin: int) -> Tensor:
    """Return for each row how the gradient of the margin's part differs from that of the plain product, w."""
    norm = x.norm(dim=1, keepdim=True)
    cosine = (x * w).sum(1, keepdim=True) / norm
    _, of_w, of_x = _CURVES[margin](cosine)
    of_x = -of_x / norm
    length = (of_w.square() + of_x.square()).sqrt()
    direction: Tensor = of_w / length * w + of_x / length * x
    return direction - w


def _double(cosine: Tensor) -> Coefficients:
    sign, square = cosine.sign(), cosine.square()
    return 2 * sign * square - 1, 4 * sign * cosine, 2 * sign * square + 1


def _triple(cosine: Tensor) -> Coefficients:
    outer = (cosine.abs() - 0.5).sign()
    shift = cosine.sign() * (1 + outer) - 2
    square, cube = cosine.square(), cosine**3
    return outer * (4 * cube - 3 * cosine) + shift, outer * (12 * square - 3), 8 * outer * cube - shift


def _quadruple(cosine: Tensor) -> Coefficients:
    sign, square, cube, fourth = cosine.sign(), cosine.square(), cosine**3, cosine**4
    outer = sign * (2 * square - 1).sign()
    shift = 2 * sign + outer - 3
    psi = outer * (8 * fourth - 8 * square + 1) + shift
    return psi, outer * (32 * cube - 16 * cosine), outer * (24 * fourth - 8 * square - 1) - shift


_CURVES: dict[int, Callable[[Tensor], Coefficients]] = {2: _double, 3: _triple, 4: _quadruple}
