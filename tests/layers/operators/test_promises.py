"""What operators promise about their tops, compared with what they do on the recorded inputs."""

from __future__ import annotations

import pytest
import torch

import netc
from netc.ir.dims import differ
from netc.ir.layer import Mode
from netc.layers.operators.blobs import ExternalInput
from netc.runtime.dtypes import name_of
from tests.layers.operators.test_recorded import CASES, arrays


def found(case):
    """(layer, bottoms, tops) of a net of one operator on numbers; None for other nets."""
    graph = netc.load(case).graph
    nodes = [node for node in graph.nodes if not isinstance(node.layer, ExternalInput)]
    fed = arrays(case.parent / "inputs.npz")
    if len(nodes) != 1 or not nodes[0].bottoms or any(array.dtype.kind not in "fiub" for array in fed.values()):
        return None
    (node,) = nodes
    bottoms = [torch.from_numpy(fed[graph.values[name].blob].copy()) for name in node.bottoms]
    bottoms = [bottom.requires_grad_() if bottom.is_floating_point() else bottom for bottom in bottoms]
    tops = node.layer.forward(bottoms, (), Mode(False, len(node.tops)))
    return node.layer, bottoms, (tops,) if isinstance(tops, torch.Tensor) else tops[: len(node.tops)]


@pytest.mark.parametrize("case", CASES, ids=lambda path: path.parent.name)
def test_promises(case):
    one = found(case)
    if one is None:
        return
    layer, bottoms, tops = one
    shapes = layer.infer(tuple(tuple(bottom.shape) for bottom in bottoms), len(tops))
    assert not any(shape is not None and differ(shape, tuple(top.shape)) for shape, top in zip(shapes, tops))
    dtypes = layer.dtypes(tuple(name_of(bottom.dtype) for bottom in bottoms), len(tops))
    assert dtypes[: len(tops)] == tuple(name_of(top.dtype) for top in tops)
    if layer.overwritable:
        memory = {bottom.untyped_storage().data_ptr() for bottom in bottoms}
        assert tops[0].numel() == 0 or tops[0].untyped_storage().data_ptr() not in memory
    if not tops[0].requires_grad:
        return
    y = tops[0].relu_() if layer.overwritable else tops[0]
    y.sum().backward()
    for index in layer.no_gradient:
        assert index >= len(bottoms) or bottoms[index].grad is None
