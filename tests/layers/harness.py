"""Runs one layer without a net: its module or its function, forward and backward, and checks it against itself."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from netc.ir.dims import differ
from netc.ir.fields import Fields
from netc.ir.layer import Layer
from netc.layers import registry
from netc.runtime.file_access import allow_files
from netc.runtime.modules import LayerModule, register_constant

IN_A_FILE = (0.5, -0.25, 0.75)
"""What the file of a constant holds."""


def layer_from(kind: str | type[Layer], **parameters) -> Layer:
    """The layer as the front end makes it, from its parameter message given as keyword arguments (nested dicts).

    `kind` is the type's name, or the class where a name has several meanings.
    """
    field = _class_of(kind).param_field
    return layer_of(kind, {field: parameters} if field else parameters)


def layer_of(kind: str | type[Layer], message: dict) -> Layer:
    """The layer as the front end makes it, from a LayerParameter given as nested dicts."""
    return _class_of(kind).from_caffe(_fields("LayerParameter", message))


def _class_of(kind: str | type[Layer]) -> type[Layer]:
    return registry()[kind] if isinstance(kind, str) else kind


def _fields(message: str, values: dict) -> Fields:
    from netc.schema import defaults

    def read(name: str, value: object) -> object:
        if isinstance(value, list):
            return [read(name, one) for one in value]
        return _fields(_message_type(message, name), value) if isinstance(value, dict) else value

    made = {name: read(name, value) for name, value in values.items()}
    return Fields(made, defaults(message), lambda name: _fields(_message_type(message, name), {}))


def _message_type(message: str, name: str) -> str:
    from netc.schema import caffe

    return getattr(caffe, message).DESCRIPTOR.fields_by_name[name].message_type.name


def shapes_of(arrays: Sequence[np.ndarray | Tensor]) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(a.shape) for a in arrays)


def all_fit(tensors: Sequence[Tensor], shapes) -> bool:
    """Whether tensors have the shapes that `infer` promised, as far as it knows them."""
    return len(tensors) == len(shapes) and not any(map(differ, shapes_of(tensors), shapes))


def module_of(layer: Layer, shapes, tops: int = 1, stock: bool = True) -> nn.Module:
    """The layer's stock module, or its function wrapped; weights are random, never left empty."""
    made = layer.module(shapes, tops) if stock else None
    made = made or LayerModule(layer, layer.weights(shapes), tops, "under_test")
    allow_files(made, "own")
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for tensor in (*made.parameters(), *made.buffers()):
            tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.1)
    for constant in layer.constants(len(shapes)):
        if constant.file and not constant.is_text:
            continue
        register_constant(made, constant.name, torch.tensor(constant.values or IN_A_FILE))
    return made


def run(layer: Layer, *bottoms, tops: int = 1, training: bool = False, weights=(), stock: bool = True):
    """The tops as a list of arrays; `weights` overwrite the blobs in Caffe's order. Checks `infer` against them."""
    tensors = [torch.as_tensor(np.asarray(b)) for b in bottoms]
    module = module_of(layer, shapes_of(tensors), tops, stock).train(training)
    names = [w.name for w in layer.weights(shapes_of(tensors))]
    with torch.no_grad():
        for name, value in zip(names, weights):
            target = getattr(module, name)
            target.copy_(torch.as_tensor(np.asarray(value)).reshape(target.shape))
        if any(t.dtype == torch.float64 for t in tensors):
            module.double()
        result = module(*tensors)
    result = [result] if isinstance(result, Tensor) else list(result)
    inferred = layer.infer(shapes_of(tensors), tops)[:tops]
    assert all_fit(result, inferred), f"forward gives {shapes_of(result)}, infer says {inferred}"
    return [t.numpy() for t in result]


def gradcheck(layer: Layer, *shapes, tops: int = 1, training: bool = False, fixed: dict[int, Tensor] | None = None):
    """autograd against finite differences in float64, for bottoms and weights.

    `fixed` maps bottom indices to tensors that take no gradient (labels); the others are random and pairwise distinct.
    """
    fixed = fixed or {}
    generator = torch.Generator().manual_seed(7)
    bottoms = [
        fixed[i].double() if i in fixed else distinct(shape, generator).requires_grad_()
        for i, shape in enumerate(shapes)
    ]
    module = module_of(layer, tuple(map(tuple, shapes)), tops).double().train(training)
    names = [n for n, _ in module.named_parameters()]
    free = [b for i, b in enumerate(bottoms) if i not in fixed]

    def function(*inputs):
        given = iter(inputs)
        blobs = [b if i in fixed else next(given) for i, b in enumerate(bottoms)]
        return torch.func.functional_call(module, dict(zip(names, given)), tuple(blobs))

    values = [p.detach().clone().requires_grad_() for p in module.parameters()]
    return torch.autograd.gradcheck(function, (*free, *values), eps=1e-6, atol=1e-5)


def distinct(shape, generator: torch.Generator) -> Tensor:
    """Values from -1 to 1 that differ pairwise and keep off 0 and other kinks, so that differences are smooth."""
    count = int(np.prod(shape))
    values = (torch.arange(count, dtype=torch.float64) + 0.37) / max(count, 1) * 2 - 1
    return values[torch.randperm(count, generator=generator)].reshape(tuple(shape))
