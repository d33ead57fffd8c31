"""One operator, run as a net would run it: arrays in and out."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch

from netc.diagnostics import NetcError
from netc.ir.dims import differ
from netc.ir.layer import Layer
from netc.ir.operator import Operator
from netc.layers import operator_class
from netc.runtime.dtypes import name_of
from netc.runtime.modules import LayerModule


def described(type: str, inputs: int, outputs: int = 1, in_place: int | None = None, **arguments: Any) -> Layer:
    """The layer of an operator; a number, a string or a list is stored in the field of its Python type."""
    names = [f"x{index}" for index in range(inputs)]
    tops = [f"y{index}" for index in range(outputs)]
    if in_place is not None:
        tops[0] = names[in_place]
    stored = {name: {_kind(value): _plain(value)} for name, value in arguments.items()}
    cls = operator_class(type)
    assert cls is not None, type
    return cls.from_caffe2(Operator(type, stored, names, tops))


def _plain(value: Any) -> Any:
    return int(value) if isinstance(value, bool) else value.encode() if isinstance(value, str) else value


def _kind(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        first = value[0] if value else 0
        return "strings" if isinstance(first, bytes) else "floats" if isinstance(first, float) else "ints"
    return "s" if isinstance(value, (str, bytes)) else "f" if isinstance(value, float) else "i"


def tensors_of(arrays: Sequence[np.ndarray]) -> list[torch.Tensor]:
    return [torch.from_numpy(np.array(array)) for array in arrays]


def computed(layer: Layer, tensors: Sequence[torch.Tensor], outputs: int) -> tuple[torch.Tensor, ...]:
    """The outputs, which must have the shapes and types that the layer infers."""
    shapes = layer.infer(tuple(tuple(t.shape) for t in tensors), outputs)
    dtypes = layer.dtypes(tuple(name_of(t.dtype) for t in tensors), outputs)
    tops = LayerModule(layer, (), outputs)(*tensors)
    tops = (tops,) if isinstance(tops, torch.Tensor) else tops
    for top, shape, dtype in zip(tops, shapes, dtypes):
        assert shape is None or not differ(tuple(top.shape), shape)
        assert name_of(top.dtype) == dtype
    return tops


def run(type: str, *arrays: np.ndarray, outputs: int = 1, in_place: int | None = None, **arguments: Any) -> Any:
    """The only output of an operator as an array, or all of them."""
    layer = described(type, len(arrays), outputs, in_place, **arguments)
    tops = [top.detach().numpy() for top in computed(layer, tensors_of(arrays), outputs)]
    return tops[0] if outputs == 1 else tops


def gradients(type: str, *arrays: np.ndarray, outputs: int = 1, upstream: Sequence[Any], **arguments: Any) -> list[Any]:
    """The gradients of each real input for those of the outputs, None for no gradient: arrays, None, ..."""
    layer = described(type, len(arrays), outputs, **arguments)
    tensors = [t.requires_grad_(t.is_floating_point()) for t in tensors_of(arrays)]
    tops = computed(layer, tensors, outputs)
    pairs = [(top, torch.as_tensor(g, dtype=top.dtype).reshape(top.shape)) for top, g in zip(tops, upstream)]
    pairs = [(top, g) for top, g in pairs if top.requires_grad]
    leaves = [t for t in tensors if t.requires_grad]
    found = torch.autograd.grad([t for t, _ in pairs], leaves, [g for _, g in pairs], allow_unused=True)
    return [None if g is None else g.numpy() for g in found]


@contextmanager
def raises(code: str, message: str = ""):
    with pytest.raises(NetcError, match=message or None) as caught:
        yield
    assert {d.code for d in caught.value.diagnostics} == {code}


def reals(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def ints(*values: int, dtype: Any = np.int32) -> np.ndarray:
    return np.array(values, dtype)
