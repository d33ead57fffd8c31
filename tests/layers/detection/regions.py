"""Regions of interest, and a layer's tops and gradients, for tests."""

from __future__ import annotations

import numpy as np
import torch

from tests.layers.harness import module_of, shapes_of

REGIONS = np.array(
    [[0, 3, 2, 60, 41], [1, -20, -9, 14.5, 30], [1, 30, 20, 400, 300], [0, 500, 400, 600, 500], [1, 40, 30, 20, 10]]
)
"""Inside, across two borders, at the other side, outside, and inverted; coordinates of an image of 96 x 64."""


def tops_and_gradient(layer, *bottoms, top_gradient=None, seed: int = 1):
    """The first top in float64, and the gradient of the first bottom for a random gradient of the top."""
    tensors = [torch.as_tensor(np.asarray(bottom, np.float64)) for bottom in bottoms]
    tensors[0].requires_grad_()
    top = module_of(layer, shapes_of(tensors)).double()(*tensors)
    generator = torch.Generator().manual_seed(seed)
    sent = torch.randn(top.shape, generator=generator, dtype=top.dtype) if top_gradient is None else top_gradient
    top.backward(sent)
    return top.detach().numpy(), sent.numpy(), tensors[0].grad.numpy()


def features(n: int, c: int, h: int, w: int) -> np.ndarray:
    """Normal numbers in float32."""
    return np.random.default_rng(n * h).normal(size=(n, c, h, w)).astype(np.float32)


def exports_to(form: str, folder, definition: str, feeds: list[dict[str, np.ndarray]]) -> None:
    """Check that the only layer of a net computes the same as ONNX, or as .py, for each feed."""
    from netc.exporters.onnx import onnx_model
    from tests.conversion.nets import trained, write
    from tests.exporters.test_layers import expected, loaded, results, same
    from tests.exporters.test_onnx import run

    model = trained(write(folder, definition))
    exported = onnx_model(model).proto() if form == "onnx" else loaded(folder, model)
    for feed in feeds:
        found = [run(exported, feed)[value] for value in model.outputs] if form == "onnx" else results(exported, feed)
        same(found, expected(model, feed))
