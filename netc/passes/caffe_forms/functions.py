"""Functions of elements, of one blob or several, as layers of Caffe."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from netc.layers.activations import ELU, PReLU, ReLU, Sigmoid, Swish, TanH
from netc.layers.elementwise import AbsVal, Clip, Exp, Log, Power
from netc.layers.eltwise import Eltwise
from netc.layers.operators import activations as operator_activations
from netc.layers.operators.binary import Binary, Pow
from netc.layers.operators.elementwise import ElementwiseFunction
from netc.layers.operators.scalar_arguments import Scaled
from netc.layers.operators.several_inputs import SameShapes, WeightedSum
from netc.layers.operators.smooth_activations import PRelu, SwishOperator
from netc.layers.scale import Bias, Scale
from netc.passes.caffe_forms.form import ChainLayer, Parts, Use, form, stored

if TYPE_CHECKING:
    from netc.ir.layer import Layer


@form(operator_activations.LeakyRelu)
def _leaky_relu(layer: operator_activations.LeakyRelu, use: Use) -> Parts:
    """ReLU with a slope."""
    return [ChainLayer(ReLU(negative_slope=layer.alpha))]


@form(operator_activations.Elu)
def _elu(layer: operator_activations.Elu, use: Use) -> Parts:
    """ELU."""
    return [ChainLayer(ELU(alpha=layer.alpha))]


@form(operator_activations.ClipOperator)
def _clip(layer: operator_activations.ClipOperator, use: Use) -> Parts:
    """Clip."""
    return [ChainLayer(Clip(layer.min, layer.max))]


@form(PRelu)
def _prelu(layer: PRelu, use: Use) -> Parts:
    """PReLU, if the slopes are parameters."""
    blobs = stored(use.arrays[1:])
    if blobs is None or layer.order != "NCHW":
        return None
    shared = blobs[0].size == 1 and use.shapes[0][1] != 1
    return [ChainLayer(PReLU(channel_shared=shared), (blobs[0].reshape(()) if shared else blobs[0],))]


@form(SwishOperator)
def _swish(layer: SwishOperator, use: Use) -> Parts:
    """Swish."""
    return [ChainLayer(Swish())]


@form(ElementwiseFunction)
def _function(layer: ElementwiseFunction, use: Use) -> Parts:
    """The functions that Caffe has."""
    made = _FUNCTIONS.get(layer.type)
    return None if made is None else [ChainLayer(made)]


_FUNCTIONS: dict[str, Layer] = {
    "Abs": AbsVal(),
    "Exp": Exp(),
    "Log": Log(),
    "Sqr": Power(power=2.0),
    "Sqrt": Power(power=0.5),
    "Negative": Power(scale=-1.0),
    "Sigmoid": Sigmoid(),
    "Tanh": TanH(),
}


@form(Scaled)
def _scaled(layer: Scaled, use: Use) -> Parts:
    """Power with a factor."""
    return [ChainLayer(Power(scale=layer.scale))]


@form(Pow)
def _pow(layer: Pow, use: Use) -> Parts:
    """Power, if the exponent is an argument."""
    return None if layer.exponent is None else [ChainLayer(Power(power=layer.exponent))]


@form(Binary)
def _binary(layer: Binary, use: Use) -> Parts:
    """Scale or Bias by a parameter, Eltwise of two blobs."""
    operand = use.arrays[1]
    if use.arrays[0] is not None:
        return None
    if operand is None:
        return _of_two(layer, use)
    if operand.dtype != np.float32 or layer.type not in ("Add", "Mul"):
        return None
    if operand.size == 1:
        value = float(operand.reshape(-1)[0])
        return [ChainLayer(Power(shift=value) if layer.type == "Add" else Power(scale=value))]
    x, y = use.shapes[0], operand.shape
    axis = layer.axis if layer.broadcast and layer.axis >= 0 else len(x) - len(y)
    if axis < 1 or x[axis : axis + len(y)] != y:
        return None
    broadcast = Bias if layer.type == "Add" else Scale
    return [ChainLayer(broadcast(axis=axis, num_axes=len(y)), (operand,))]


def _of_two(layer: Binary, use: Use) -> Parts:
    if use.shapes[0] != use.shapes[1]:
        return None
    operations = {
        "Add": Eltwise(),
        "Sub": Eltwise(coeff=(1.0, -1.0)),
        "Mul": Eltwise("PROD"),
    }
    made = operations.get(layer.type)
    return None if made is None else [ChainLayer(made)]


@form(SameShapes, keeps_parameters=True)
def _same_shapes(layer: SameShapes, use: Use) -> Parts:
    """Eltwise of at least two blobs."""
    if len(use.shapes) < 2 or layer.type == "Min":
        return None
    made = ChainLayer(Eltwise("MAX" if layer.type == "Max" else "SUM"))
    return [made, ChainLayer(ReLU())] if layer.type == "SumRelu" else [made]


@form(WeightedSum)
def _weighted_sum(layer: WeightedSum, use: Use) -> Parts:
    """Eltwise with coefficients, if the weights are parameters and the blobs are not."""
    weights = stored(use.arrays[1::2])
    if weights is None or any(array is not None for array in use.arrays[::2]) or len(weights) < 2:
        return None
    return [ChainLayer(Eltwise(coeff=tuple(float(w.reshape(-1)[0]) for w in weights)))]
