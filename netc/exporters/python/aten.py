"""ATen operators as torch expressions: one table.

An operator that the table lacks is called by its own name, `torch.ops.aten.<name>.<overload>(...)`, which is plain
torch too.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch.fx import Node

Expression = Callable[["Call"], str]

INFIX = {
    "add.Tensor": "+", "add.Scalar": "+", "sub.Tensor": "-", "sub.Scalar": "-", "mul.Tensor": "*", "mul.Scalar": "*",
    "div.Tensor": "/", "div.Scalar": "/", "pow.Tensor_Scalar": "**", "pow.Tensor_Tensor": "**", "pow.Scalar": "**",
    "remainder.Scalar": "%", "remainder.Tensor": "%", "bitwise_and.Tensor": "&", "bitwise_or.Tensor": "|",
    "bitwise_xor.Tensor": "^", "eq.Tensor": "==", "eq.Scalar": "==", "ne.Tensor": "!=", "ne.Scalar": "!=",
    "lt.Tensor": "<", "lt.Scalar": "<", "le.Tensor": "<=", "le.Scalar": "<=", "gt.Tensor": ">", "gt.Scalar": ">",
    "ge.Tensor": ">=", "ge.Scalar": ">=",
}  # fmt: skip
"""Operators between two operands."""
_SIZES = {
    operator.add: "+", operator.sub: "-", operator.mul: "*", operator.floordiv: "//", operator.mod: "%",
    operator.eq: "==", operator.ne: "!=", operator.lt: "<", operator.le: "<=", operator.gt: ">", operator.ge: ">=",
    operator.truediv: "/", operator.pow: "**",
}  # fmt: skip
"""Arithmetic of extents."""
METHODS = frozenset(
    """abs acos amax amin any argmax argmin asin atan bmm ceil clamp cos cumsum erf exp expm1 fill_diagonal flip floor
    gather index_select isinf isnan log log10 log1p log2 logical_and logical_not logical_or masked_fill mean
    minimum maximum neg new_zeros nonzero permute reciprocal relu repeat round rsqrt scatter select sigmoid sign sin
    sinh sort sqrt squeeze sum tan tanh topk trunc unsqueeze var bitwise_not expand""".split()
)
"""Methods of a tensor that take what the operator of their name takes, in its order."""
FUNCTIONS = {
    "addmm.default": "torch.addmm", "mm.default": "torch.mm", "cat.default": "torch.cat",
    "stack.default": "torch.stack",
    "where.self": "torch.where", "convolution.default": "torch.convolution", "full_like.default": "torch.full_like",
    "var_mean.correction": "torch.var_mean", "zeros_like.default": "torch.zeros_like",
    "ones_like.default": "torch.ones_like", "max_pool2d_with_indices.default": "F.max_pool2d_with_indices",
    "avg_pool2d.default": "F.avg_pool2d", "max.dim": "torch.max", "min.dim": "torch.min",
    "split_with_sizes.default": "torch.split", "leaky_relu.default": "F.leaky_relu", "atan2.default": "torch.atan2",
}  # fmt: skip
"""Functions that take what an operator takes, in its order."""
FACTORIES = {
    "arange.start_step": "torch.arange", "arange.default": "torch.arange", "arange.start": "torch.arange",
    "full.default": "torch.full", "zeros.default": "torch.zeros", "ones.default": "torch.ones",
    "scalar_tensor.default": "torch.tensor", "empty.memory_format": "torch.empty", "eye.default": "torch.eye",
    "linspace.default": "torch.linspace",
}  # fmt: skip
"""Functions that make a tensor of nothing: on the device of the layer's first bottom."""
COPIES = ("alias", "clone", "detach", "lift_fresh_copy")
"""Operators whose result is their operand."""
CHECKS = ("_assert_tensor_metadata", "_assert_scalar", "_assert_async", "sym_constrain_range")
"""How the names of operators begin that only check."""
_NO_WORD = ("layout", "pin_memory", "memory_format", "device", "non_blocking", "requires_grad")


class Call:
    """One operator's call: its operands as source."""

    def __init__(self, node: Node, names: Mapping[Node, str], device: str) -> None:
        self.node, self.names, self.device = node, names, device

    def word(self, value: Any) -> str:
        """A value as source."""
        if isinstance(value, Node):
            return self.names[value]
        if isinstance(value, (list, tuple)):
            return f"[{', '.join(map(self.word, value))}]"
        if isinstance(value, float) and not math.isfinite(value):
            return f"float({str(value)!r})"
        if isinstance(value, torch.dtype):
            return str(value)
        if value is None or isinstance(value, (bool, int, float, str)):
            return repr(value)
        raise TypeError(f"no literal: {value!r}")

    def arg(self, index: int, default: Any = None) -> str:
        """The index-th operand."""
        return self.word(self.node.args[index] if index < len(self.node.args) else default)

    def operand(self, index: int) -> str:
        """The index-th operand, to stand beside an infix operator."""
        word = self.arg(index)
        return f"({word})" if word.startswith("-") else word

    def args(self, start: int = 0) -> str:
        """The operands from the index-th on, with names where they have them."""
        named = {name: value for name, value in self.node.kwargs.items() if name not in _NO_WORD}
        words = [self.word(value) for value in self.node.args[start:]]
        return ", ".join([*words, *(f"{name}={self.word(value)}" for name, value in named.items())])

    def axes(self) -> int:
        """How many axes the first operand has."""
        first = self.node.args[0]
        assert isinstance(first, Node)
        return len(first.meta["val"].shape)


def _slice(call: Call) -> str:
    given: list[Any] = [*call.node.args, *(None, 0, None, None, 1)[len(call.node.args) :]]
    axis, start, end, step = given[1:]
    last = end if isinstance(end, Node) or (isinstance(end, int) and end < 2**62) else None
    cut = f"{'' if start in (None, 0) else call.word(start)}:{'' if last is None else call.word(last)}"
    before = ":, " * (axis % call.axes())
    return f"{call.arg(0)}[{before}{cut}{'' if step == 1 else f':{call.word(step)}'}]"


def _index(call: Call) -> str:
    places = call.node.args[1]
    assert isinstance(places, (list, tuple))
    return f"{call.arg(0)}[{', '.join(':' if place is None else call.word(place) for place in places)}]"


SPECIAL: dict[str, Expression] = {
    "view.default": lambda call: f"{call.arg(0)}.reshape({call.arg(1)})",
    "_unsafe_view.default": lambda call: f"{call.arg(0)}.reshape({call.arg(1)})",
    "_to_copy.default": lambda call: (
        f"{call.arg(0)}.to({call.word(call.node.kwargs.get('dtype'))})"
        if call.node.kwargs.get("dtype") is not None
        else call.arg(0)
    ),
    "slice.Tensor": _slice,
    "index.Tensor": _index,
    "embedding.default": lambda call: f"F.embedding({call.arg(1)}, {call.arg(0)})",
    "constant_pad_nd.default": lambda call: f"F.pad({call.arg(0)}, {call.arg(1)}, value={call.arg(2, 0)})",
    "_softmax.default": lambda call: f"{call.arg(0)}.softmax({call.arg(1)})",
    "_log_softmax.default": lambda call: f"{call.arg(0)}.log_softmax({call.arg(1)})",
    "sym_size.int": lambda call: f"{call.arg(0)}.shape[{call.arg(1)}]",
    "squeeze.dims": lambda call: f"{call.arg(0)}.squeeze({call.arg(1).replace('[', '(').replace(']', ',)')})",
}
"""Operators that stand otherwise in torch's own functions."""


def expression(call: Call) -> str:
    """The source of one operator's result."""
    target: Any = call.node.target
    if target is operator.getitem:
        return f"{call.arg(0)}[{call.arg(1)}]"
    if target in _SIZES:
        return f"{call.operand(0)} {_SIZES[target]} {call.operand(1)}"
    if not isinstance(target, torch._ops.OpOverload):  # sym_max, sym_not and others of extents
        return f"torch.{target.__name__}({call.args()})"
    name, overload = target.__name__.split(".")
    full = f"{name}.{overload}"
    if name in COPIES:
        return call.arg(0)
    if full in SPECIAL:
        return SPECIAL[full](call)
    if full in INFIX and not call.node.kwargs:
        return f"{call.operand(0)} {INFIX[full]} {call.operand(1)}"
    if full in FACTORIES:
        return f"{FACTORIES[full]}({call.args()}, device={call.device})"
    if full in FUNCTIONS:
        return f"{FUNCTIONS[full]}({call.args()})"
    if name in METHODS:
        return f"{call.arg(0)}.{name}({call.args(1)})"
    return f"torch.ops.aten.{name}.{overload}({call.args()})"
