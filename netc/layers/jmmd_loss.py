"""JMMDLoss: the distance between two domains' features and labels together; only its gradient is computed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

from netc.ir.dims import Shape, differ, product, text
from netc.ir.fields import Fields
from netc.ir.layer import Cost, Count, Mode, Shapes, fail
from netc.layers._registry import register
from netc.layers.mmd_loss import MmdLoss, pair_indices

if TYPE_CHECKING:
    from torch import Tensor


@register("JMMDLoss", dialect="transfer", field="jmmd_param")
@dataclass(frozen=True)
class JmmdLoss(MmdLoss):
    """0, with the gradient of the joint maximum mean discrepancy of two domains, estimated from random pairs.

    As MMDLoss, with k(a, b) l(p, q) in place of k(a, b), where p and q are the items' label probabilities, l(p, q) is
    the sum over j of exp(-|p - q|^2 / (s m^j)), j from -(`label_kernel_num` / 2), and m is `label_kernel_mul`. The
    gradient of l is taken as -l / s times that of |p - q|^2, which is its derivative for one kernel.

    Shapes: (n, ...) and (m, ...), with as many elements per item, and (n, ...) and (m, ...) likewise, to a scalar.

    >>> JmmdLoss(sigma=1.68).infer(((4, 6), (5, 6), (4, 31), (5, 31)), 1)
    ((),)

    Reference: `jmmd_layer.cu` of Caffe for transfer learning; Long, Zhu, Wang, Jordan, Deep Transfer Learning with
    Joint Adaptation Networks, 2017.
    """

    label_kernel_num: int = 1
    """Number of kernels of the labels."""
    label_kernel_mul: float = 2.0
    """Ratio of the scales of two kernels of the labels."""
    sigma: float = 0.0
    """The scale s of the labels' kernels; no effect with `auto_sigma`."""
    auto_sigma: bool = False
    """Whether s is the mean squared distance of random pairs of label probabilities."""

    bottom_count: ClassVar[Count] = Count(4)

    @classmethod
    def from_caffe(cls, layer: Fields) -> Self:
        """Raises NetcError E101 without a scale of the labels' kernels."""
        result = super().from_caffe(layer)
        if not result.auto_sigma and not result.sigma > 0:
            fail("`sigma` must be positive, or `auto_sigma` set", code="E101", field="jmmd_param.sigma")
        return result

    def label_shape(self, scores: Shape) -> Shape | None:
        """None: no bottom holds labels."""
        return None

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 if the bottoms do not match."""
        for data, labels in zip(bottoms[:2], bottoms[2:]):
            if not data or not labels or differ(data[0], labels[0]):
                fail(f"label probabilities {text(labels)} for items {text(data)}", field="bottom")
        super().infer(bottoms[2:], tops)
        return super().infer(bottoms[:2], tops)

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """MMDLoss's, and three operations per probability of a pair."""
        count = max(bottoms[0][0], bottoms[1][0])
        return super().cost(bottoms, tops) + Cost(operations=12 * count * product(bottoms[2][1:]))

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        source, target, source_labels, target_labels = (bottom.flatten(1) for bottom in bottoms)
        if min(len(source), len(target)) < 2:
            return sum((bottom.sum() for bottom in bottoms[1:]), bottoms[0].sum()) * 0
        gamma = self._gamma(source.detach(), target.detach(), mode)
        sigma = self._sigma(source_labels.detach(), target_labels.detach())
        count = max(len(source), len(target))
        s, other_s = pair_indices(len(source), count, source.device)
        t, other_t = pair_indices(len(target), count, source.device)
        x = [*(source[i] for i in (s, other_s)), *(target[i] for i in (t, other_t))]
        y = [*(source_labels[i] for i in (s, other_s)), *(target_labels[i] for i in (t, other_t))]

        def joint(one: int, other: int) -> Tensor:
            return self._kernel(x[one], x[other], gamma) * self._label_kernel(y[one], y[other], sigma)

        estimate = (joint(0, 1) + joint(2, 3) - joint(0, 3) - joint(2, 1)).mean()
        return estimate - estimate.detach()

    def _sigma(self, source: Tensor, target: Tensor) -> Tensor:
        import torch

        if not self.auto_sigma:
            return source.new_full((), self.sigma)
        items = torch.cat((source, target))
        one, other = pair_indices(len(items), len(items), items.device)
        return (items[one] - items[other]).square().sum(1).mean()

    def _label_kernel(self, one: Tensor, other: Tensor, sigma: Tensor) -> Tensor:
        import torch

        distances = (one - other).square().sum(1)
        constant = distances.detach()
        exponents = torch.arange(self.label_kernel_num, device=one.device) - self.label_kernel_num // 2
        scales = sigma * torch.pow(self.label_kernel_mul, exponents.to(sigma.dtype))
        value = (-constant.unsqueeze(1) / scales).exp().sum(1)
        return value * (-(distances - constant) / sigma).exp()
