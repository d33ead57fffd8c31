"""Layers of `netc/layers/eltwise.py` as operators of Caffe2."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from netc.exporters.caffe2.rules import Caffe2Call, writes
from netc.layers.eltwise import Eltwise

if TYPE_CHECKING:
    from collections.abc import Iterator


@writes(Eltwise)
def eltwise(layer: Eltwise, call: Caffe2Call) -> None:
    """Sum, WeightedSum with coefficients, Max, or Mul for each further bottom."""
    if layer.operation == "MAX":
        call.top("Max", *call.bottoms)
    elif layer.operation == "PROD":
        first, *rest = call.bottoms
        for bottom in rest[:-1]:
            first = call.op("Mul", first, bottom)
        call.top("Mul", first, rest[-1])
    elif set(layer.coeff) <= {1.0}:
        call.top("Sum", *call.bottoms)
    else:
        call.top("WeightedSum", *_weighted(layer, call))


def _weighted(layer: Eltwise, call: Caffe2Call) -> Iterator[str]:
    for bottom, coefficient in zip(call.bottoms, layer.coeff):
        yield from (bottom, call.parameter(np.array([coefficient], np.float32), "coeff"))
