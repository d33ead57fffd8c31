"""The learning rate of an iteration: LearningRate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Self

from netc.ir.dims import product
from netc.ir.dtypes import DType
from netc.ir.layer import DTypes, Mode, Shapes, fail
from netc.ir.operator import Operator
from netc.layers._operator_layer import OperatorLayer
from netc.layers._operators import operator
from netc.layers.operators._learning_rate_policies import Fixed, Policy, read_policy
from netc.layers.operators._updates import ITERATION

if TYPE_CHECKING:
    from torch import Tensor


@operator("LearningRate")
@dataclass(frozen=True)
class LearningRate(OperatorLayer):
    """The base rate times a function of the iteration; it is negative for optimizers that add their update.

    Shapes: the iteration, of which the first element counts, to a scalar of float32.

    Reference: `learning_rate_op.h`.
    """

    base_lr: float = 0.0
    policy: Policy = field(default_factory=Fixed)

    accepts: ClassVar[tuple[frozenset[DType], ...]] = (ITERATION,)

    @classmethod
    def from_caffe2(cls, operator: Operator) -> Self:
        """Raises NetcError E101 without a base rate or a policy, E103 for an unknown policy."""
        operator.require("base_lr")
        return cls(operator.real("base_lr"), read_policy(operator))

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """A scalar. Raises NetcError E102 without an iteration."""
        if product(bottoms[0]) == 0:
            fail(f"the iteration that `{self.type}` reads has no elements", field="input")
        return ((),)

    def dtypes(self, bottoms: DTypes, tops: int) -> DTypes:
        """float32."""
        self.check_dtypes(bottoms)
        return ("float32",)

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        import torch

        iteration = int(bottoms[0].flatten()[0])
        return torch.tensor(self.base_lr * self.policy.factor(iteration, self.base_lr), dtype=torch.float32)
