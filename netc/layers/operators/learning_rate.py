"""The learning rate of an iteration: LearningRate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Self

from netc.diagnostics import did_you_mean, visible
from netc.ir.dims import product
from netc.ir.dtypes import DType
from netc.ir.layer import DTypes, Mode, Shapes, fail
from netc.ir.operator import Operator
from netc.layers._operator_layer import OperatorLayer
from netc.layers._operators import operator
from netc.layers.operators._learning_rate_policies import POLICIES, FixedRate, RatePolicy, policy
from netc.layers.operators._updates import ITERATION

if TYPE_CHECKING:
    from torch import Tensor


@policy("composite")
@dataclass(frozen=True)
class CompositeRate(RatePolicy):
    """Several policies one after the other, each of the iteration of the whole, the first from iteration 1."""

    parts: tuple[tuple[int, float, RatePolicy], ...] = ()
    """Of each policy its number of iterations, the factor of its rate, and the policy."""

    @classmethod
    def read(cls, operator: Operator, prefix: str = "") -> Self:
        """Raises NetcError E101 without any part, E103 for a number of iterations that is not positive."""
        counts = operator.integers("sub_policy_num_iters")
        if prefix:
            operator.fail("a part of a composite policy cannot be composite", f"{prefix}policy")
        if not counts:
            operator.fail("a composite policy requires `sub_policy_num_iters`", code="E101")
        if bad := [count for count in counts if count <= 0]:
            operator.fail(f"`sub_policy_num_iters` has {bad[0]}, which is not positive", "sub_policy_num_iters")
        names = [f"sub_policy_{index}_" for index in range(len(counts))]
        scales = [operator.real(f"{name}lr_scale", 1.0) for name in names]
        return cls(tuple(zip(counts, scales, (read_policy(operator, name) for name in names))))

    def factor(self, iteration: int, base: float) -> float:
        """That of the policy of the iteration, times its scale; the last policy has no end."""
        end = 1
        for index, (count, scale, part) in enumerate(self.parts):
            end += count
            if iteration < end or index == len(self.parts) - 1:
                return part.factor(iteration, base) * scale
        raise AssertionError("a composite policy has parts")


def read_policy(operator: Operator, prefix: str = "") -> RatePolicy:
    """The policy that the arguments describe. Raises NetcError E101 without a policy, E103 for an unknown one."""
    name = operator.text(f"{prefix}policy")
    if not name:
        operator.fail(f"`{operator.type}` requires the argument `{prefix}policy`", code="E101")
    if name not in POLICIES:
        help = did_you_mean(name, POLICIES) or f"the policies are {', '.join(POLICIES)}"
        operator.fail(f"unknown learning rate policy `{visible(name)}`", f"{prefix}policy", help=help)
    return POLICIES[name].read(operator, prefix)


@operator("LearningRate")
@dataclass(frozen=True)
class LearningRate(OperatorLayer):
    """The base rate times a function of the iteration; it is negative for optimizers that add their update.

    Shapes: the iteration, of which the first element counts, to a scalar of float32.

    Reference: `learning_rate_op.h`.
    """

    base_lr: float = 0.0
    policy: RatePolicy = field(default_factory=FixedRate)

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
