"""Caffe's six solvers as torch optimizers.

What torch's own do differently: the learning rate is inside the history (so that changing it leaves past updates as
they were), gradients are clipped before they are divided by `iter_size`, and all of them together.
References: `sgd_solver.cpp`, `nesterov_solver.cpp`, `adagrad_solver.cpp`, `rmsprop_solver.cpp`, `adadelta_solver.cpp`,
`adam_solver.cpp`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from netc.diagnostics import NetcError
from netc.runtime.blobs import LayerBlob
from netc.training.recipes.larc import Larc
from netc.training.solver.optimizer import CaffeOptimizer, Group, Tensors, aligned

if TYPE_CHECKING:
    from netc.training.solver.settings import SolverSettings


class SGD(CaffeOptimizer):
    """h = momentum h + lr g; w = w - h."""

    fills_idle = False

    def _update(self, group: Group, gradients: Tensors, rate: float, decay: float) -> None:
        """One kernel computes h = momentum h + (1 - dampening) g and w = w - 1 h in one pass over memory.

        Without momentum it keeps no history, and 1 - dampening is 0 for the smallest rates.
        """
        if self.keep_updates or not (group.fused and self.momentum and _is_whole(rate)):
            super()._update(group, gradients, rate, decay)
            return
        torch._fused_sgd_(
            group.parameters,
            aligned(gradients, group.parameters),
            group.histories[0],
            weight_decay=decay,
            momentum=self.momentum,
            lr=1.0,
            dampening=1.0 - rate,
            nesterov=False,
            maximize=False,
            is_first_step=False,
        )

    def _updates(self, group: Group, gradients: Tensors, rate: float) -> Tensors:
        history = group.histories[0]
        torch._foreach_mul_(history, self.momentum)
        torch._foreach_add_(history, gradients, alpha=rate)
        return history


class Nesterov(CaffeOptimizer):
    """h' = momentum h + lr g; w = w - ((1 + momentum) h' - momentum h), which is w - (momentum h' + lr g)."""

    fills_idle = False

    def _updates(self, group: Group, gradients: Tensors, rate: float) -> Tensors:
        history = group.histories[0]
        torch._foreach_mul_(gradients, rate)
        torch._foreach_mul_(history, self.momentum)
        torch._foreach_add_(history, gradients)
        torch._foreach_add_(gradients, history, alpha=self.momentum)
        return gradients


class AdaGrad(CaffeOptimizer):
    """h = h + g²; w = w - lr g / (√h + delta) (Duchi et al. 2011)."""

    def _updates(self, group: Group, gradients: Tensors, rate: float) -> Tensors:
        history = group.histories[0]
        torch._foreach_addcmul_(history, gradients, gradients)
        return _divided(gradients, history, self.delta, rate)


class RMSProp(CaffeOptimizer):
    """h = rms_decay h + (1 - rms_decay) g²; w = w - lr g / (√h + delta) (Tieleman and Hinton 2012)."""

    def _updates(self, group: Group, gradients: Tensors, rate: float) -> Tensors:
        history = group.histories[0]
        torch._foreach_mul_(history, self.rms_decay)
        torch._foreach_addcmul_(history, gradients, gradients, 1 - self.rms_decay)
        return _divided(gradients, history, self.delta, rate)


class AdaDelta(CaffeOptimizer):
    """h = m h + (1 - m) g²; u = g √((k + delta) / (h + delta)); k = m k + (1 - m) u²; w = w - lr u (Zeiler 2012)."""

    histories = 2

    def _updates(self, group: Group, gradients: Tensors, rate: float) -> Tensors:
        squares, updates = group.histories
        torch._foreach_mul_(squares, self.momentum)
        torch._foreach_addcmul_(squares, gradients, gradients, 1 - self.momentum)
        ratios = torch._foreach_add(updates, self.delta)
        torch._foreach_div_(ratios, torch._foreach_add(squares, self.delta))
        torch._foreach_sqrt_(ratios)
        torch._foreach_mul_(gradients, ratios)
        torch._foreach_mul_(updates, self.momentum)
        torch._foreach_addcmul_(updates, gradients, gradients, 1 - self.momentum)
        torch._foreach_mul_(gradients, rate)
        return gradients


class Adam(CaffeOptimizer):
    """m = b1 m + (1 - b1) g; v = b2 v + (1 - b2) g²; w = w - lr √(1 - b2^t) / (1 - b1^t) m / (√v + delta).

    b1 is `momentum`, b2 `momentum2`, t the iteration counted from 1 (Kingma and Ba 2015, the form before section 2.1).
    """

    histories = 2

    def _update(self, group: Group, gradients: Tensors, rate: float, decay: float) -> None:
        """The kernel adds its eps to √v / √(1 - b2^t), so eps is delta over that root."""
        if self.keep_updates or not group.fused:
            super()._update(group, gradients, rate, decay)
            return
        first, second = group.histories
        steps = torch.full((), self.iteration + 1.0, device=group.parameters[0].device)
        torch._fused_adam_(
            group.parameters,
            aligned(gradients, group.parameters),
            first,
            second,
            [],
            [steps] * len(gradients),
            lr=rate,
            beta1=self.momentum,
            beta2=self.momentum2,
            weight_decay=decay,
            eps=self.delta / self._root(),
            amsgrad=False,
            maximize=False,
        )

    def _updates(self, group: Group, gradients: Tensors, rate: float) -> Tensors:
        first, second = group.histories
        torch._foreach_lerp_(first, gradients, 1 - self.momentum)
        torch._foreach_mul_(second, self.momentum2)
        torch._foreach_addcmul_(second, gradients, gradients, 1 - self.momentum2)
        correction = self._root() / (1 - self.momentum ** (self.iteration + 1))
        return _divided(first, second, self.delta, rate * correction)

    def _root(self) -> float:
        return math.sqrt(1 - self.momentum2 ** (self.iteration + 1))


OPTIMIZERS: dict[str, type[CaffeOptimizer]] = {
    "SGD": SGD,
    "Nesterov": Nesterov,
    "AdaGrad": AdaGrad,
    "RMSProp": RMSProp,
    "AdaDelta": AdaDelta,
    "Adam": Adam,
}
"""By the `type` that a solver names."""


def optimizer_for(settings: SolverSettings, blobs: Sequence[LayerBlob]) -> CaffeOptimizer:
    """The optimizer that a solver asks for. Raises NetcError E601 for a net without weights."""
    if not blobs:
        raise NetcError("the train net has no weights: there is nothing to train", code="E601")
    return OPTIMIZERS[settings.type](
        blobs,
        settings.base_lr,
        momentum=settings.momentum,
        momentum2=settings.momentum2,
        delta=settings.delta,
        rms_decay=settings.rms_decay,
        weight_decay=settings.weight_decay,
        regularization_type=settings.regularization_type,
        clip_gradients=settings.clip_gradients,
        iter_size=settings.iter_size,
        larc=Larc(settings.larc_policy, settings.larc_eta) if settings.larc else None,
    )


def _is_whole(rate: float) -> bool:
    """Whether 1 - (1 - rate) is the rate to float32's accuracy: not so for 1e-14, which losses summed over places need.

    >>> _is_whole(0.01), _is_whole(1e-14)
    (True, False)
    """
    return abs(1.0 - (1.0 - rate) - rate) <= 2.0**-25 * rate


def _divided(numerators: Tensors, squares: Tensors, delta: float, rate: float) -> Tensors:
    """Quotients a / (√b + delta), times `rate`."""
    result = torch._foreach_sqrt(squares)
    torch._foreach_add_(result, delta)
    torch._foreach_reciprocal_(result)
    torch._foreach_mul_(result, numerators)
    torch._foreach_mul_(result, rate)
    return list(result)
