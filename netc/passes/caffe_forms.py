"""Operators of Caffe2 in terms of Caffe's layers: one function for each class of operators that Caffe can say.

A form is a chain of layers; the first reads the operator's inputs that are not parameters, each following one the
layer before it. An operator without a form, or whose form returns None, is one that Caffe cannot say.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from netc.ir.dims import known
from netc.layers.activations import ELU, PReLU, ReLU, Sigmoid, Swish, TanH
from netc.layers.batch_norm import BatchNorm
from netc.layers.concat import Concat, Slice, Split
from netc.layers.convolution import Convolution, Deconvolution
from netc.layers.dropout import Dropout
from netc.layers.elementwise import AbsVal, Clip, Exp, Log, Power
from netc.layers.eltwise import Eltwise
from netc.layers.inner_product import InnerProduct
from netc.layers.normalization import LRN
from netc.layers.operators import activations as operator_activations
from netc.layers.operators.binary import Binary, Pow
from netc.layers.operators.channel_shuffle import ChannelShuffle
from netc.layers.operators.concatenation import ConcatOperator, SplitOperator
from netc.layers.operators.conv_transpose import ConvTranspose
from netc.layers.operators.convolution import Conv, ConvRelu
from netc.layers.operators.copies import Copy
from netc.layers.operators.dropout import DropoutOperator
from netc.layers.operators.elementwise import ElementwiseFunction
from netc.layers.operators.fully_connected import FullyConnected
from netc.layers.operators.normalization import LocalResponseNorm
from netc.layers.operators.outer_reductions import OuterReduce
from netc.layers.operators.pooling import AveragePool, MaxPool
from netc.layers.operators.reshaping import FlattenOperator, ReshapeOperator
from netc.layers.operators.scalar_arguments import Scaled
from netc.layers.operators.several_inputs import SameShapes, WeightedSum
from netc.layers.operators.smooth_activations import PRelu, SoftmaxOperator, SwishOperator
from netc.layers.operators.spatial_batch_norm import SpatialBatchNorm
from netc.layers.operators.tiling import TileOperator
from netc.layers.operators.transposition import TransposeOperator
from netc.layers.permute import Permute
from netc.layers.pooling import Method, Pooling
from netc.layers.reduction import Reduction
from netc.layers.reshape import Flatten, Reshape, Tile
from netc.layers.scale import Bias, Scale
from netc.layers.shuffle_channel import ShuffleChannel
from netc.layers.softmax import Softmax

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from netc.ir.layer import Layer, Shapes

    Array = NDArray[Any]


class Use(NamedTuple):
    """How a net uses an operator."""

    shapes: Shapes
    """Of the inputs."""
    top_shapes: Shapes
    arrays: tuple[Array | None, ...]
    """The values of inputs that are parameters, None for the others."""


class Part(NamedTuple):
    """One layer of a form, with its blobs in Caffe's order."""

    layer: Layer
    blobs: tuple[Array, ...] = ()


Parts = Sequence[Part] | None
Form = Callable[[Any, Use], Parts]
FORMS: dict[type[Layer], Form] = {}


def form(*classes: type[Layer]) -> Callable[[Form], Form]:
    """Decorator: this function says operators of these classes in Caffe's terms."""

    def add(function: Form) -> Form:
        FORMS.update(dict.fromkeys(classes, function))
        return function

    return add


@form(Conv, ConvRelu)
def _convolution(layer: Conv, use: Use) -> Parts:
    """Convolution, if its padding is symmetric; its filter must be a parameter."""
    pad = _symmetric(layer, use)
    if pad is None or use.arrays[1] is None:
        return None
    blobs = _stored(use.arrays[1:])
    if blobs is None:
        return None
    made = Convolution(
        num_output=use.shapes[1][0],
        kernel=layer.kernel,
        stride=layer.stride,
        pad=pad,
        dilation=layer.dilation,
        group=layer.group,
        bias_term=len(blobs) > 1,
    )
    return [Part(made, blobs), *([Part(ReLU())] if isinstance(layer, ConvRelu) else [])]


@form(ConvTranspose)
def _deconvolution(layer: ConvTranspose, use: Use) -> Parts:
    """Deconvolution, if its padding is symmetric and nothing is added to the extents."""
    axes = len(layer.kernel)
    heads, tails = layer.pads[:axes], layer.pads[axes:]
    blobs = _stored(use.arrays[1:])
    if layer.order != "NCHW" or any(layer.adj) or heads != tails or min(heads) < 0 or blobs is None:
        return None
    made = Deconvolution(
        num_output=use.shapes[1][1] * layer.group,
        kernel=layer.kernel,
        stride=layer.stride,
        pad=heads,
        group=layer.group,
        bias_term=len(blobs) > 1,
    )
    return [Part(made, blobs)]


def _symmetric(layer: Conv, use: Use) -> tuple[int, ...] | None:
    """The padding on both sides of each axis that gives the same windows; None if there is none."""
    if layer.order != "NCHW" or not all(map(known, use.shapes[0][2:])):
        return None
    return layer.as_torch(use.shapes[0][2:])


@form(MaxPool, AveragePool)
def _pooling(layer: MaxPool | AveragePool, use: Use) -> Parts:
    """Pooling that has as many windows, if the mean counts what Caffe's does."""
    plane = use.shapes[0][2:]
    if layer.order != "NCHW" or not all(map(known, plane)):
        return None
    method: Method = "MAX" if isinstance(layer, MaxPool) else "AVE"
    if layer.global_pooling:
        return [Part(Pooling(method))]
    frames = layer.frames(plane)
    pad = tuple(frame.head for frame in frames)
    if any(not 0 <= head < kernel for head, kernel in zip(pad, layer.kernel)):
        return None
    if isinstance(layer, AveragePool) and not _counts_as_caffe(layer, use):
        return None
    for mode in ("CEIL", "FLOOR"):
        made = Pooling(method, layer.kernel, layer.stride, pad, mode)
        if made.infer(use.shapes, 1)[:1] == use.top_shapes[:1]:
            return [Part(made)]
    return None


def _counts_as_caffe(layer: AveragePool, use: Use) -> bool:
    """Whether the mean is over as many elements: Caffe counts padding, and nothing beyond it."""
    frames = layer.frames(use.shapes[0][2:])
    if layer.count_include_pad:
        return all(frame.tail <= frame.head for frame in frames)
    return all(frame.head == 0 for frame in frames)


@form(FullyConnected)
def _inner_product(layer: FullyConnected, use: Use) -> Parts:
    """InnerProduct, if both the matrix and the bias are parameters."""
    blobs = _stored(use.arrays[1:])
    if blobs is None or layer.axis_w != 1:
        return None
    weight = blobs[0].reshape(blobs[0].shape[0], -1)
    outputs = weight.shape[1 if layer.transposed else 0]
    made = InnerProduct(num_output=outputs, axis=layer.axis, transpose=layer.transposed)
    return [Part(made, (weight, blobs[1]))]


@form(SpatialBatchNorm)
def _batch_norm(layer: SpatialBatchNorm, use: Use) -> Parts:
    """BatchNorm and Scale, if the operator uses averages that are parameters."""
    blobs = _stored(use.arrays[1:])
    if blobs is None or not layer.is_test or layer.order != "NCHW":
        return None
    factor, addend, mean, variance = blobs
    moments = (mean, variance, np.ones(1, np.float32))
    return [Part(BatchNorm(use_global_stats=True, eps=layer.epsilon), moments),
            Part(Scale(bias_term=True), (factor, addend))]  # fmt: skip


@form(LocalResponseNorm)
def _lrn(layer: LocalResponseNorm, use: Use) -> Parts:
    """LRN across channels."""
    if layer.order != "NCHW":
        return None
    return [Part(LRN(local_size=layer.size, alpha=layer.alpha, beta=layer.beta, k=layer.bias))]


@form(operator_activations.LeakyRelu)
def _leaky_relu(layer: operator_activations.LeakyRelu, use: Use) -> Parts:
    """ReLU with a slope."""
    return [Part(ReLU(negative_slope=layer.alpha))]


@form(operator_activations.Elu)
def _elu(layer: operator_activations.Elu, use: Use) -> Parts:
    """ELU."""
    return [Part(ELU(alpha=layer.alpha))]


@form(operator_activations.ClipOperator)
def _clip(layer: operator_activations.ClipOperator, use: Use) -> Parts:
    """Clip."""
    return [Part(Clip(layer.min, layer.max))]


@form(PRelu)
def _prelu(layer: PRelu, use: Use) -> Parts:
    """PReLU, if the slopes are parameters."""
    blobs = _stored(use.arrays[1:])
    if blobs is None or layer.order != "NCHW":
        return None
    shared = blobs[0].size == 1 and use.shapes[0][1] != 1
    return [Part(PReLU(channel_shared=shared), (blobs[0].reshape(()) if shared else blobs[0],))]


@form(SwishOperator)
def _swish(layer: SwishOperator, use: Use) -> Parts:
    """Swish."""
    return [Part(Swish())]


@form(ElementwiseFunction)
def _function(layer: ElementwiseFunction, use: Use) -> Parts:
    """The functions that Caffe has."""
    made = _FUNCTIONS.get(layer.type)
    return None if made is None else [Part(made)]


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
    return [Part(Power(scale=layer.scale))]


@form(Pow)
def _pow(layer: Pow, use: Use) -> Parts:
    """Power, if the exponent is an argument."""
    return None if layer.exponent is None else [Part(Power(power=layer.exponent))]


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
        return [Part(Power(shift=value) if layer.type == "Add" else Power(scale=value))]
    x, y = use.shapes[0], operand.shape
    axis = layer.axis if layer.broadcast and layer.axis >= 0 else len(x) - len(y)
    if axis < 1 or x[axis : axis + len(y)] != y:
        return None
    broadcast = Bias if layer.type == "Add" else Scale
    return [Part(broadcast(axis=axis, num_axes=len(y)), (operand,))]


def _of_two(layer: Binary, use: Use) -> Parts:
    if use.shapes[0] != use.shapes[1]:
        return None
    operations = {
        "Add": Eltwise(),
        "Sub": Eltwise(coeff=(1.0, -1.0)),
        "Mul": Eltwise("PROD"),
    }
    made = operations.get(layer.type)
    return None if made is None else [Part(made)]


@form(SameShapes)
def _same_shapes(layer: SameShapes, use: Use) -> Parts:
    """Eltwise of at least two blobs."""
    if len(use.shapes) < 2 or layer.type == "Min":
        return None
    made = Part(Eltwise("MAX" if layer.type == "Max" else "SUM"))
    return [made, Part(ReLU())] if layer.type == "SumRelu" else [made]


@form(WeightedSum)
def _weighted_sum(layer: WeightedSum, use: Use) -> Parts:
    """Eltwise with coefficients, if the weights are parameters and the blobs are not."""
    weights = _stored(use.arrays[1::2])
    if weights is None or any(array is not None for array in use.arrays[::2]) or len(weights) < 2:
        return None
    return [Part(Eltwise(coeff=tuple(float(w.reshape(-1)[0]) for w in weights)))]


@form(DropoutOperator)
def _dropout(layer: DropoutOperator, use: Use) -> Parts:
    """Dropout."""
    return [Part(Dropout(dropout_ratio=layer.ratio))]


@form(SoftmaxOperator)
def _softmax(layer: SoftmaxOperator, use: Use) -> Parts:
    """Softmax, where the operator normalizes a single axis."""
    x = use.shapes[0]
    axis = layer.axis % len(x)
    return [Part(Softmax(axis=axis))] if all(extent == 1 for extent in x[axis + 1 :]) else None


@form(ConcatOperator)
def _concat(layer: ConcatOperator, use: Use) -> Parts:
    """Concat along an axis that exists."""
    return None if layer.add_axis else [Part(Concat(axis=layer.axis % len(use.shapes[0])))]


@form(SplitOperator)
def _split(layer: SplitOperator, use: Use) -> Parts:
    """Slice, if the extents are in the file."""
    if layer.add_axis or len(use.shapes) > 1:
        return None
    axis = layer.axis % len(use.shapes[0])
    extents = [shape[axis] for shape in use.top_shapes]
    points = tuple(int(point) for point in np.cumsum(extents)[:-1])
    return [Part(Slice(axis=axis, slice_point=points))]


@form(ReshapeOperator)
def _reshape(layer: ReshapeOperator, use: Use) -> Parts:
    """Reshape, if the shape is in the file or a parameter."""
    held = use.arrays[1] if len(use.arrays) > 1 else None
    shape = tuple(map(int, held)) if layer.shape is None and held is not None else layer.shape
    return None if shape is None else [Part(Reshape(shape=shape))]


@form(FlattenOperator)
def _flatten(layer: FlattenOperator, use: Use) -> Parts:
    """Flatten to a matrix."""
    return [Part(Flatten())] if layer.axis == 1 and len(use.shapes[0]) > 1 else None


@form(TransposeOperator)
def _transpose(layer: TransposeOperator, use: Use) -> Parts:
    """Permute."""
    axes = len(use.shapes[0])
    return [Part(Permute(order=layer.axes or tuple(reversed(range(axes)))))]


@form(TileOperator)
def _tile(layer: TileOperator, use: Use) -> Parts:
    """Tile, if the number is in the file."""
    if len(use.shapes) > 1:
        return None
    return [Part(Tile(tiles=layer.tiles, axis=layer.axis % len(use.shapes[0])))]


@form(ChannelShuffle)
def _channel_shuffle(layer: ChannelShuffle, use: Use) -> Parts:
    """ShuffleChannel."""
    return [Part(ShuffleChannel(group=layer.group))] if layer.order == "NCHW" else None


@form(OuterReduce)
def _reduce(layer: OuterReduce, use: Use) -> Parts:
    """Reduction of the last axes."""
    axis = len(use.shapes[0]) - layer.num_reduce_dim
    reductions = {"ReduceBackSum": Reduction("SUM", axis), "ReduceBackMean": Reduction("MEAN", axis)}
    if layer.type not in reductions or len(use.shapes) > 1:
        return None
    return [Part(reductions[layer.type])]


@form(Copy)
def _copy(layer: Copy, use: Use) -> Parts:
    """Split with one top."""
    return [Part(Split())]


def _stored(arrays: Sequence[Array | None]) -> tuple[Array, ...] | None:
    """The arrays if all of them are parameters of float32."""
    found = tuple(array for array in arrays if array is not None and array.dtype == np.float32)
    return found if len(found) == len(arrays) else None
