"""Caffe's seven fillers (`filler.hpp`), with its fan rules on Caffe's blob shapes, and FlowNet2's `diagonal`.

The filler `file` is a parameter's array by the time a net is filled (`netc.compiler.lowered`): files are not read here.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Generator, Tensor

from netc.diagnostics import NetcError

if TYPE_CHECKING:
    from collections.abc import Callable

    from netc.ir.dims import Shape
    from netc.ir.filler import Filler


def generator_of(seed: int | None) -> Generator:
    """The generator of a net's initial weights: on the CPU, so that a seed has the same result on every device."""
    generator = Generator()
    if seed is None:
        generator.seed()
    else:
        generator.manual_seed(seed)
    return generator


def fill(tensor: Tensor, filler: Filler, shape: Shape, generator: Generator | None = None) -> None:
    """Overwrite `tensor` (in place, without gradient) as Caffe fills a blob of `shape`.

    `shape` is Caffe's, whose first two extents determine the fans; the tensor has its elements in the same order.
    Raises NetcError E105 for a shape that the filler does not support, and for the filler `file`.
    """
    if filler.type == "file":
        raise NetcError(f"the numbers in `{filler.file}` are for the parameter as the net file defines it", code="E105")
    with torch.no_grad():
        values = torch.empty(shape, dtype=torch.float32)
        if values.numel():
            _FILLERS[filler.type](values, filler, generator)
        tensor.copy_(values.reshape(tensor.shape))


def fan(filler: Filler, shape: Shape) -> float:
    """The divisor of `xavier` and `msra`: elements per output (FAN_IN), per input (FAN_OUT) or their mean.

    >>> from netc.ir.filler import Filler
    >>> fan(Filler("xavier"), (20, 1, 5, 5)), fan(Filler("xavier", variance_norm="FAN_OUT"), (20, 1, 5, 5))
    (25.0, 500.0)
    """
    count = math.prod(shape)
    fan_in = count / (shape[0] if shape else 1)
    fan_out = count / (shape[1] if len(shape) > 1 else 1)
    return {"FAN_IN": fan_in, "FAN_OUT": fan_out, "AVERAGE": (fan_in + fan_out) / 2}[filler.variance_norm]


def _constant(values: Tensor, filler: Filler, generator: Generator | None) -> None:
    values.fill_(filler.value)


def _uniform(values: Tensor, filler: Filler, generator: Generator | None) -> None:
    values.uniform_(filler.min, filler.max, generator=generator)


def _gaussian(values: Tensor, filler: Filler, generator: Generator | None) -> None:
    values.normal_(filler.mean, filler.std, generator=generator)
    if filler.sparse >= 0:
        outputs = values.shape[0] if values.dim() else 1
        values *= torch.empty_like(values).bernoulli_(min(1.0, filler.sparse / outputs), generator=generator)


def _positive_unitball(values: Tensor, filler: Filler, generator: Generator | None) -> None:
    values.uniform_(0, 1, generator=generator)
    rows = values.reshape(values.shape[0] if values.dim() else 1, -1)
    rows /= rows.sum(dim=1, keepdim=True)


def _xavier(values: Tensor, filler: Filler, generator: Generator | None) -> None:
    bound = math.sqrt(3 / fan(filler, tuple(values.shape)))
    values.uniform_(-bound, bound, generator=generator)


def _msra(values: Tensor, filler: Filler, generator: Generator | None) -> None:
    gain = 2 / (1 + filler.negative_slope**2)
    values.normal_(0, math.sqrt(gain / fan(filler, tuple(values.shape))), generator=generator)


def _bilinear(values: Tensor, filler: Filler, generator: Generator | None) -> None:
    filler.check_shape(tuple(values.shape))
    factor = math.ceil(values.shape[3] / 2)
    center = (2 * factor - 1 - factor % 2) / (2.0 * factor)
    ramp = 1 - (torch.arange(values.shape[3]) / factor - center).abs()
    values.copy_(ramp[:, None] * ramp[None, :])


def _diagonal(values: Tensor, filler: Filler, generator: Generator | None) -> None:
    values.zero_()
    outputs, inputs = (*values.shape[:2], 1, 1)[:2]
    kernels = values.reshape(outputs, inputs, -1)
    for index in range(min(outputs, inputs)):
        total = filler.diag_val[index] if index < len(filler.diag_val) else 1.0
        kernels[index, index] = total / kernels.shape[2]


def _bilinear_diagonal(values: Tensor, filler: Filler, generator: Generator | None) -> None:
    _bilinear(values, filler, generator)
    values *= torch.eye(values.shape[0], values.shape[1])[:, :, None, None]


_FILLERS: dict[str, Callable[[Tensor, Filler, Generator | None], None]] = {
    "constant": _constant,
    "uniform": _uniform,
    "gaussian": _gaussian,
    "positive_unitball": _positive_unitball,
    "xavier": _xavier,
    "msra": _msra,
    "bilinear": _bilinear,
    "diagonal": _diagonal,
    "bilinear_diagonal": _bilinear_diagonal,
}
