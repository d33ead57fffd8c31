"""A net of one layer as .py and ONNX: the net's results at two sizes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from netc.exporters.onnx import onnx_model
from tests.conversion.nets import trained, write
from tests.exporters.test_layers import expected, loaded, net, results, same
from tests.exporters.test_onnx import run

Shape = tuple[int, ...]


def exports(
    folder: Path, *sizes: Sequence[Shape], below: dict[int, int] | None = None, text: str = "", **layer: object
) -> None:
    """Both files of the layer, made for the shapes of the first size, compute what the net computes at each size.

    `below` are the bottoms that hold integers, each from 0 to one less than its number.
    """
    model = trained(write(folder, net(*sizes[0], text=text, **layer)))
    exported, module = onnx_model(model).proto(), loaded(folder, model)
    for seed, shapes in enumerate(sizes):
        feed = dict(zip(model.inputs, _arrays(shapes, below or {}, seed)))
        wanted = expected(model, feed)
        found = run(exported, feed)
        same([found[value] for value in model.outputs], wanted)
        same(results(module, feed), wanted)


def _arrays(shapes: Sequence[Shape], below: dict[int, int], seed: int) -> list[np.ndarray]:
    generator = np.random.default_rng(seed)
    return [
        generator.integers(0, below[i], shape).astype(np.float32)
        if i in below
        else generator.standard_normal(shape, np.float32)
        for i, shape in enumerate(shapes)
    ]
