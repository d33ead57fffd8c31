"""What is asked of every layer: back and forth through a file's fields, tracing, another input size, kinks."""

from __future__ import annotations

import contextlib
import dataclasses

import numpy as np
import pytest
import torch
from torch import Tensor

from netc.diagnostics import NetcError
from netc.ir.filler import Filler
from netc.ir.layer import Layer
from netc.layers import registry
from tests.layers.harness import all_fit, layer_from, module_of, shapes_of


def round_trip(kind: str | type[Layer], **parameters) -> Layer:
    """The layer of some parameters, after a check that writing and reading them again gives an equal one."""
    layer = layer_from(kind, **parameters)
    written = {k: dataclasses.asdict(v) if isinstance(v, Filler) else v for k, v in layer.to_caffe().items()}
    assert layer_from(kind, **written) == layer
    return layer


def v1_name(type_name: str) -> str | None:
    """The layer type's name in V1LayerParameter.LayerType."""
    return registry()[type_name].v1


@contextlib.contextmanager
def raises(code: str, text: str):
    """A context in which one diagnostic of this code is raised, whose text matches the regular expression."""
    with pytest.raises(NetcError, match=text) as caught:
        yield
    assert [d.code for d in caught.value.diagnostics] == [code]


def values(*shape: int, seed: int = 3) -> Tensor:
    """Normal numbers in float64."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def both(layer: Layer, shapes, tops: int = 1):
    """The layer's module as a net gets it, and its function wrapped, in float64 and test mode."""
    for stock in (True, False):
        yield module_of(layer, shapes, tops, stock).double().eval()


def gradient(layer: Layer, bottom, top_gradient=None) -> np.ndarray:
    """The gradient of the sum of the first top (or of it times `top_gradient`) at `bottom`: stock and wrapped agree."""
    found = []
    for module in both(layer, shapes_of([np.asarray(bottom)])):
        x = torch.tensor(np.asarray(bottom, np.float64), requires_grad=True)
        y = module(x)
        y.backward(torch.ones_like(y) if top_gradient is None else torch.as_tensor(top_gradient, dtype=y.dtype))
        found.append(x.grad.numpy())
    np.testing.assert_array_equal(found[0], found[1])
    return found[0]


def traces(layer: Layer, *bottoms: Tensor, tops: int = 1) -> None:
    """torch.export and torch.compile without a graph break give what the module gives."""
    for module in both(layer, shapes_of(bottoms), tops):
        expected = module(*bottoms)
        torch._dynamo.reset()
        with torch.no_grad():
            exported = torch.export.export(module, bottoms).module()
            compiled = torch.compile(module, fullgraph=True, backend="eager")
            torch.testing.assert_close(exported(*bottoms), expected, rtol=0, atol=0)
            torch.testing.assert_close(compiled(*bottoms), expected, rtol=0, atol=0)


def resizes(layer: Layer, first: tuple[Tensor, ...], second: tuple[Tensor, ...], tops: int = 1) -> None:
    """A module made for the first bottoms does with the second what one made for them does."""
    for module, other in zip(both(layer, shapes_of(first), tops), both(layer, shapes_of(second), tops)):
        for bottoms in (first, second, first):
            found = module(*bottoms)
            torch.testing.assert_close(found, other(*bottoms), rtol=0, atol=0)
            listed = [found] if isinstance(found, Tensor) else list(found)
            assert all_fit(listed, layer.infer(shapes_of(bottoms), tops)[:tops])
