"""MMDLoss: the distance between the features of two domains; only its gradient is computed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from netc.ir.dims import Shape, differ, product, text
from netc.ir.layer import Cost, Count, Layer, Mode, Shapes, StateEntry, fail
from netc.ir.traits import Sees
from netc.layers._registry import register

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@register("MMDLoss", dialect="transfer", field="mmd_param")
@dataclass(frozen=True)
class MmdLoss(Layer):
    """0, with the gradient of the maximum mean discrepancy of two domains, estimated from random pairs.

    With k(a, b) the sum over j of exp(-g m^j |a - b|^2), j from -(`kernel_num` / 2), m `kernel_mul` and 1/g the mean
    squared distance of two items, the estimate is the mean of k(s, s') + k(t, t') - k(s, t') - k(t, s') over as many
    random pairs of items of the source (s, s') and of the target (t, t') as the larger domain has items. A domain
    of one item yields no gradient.

    Shapes: (n, ...) and (m, ...), with as many elements per item, to a scalar.

    >>> MmdLoss().infer(((4, 3, 2), (5, 6)), 1)
    ((),)

    Reference: `mmd_layer.cu` of Caffe for transfer learning; Long, Cao, Wang, Jordan, Learning Transferable
    Features with Deep Adaptation Networks, 2015.
    """

    kernel_num: int = 5
    """Number of kernels."""
    kernel_mul: float = 2.0
    """Ratio of the scales of two kernels."""
    fix_gamma: bool = False
    """Whether the mean distance of the first training pass is used in all later ones."""

    bottom_count: ClassVar[Count] = Count(2)
    is_loss: ClassVar[bool] = True
    overwritable: ClassVar[bool] = True
    sees: ClassVar[Sees] = "all"

    def label_shape(self, scores: Shape) -> Shape | None:
        """One number per element."""
        return scores

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 if the bottoms differ in elements per item."""
        if not all(bottoms) or differ(*(product(shape[1:]) for shape in bottoms)):
            fail(f"items of {text(bottoms[0])} and {text(bottoms[1])} have different sizes", field="bottom")
        return ((),)

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """Three operations per element of a pair of items, for all pairs."""
        items = bottoms[0][0] + bottoms[1][0]
        return Cost(operations=3 * items * items * product(bottoms[0][1:]))

    def state_entries(self, bottoms: Shapes) -> tuple[StateEntry, ...]:
        """The scale of the first pass, if it is fixed."""
        return (StateEntry("gamma", (), by_mode=False),) if self.fix_gamma else ()

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        source, target = (bottom.flatten(1) for bottom in bottoms)
        if min(len(source), len(target)) < 2:
            return (source.sum() + target.sum()) * 0
        gamma = self._gamma(source.detach(), target.detach(), mode)
        count = max(len(source), len(target))
        (s, other_s), (t, other_t) = (_pairs(domain, count) for domain in (source, target))
        within = self._kernel(s, other_s, gamma) + self._kernel(t, other_t, gamma)
        across = self._kernel(s, other_t, gamma) + self._kernel(t, other_s, gamma)
        estimate = (within - across).mean()
        return estimate - estimate.detach()

    def _gamma(self, source: Tensor, target: Tensor, mode: Mode) -> Tensor:
        """The reciprocal of the mean squared distance of two items; 0 if all are equal."""
        import torch

        before = mode.kept("gamma", by_mode=False) if self.fix_gamma else None
        items = torch.cat((source, target))
        total = torch.cdist(items, items).square().sum()
        gamma = torch.where(total > 0, len(items) * (len(items) - 1) / total, 0)
        if before is not None:
            gamma = torch.where(before > 0, before.to(gamma.dtype), gamma)
        if self.fix_gamma and mode.training:
            mode.keep("gamma", gamma, by_mode=False)
        return gamma

    def _kernel(self, a: Tensor, b: Tensor, gamma: Tensor) -> Tensor:
        import torch

        distances = (a - b).square().sum(1)
        exponents = torch.arange(self.kernel_num, device=a.device) - self.kernel_num // 2
        scales = gamma * torch.pow(self.kernel_mul, exponents.to(gamma.dtype))
        return (-distances.unsqueeze(1) * scales).exp().sum(1)


def _pairs(items: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Random items, and for each another one."""
    one, other = pair_indices(len(items), count, items.device)
    return items[one], items[other]


def pair_indices(items: int, count: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Random numbers of items, and for each another one; as in the fork the next one is drawn twice as often."""
    import torch

    one, other = torch.randint(items, (2, count), device=device)
    return one, torch.where(one == other, (other + 1) % items, other)
