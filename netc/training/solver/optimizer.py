"""Caffe's solvers as one torch optimizer with an update rule: clip, normalize, regularize, update (`sgd_solver.cpp`).

Differences from torch's own optimizers: the history includes the learning rate, so that changing it does not affect
past updates; gradients are clipped before they are divided by `iter_size`, and all of them together.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor
from torch.optim import Optimizer

from netc.diagnostics import NetcError
from netc.training.recipes.larc import Larc, LocalRate
from netc.training.solver.update_rules._base import ParameterGroup, UpdateRule
from netc.training.solver.update_rules._registry import update_rules

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from netc.runtime.blobs import LayerBlob
    from netc.training.solver.parameters import SolverParameters

Tensors = list[Tensor]
FUSED_MIN_ELEMENTS = 1 << 15
"""The number of elements from which a CPU's fused kernel is faster, because it starts all threads for each tensor."""


class Clipping(NamedTuple):
    """The result of `clip_gradients`, as tensors, to avoid waiting for the device."""

    norm: Tensor
    """The L2 norm of all gradients together."""
    scale: Tensor
    """The factor that gradients were multiplied by; 1 if the norm was within bounds."""


class CaffeOptimizer(Optimizer):
    """Clips, normalizes and regularizes gradients, and updates blobs by a rule.

    `blobs` are a net's, in Caffe's order; blobs that share another's memory are skipped. A parameter group holds the
    blobs of one `lr_mult` and `decay_mult`; its `lr` is the solver's learning rate, before `lr_mult`. Blobs that never
    change (`lr_mult: 0`, BatchNorm's statistics) have a history too, zeros until another one is loaded. Buffers are
    held by reference: move the net to its device first.
    """

    def __init__(
        self,
        blobs: Sequence[LayerBlob],
        lr: float,
        rule: UpdateRule,
        *,
        weight_decay: float = 0.0,
        regularization_type: str = "L2",
        clip_gradients: float = -1.0,
        iter_size: int = 1,
        larc: Larc | LocalRate | None = None,
    ) -> None:
        self.blobs = [blob for blob in blobs if blob.is_owner]
        self.rule = rule
        self.weight_decay, self.regularization_type = weight_decay, regularization_type
        self.clip_gradients, self.iter_size, self.larc = clip_gradients, iter_size, larc
        self.clipping: Clipping | None = None
        """Of the last step; None if clipping is disabled."""
        self.keep_updates = False
        """Whether to store in each parameter's `grad` what was subtracted from it, as Caffe does in the diff."""
        self._active: list[ParameterGroup] | None = None
        super().__init__(_groups(self.blobs), {"lr": lr, "iteration": 0})

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """See torch.optim.Optimizer; its decorator would import the compiler, which takes seconds."""
        getattr(Optimizer.add_param_group, "__wrapped__", Optimizer.add_param_group)(self, param_group)

    @property
    def rate(self) -> float:
        """The solver's learning rate, before each blob's `lr_mult`."""
        return float(self.param_groups[0]["lr"])

    @rate.setter
    def rate(self, value: float) -> None:
        for group in self.param_groups:
            group["lr"] = value

    def set_momentum(self, value: float) -> None:
        """Change the momentum of a rule that has one."""
        if getattr(self.rule, "momentum", value) != value:
            self.rule = replace(self.rule, momentum=value)  # type: ignore[call-arg]

    @property
    def iteration(self) -> int:
        """Updates done; restoring a run sets it."""
        return int(self.param_groups[0]["iteration"])

    @iteration.setter
    def iteration(self, value: int) -> None:
        for group in self.param_groups:
            group["iteration"] = value

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drop all gradients (or set them to zero)."""
        if not set_to_none:
            super().zero_grad(False)
            return
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.grad = None

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every blob from the gradients in `grad`, which are overwritten. A missing gradient counts as zeros."""
        result = None
        if closure is not None:
            with torch.enable_grad():
                result = closure()
        self._scale()
        for group in self._active or self._activate():
            gradients = [_gradient(parameter) for parameter in group.parameters]
            decay = self.weight_decay * group.options["decay_mult"]
            if decay and self.regularization_type == "L1":
                torch._foreach_add_(gradients, torch._foreach_sign(group.parameters), alpha=decay)
                decay = 0.0
            rate = group.options["lr"] * group.options["lr_mult"]
            if self.larc and rate:
                rate = group.options["lr"]
                self.larc.apply(gradients, group.parameters, rate, decay)
                decay = 0.0
            self._update(group, gradients, rate, decay)
        self.iteration += 1
        return result

    # ------------------------------------------------------------------ histories, as stored in files

    def history(self) -> Tensors:
        """Caffe's history: for each blob the first tensor, then for each blob the second, in Caffe's shapes."""
        return [
            torch.zeros(blob.shape) if tensor is None else tensor.reshape(blob.shape)
            for which in range(self.rule.histories)
            for blob in self.blobs
            for tensor in [self.state[blob.tensor].get(f"history{which}")]
        ]

    def load_history(self, history: Sequence[Tensor]) -> None:
        """Restore what `history` returned for the same blobs; shapes need only have the right number of elements."""
        count = len(self.blobs)
        assert len(history) == count * self.rule.histories, f"{len(history)} tensors for {count} blobs"
        for index, tensor in enumerate(history):
            blob, name = self.blobs[index % count], f"history{index // count}"
            if bool(tensor.any()) or name in self.state[blob.tensor]:
                kept = torch.zeros_like(blob.tensor, memory_format=torch.preserve_format)
                self.state[blob.tensor][name] = kept.copy_(tensor.reshape(kept.shape)).detach()
        self._active = None

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._active = None

    # ------------------------------------------------------------------ the steps of one update

    def _scale(self) -> None:
        """Clip by the norm of all gradients together, then divide by `iter_size`."""
        self.clipping = None
        factor: float | Tensor = 1.0 / self.iter_size
        if self.clip_gradients < 0 and self.iter_size == 1:
            return
        gradients = [p.grad for group in self.param_groups for p in group["params"] if p.grad is not None]
        if not gradients:
            return
        if self.clip_gradients >= 0:
            self.clipping = _clip(gradients, self.clip_gradients)
            factor = self.clipping.scale / self.iter_size
            if self.clipping.scale.device.type == "cpu":
                factor = float(factor)
        if isinstance(factor, Tensor) or factor != 1:
            torch._foreach_mul_(gradients, factor)

    def _activate(self) -> list[ParameterGroup]:
        """The groups that an update changes, with their histories."""
        self._active = []
        for options in self.param_groups:
            active = [p for p in options["params"] if self._changes(p, options)]
            for fused in (False, True):
                parameters = [p for p in active if _has_fused(p) == fused]
                histories = [[self._history_of(p, which) for p in parameters] for which in range(self.rule.histories)]
                if parameters:
                    self._active.append(ParameterGroup(options, parameters, histories, fused))
        return self._active

    def _changes(self, parameter: Tensor, options: dict[str, Any]) -> bool:
        decays = self.rule.decays_frozen_blobs and bool(self.weight_decay * options["decay_mult"])
        return bool(options["lr_mult"]) or decays or bool(self.state.get(parameter))

    def _history_of(self, parameter: Tensor, which: int) -> Tensor:
        """A history, in the memory layout of its parameter, which the fused kernels require."""
        state, name = self.state[parameter], f"history{which}"
        if name not in state:
            state[name] = torch.zeros_like(parameter, memory_format=torch.preserve_format)
        kept: Tensor = state[name]
        if kept.stride() != parameter.stride():
            kept = state[name] = torch.empty_like(parameter).copy_(kept)
        return kept

    def _update(self, group: ParameterGroup, gradients: Tensors, rate: float, decay: float) -> None:
        fused = group.fused and not self.keep_updates
        if fused and self.rule.fused_step(group, gradients, rate, decay, self.iteration):
            return
        if decay:
            torch._foreach_add_(gradients, group.parameters, alpha=decay)
        updates = self.rule.updates(group, gradients, rate, self.iteration)
        torch._foreach_sub_(group.parameters, updates)
        if self.keep_updates:
            for parameter, update in zip(group.parameters, updates):
                if parameter.grad is None:
                    parameter.grad = update.clone()
                elif parameter.grad is not update:
                    parameter.grad.copy_(update)


def optimizer_for(settings: SolverParameters, blobs: Sequence[LayerBlob]) -> CaffeOptimizer:
    """Return the optimizer of a solver's `type`. Raises NetcError E601 for a net without weights."""
    if not blobs:
        raise NetcError("the train net has no weights to train", code="E601")
    return CaffeOptimizer(
        blobs,
        settings.base_lr,
        update_rules()[settings.type].from_settings(settings),
        weight_decay=settings.weight_decay,
        regularization_type=settings.regularization_type,
        clip_gradients=settings.clip_gradients,
        iter_size=settings.iter_size,
        larc=_local_rates(settings),
    )


def _local_rates(settings: SolverParameters) -> Larc | LocalRate | None:
    if settings.larc:
        return Larc(settings.larc_policy, settings.larc_eta)
    return LocalRate(settings.local_gw_ratio, settings.weight_decay) if settings.local_lr_auto else None


def _groups(blobs: Sequence[LayerBlob]) -> list[dict[str, Any]]:
    groups: dict[tuple[float, float], Tensors] = {}
    for blob in blobs:
        groups.setdefault((blob.parameter.rate_factor, blob.parameter.decay_mult), []).append(blob.tensor)
    return [{"params": ts, "lr_mult": lr, "decay_mult": decay} for (lr, decay), ts in groups.items()]


def _has_fused(parameter: Tensor) -> bool:
    device = parameter.device.type
    return device == "cuda" or (device == "cpu" and parameter.numel() >= FUSED_MIN_ELEMENTS)


def _gradient(parameter: Tensor) -> Tensor:
    return torch.zeros_like(parameter) if parameter.grad is None else parameter.grad


def _clip(gradients: Tensors, limit: float) -> Clipping:
    norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
    return Clipping(norm, torch.where(norm > limit, limit / norm, 1.0))
