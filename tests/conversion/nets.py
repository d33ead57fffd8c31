"""Small nets with weights off their defaults, for the tests of everything that converts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from netc.compiler import weighted
from netc.conversion.models import open_net
from netc.ir.graph import Graph

MIXED = """
name: "mixed"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 dim: 23 dim: 19 } } }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
  convolution_param { num_output: 8 kernel_size: 3 pad: 1 stride: 2 bias_term: false weight_filler { type: "msra" } } }
layer { name: "bn1" type: "BatchNorm" bottom: "conv1" top: "conv1" batch_norm_param { eps: 0.001 } }
layer { name: "scale1" type: "Scale" bottom: "conv1" top: "conv1" scale_param { bias_term: true } }
layer { name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" relu_param { negative_slope: 0.1 } }
layer { name: "norm1" type: "LRN" bottom: "conv1" top: "norm1" lrn_param { local_size: 3 alpha: 0.2 beta: 0.6 k: 1.5 } }
layer { name: "pool1" type: "Pooling" bottom: "norm1" top: "pool1" pooling_param { kernel_size: 3 stride: 2 pad: 1 } }
layer { name: "left" type: "Convolution" bottom: "pool1" top: "left"
  convolution_param { num_output: 4 kernel_size: 3 pad: 1 group: 2 weight_filler { type: "xavier" } } }
layer { name: "right" type: "Pooling" bottom: "pool1" top: "right"
  pooling_param { pool: AVE kernel_size: 3 stride: 1 pad: 1 } }
layer { name: "join" type: "Concat" bottom: "left" bottom: "right" top: "join" }
layer { name: "bn2" type: "BatchNorm" bottom: "join" top: "bn2" }
layer { name: "prelu" type: "PReLU" bottom: "bn2" top: "bn2" }
layer { name: "up" type: "Deconvolution" bottom: "bn2" top: "up"
  convolution_param { num_output: 6 kernel_size: 4 stride: 2 pad: 1 group: 2 weight_filler { type: "xavier" } } }
layer { name: "scale_up" type: "Scale" bottom: "up" top: "up" }
layer { name: "pool2" type: "Pooling" bottom: "up" top: "pool2" pooling_param { pool: AVE kernel_size: 2 stride: 2 } }
layer { name: "sum" type: "Eltwise" bottom: "pool2" bottom: "left2" top: "sum" eltwise_param { coeff: 1 coeff: -0.5 } }
layer { name: "drop" type: "Dropout" bottom: "sum" top: "sum" }
layer { name: "fc" type: "InnerProduct" bottom: "sum" top: "fc"
  inner_product_param { num_output: 5 weight_filler { type: "xavier" } } }
layer { name: "prob" type: "Softmax" bottom: "fc" top: "prob" }
""".replace(
    'layer { name: "up"',
    'layer { name: "left2" type: "Convolution" bottom: "pool1" top: "left2"'
    ' convolution_param { num_output: 6 kernel_size: 1 weight_filler { type: "xavier" } } }\nlayer { name: "up"',
)
"""Branches, in-place layers, BatchNorm with and without a convolution before it, groups, pooling that rounds up."""

HOSTILE = (
    'x"); raise SystemExit(9) #',
    "a\nimport os",
    "'''",
    "a.b/c",
    "self",
    "",
    "{0}",
    "\\u0022",
    "class",
    "\u202eabc",
)
"""Names of layers that would be code, or break a text, if pasted in."""


def hostile_net() -> str:
    """A chain of convolutions whose layers and blobs have hostile names."""
    text = ["name: 'n\\\"); raise SystemExit(9) #'"]
    text.append(
        'layer { name: "data" type: "Input" top: "in\\"put" input_param { shape { dim: 1 dim: 2 dim: 6 dim: 5 } } }'
    )
    bottom = '"in\\"put"'
    for index, name in enumerate(HOSTILE):
        top = quoted(name + str(index))
        text.append(
            f'layer {{ name: {quoted(name)} type: "Convolution" bottom: {bottom} top: {top}'
            ' convolution_param { num_output: 2 kernel_size: 1 weight_filler { type: "xavier" } } }'
        )
        bottom = top
    return "\n".join(text)


def quoted(name: str) -> str:
    """A string as prototxt writes it."""
    return '"' + "".join(c if c.isalnum() else "".join(f"\\{b:03o}" for b in c.encode()) for c in name) + '"'


def write(folder: Path, text: str, name: str = "net.prototxt") -> Path:
    """A prototxt in `folder`."""
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def trained(path: Path, seed: int = 3) -> Graph:
    """The net of a file with random weights in every blob; variances and counts are positive."""
    net = open_net(path)
    generator = torch.Generator().manual_seed(seed)
    for blob in net.blobs:
        if blob.weight.name in ("variance", "scale_factor") or blob.weight.name.startswith("running"):
            blob.data.copy_(torch.rand(blob.shape, generator=generator) + 0.5)
        else:
            blob.data.copy_(torch.randn(blob.shape, generator=generator) * 0.4)
    return weighted(net)


def inputs_of(model: Graph, batch: int, seed: int = 5) -> dict[str, np.ndarray]:
    """Random numbers for each input, by value."""
    generator = np.random.default_rng(seed)
    return {n: generator.standard_normal((batch, *model.shape(n)[1:]), dtype=np.float32) for n in model.inputs}


def close(one: np.ndarray, other: np.ndarray, tolerance: float = 1e-4) -> bool:
    """Equal shapes, and differences within `tolerance` of the largest value."""
    return one.shape == other.shape and float(np.abs(one - other).max()) <= tolerance * float(np.abs(one).max())
