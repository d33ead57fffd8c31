"""The interface of an update rule. Never imports torch: `netc check` reads the attributes of rules."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self

if TYPE_CHECKING:
    from torch import Tensor

    from netc.training.solver.parameters import SolverParameters

    Tensors = list[Tensor]


class ParameterGroup(NamedTuple):
    """Parameters that one call updates, with their histories."""

    options: dict[str, Any]
    """The group of torch's optimizer: `lr`, `lr_mult`, `decay_mult`."""
    parameters: Tensors
    histories: list[Tensors]
    """For each history of the rule, one tensor per parameter."""
    fused: bool
    """Whether PyTorch has a fused kernel for these parameters that is worthwhile."""


@dataclasses.dataclass(frozen=True)
class UpdateRule(ABC):
    """How a solver type computes updates from gradients.

    A subclass is a frozen dataclass, registered under the name that `type` has in a solver. Its fields are the fields
    of SolverParameter that it reads, under Caffe's names and with Caffe's defaults.
    """

    type: ClassVar[str] = ""
    """The name of the solver type, set by `register`."""
    histories: ClassVar[int] = 1
    """How many tensors the solver keeps per blob; a .solverstate stores them in order."""
    decays_frozen_blobs: ClassVar[bool] = True
    """Whether weight decay changes the history of a blob with `lr_mult: 0`, as in Caffe."""
    supports_larc: ClassVar[bool] = False
    """Whether the type can be combined with NVIDIA's `larc`."""
    rejected: ClassVar[tuple[str, ...]] = ()
    """Fields of the solver that must not be set for this type: E604."""

    @classmethod
    def from_settings(cls, settings: SolverParameters) -> Self:
        """Return the rule with the solver's values of its fields."""
        return cls(**{field.name: getattr(settings, field.name) for field in dataclasses.fields(cls)})

    @abstractmethod
    def updates(self, group: ParameterGroup, gradients: Tensors, rate: float, iteration: int) -> Tensors:
        """Update the histories and return what to subtract from each parameter; `gradients` may be overwritten.

        `rate` is the learning rate of the group, `iteration` the number of updates already done.
        """

    def fused_step(self, group: ParameterGroup, gradients: Tensors, rate: float, decay: float, iteration: int) -> bool:
        """Update histories and parameters with one fused kernel, weight decay included; False if there is none."""
        return False
