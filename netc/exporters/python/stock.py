"""Layers that are a module of torch.nn, and convolutions that need a shape changed on the way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from netc.exporters.python.rules import Array, Code, PythonCall, constructor, number, writes
from netc.ir.layer import Layer
from netc.layers.batch_norm import BatchNorm
from netc.layers.convolution import Convolution, Deconvolution
from netc.layers.inner_product import Embed, InnerProduct
from netc.layers.normalization import LRN, MVN
from netc.layers.scale import Scale


def stock(layer: Layer, call: PythonCall) -> Code | None:
    """A layer whose arithmetic is a stock module's; None where it is not."""
    module = layer.module(call.shapes, call.tops) if len(call.bottoms) == 1 else None
    return None if module is None else Code(f"{call.module}({call.x})", constructor(module))


@writes(Convolution, Deconvolution)
def convolution(layer: Convolution | Deconvolution, call: PythonCall) -> Code | None:
    """One module for several bottoms; batch axes beside the first are folded into it for the call."""
    axis = layer.axis % call.axes
    shape = (1, *call.shapes[0][axis:])
    module = replace(layer, axis=1).module((shape,), 1)
    if module is None:
        return None
    before, behind = "", ""
    if axis == 0:
        before, behind = ".unsqueeze(0)", ".squeeze(0)"
    tops = []
    for x in call.bottoms:
        if axis > 1:
            before, behind = f".flatten(0, {axis - 1})", f".unflatten(0, {x}.shape[:{axis}])"
        tops.append(f"{call.module}({x}{before}){behind}")
    return Code(", ".join(tops), constructor(module))


@writes(InnerProduct)
def inner_product(layer: InnerProduct, call: PythonCall) -> Code:
    """nn.Linear, behind a flatten where there is something to flatten."""
    axis = layer.axis % call.axes
    inputs = 1
    for extent in call.shapes[0][axis:]:
        inputs *= extent
    x = call.x if axis == call.axes - 1 else f"{call.x}.flatten({axis})"
    bias = "" if layer.bias_term else ", bias=False"

    def state(blobs: Sequence[Array]) -> Mapping[str, Array]:
        weight = blobs[0].T if layer.transpose else blobs[0]
        return dict(zip(("weight", "bias"), (weight, *blobs[1:])))

    return Code(f"{call.module}({x})", f"nn.Linear({inputs}, {layer.num_output}{bias})", state)


@writes(Embed)
def embed(layer: Embed, call: PythonCall) -> Code:
    """A look-up, and perhaps an addition."""
    found = f"F.embedding({call.x}.long(), {call.weights[0]})"
    return Code(f"{found} + {call.weights[1]}" if layer.bias_term else found)


@writes(BatchNorm)
def batch_norm(layer: BatchNorm, call: PythonCall) -> Code | None:
    """nn.BatchNorm, with normalised statistics; a Scale behind it is its affine part."""
    if layer.use_global_stats is False or not 2 <= call.axes <= 5:
        return None
    name = {2: "BatchNorm1d", 3: "BatchNorm1d", 4: "BatchNorm2d", 5: "BatchNorm3d"}[call.axes]
    affine = "" if isinstance(call.absorbed, Scale) else ", affine=False"
    momentum = f", momentum={1 - layer.moving_average_fraction:.6g}"
    eps = "" if layer.eps == 1e-5 else f", eps={number(layer.eps)}"

    def state(blobs: Sequence[Array]) -> Mapping[str, Array]:
        mean, variance, count, *rest = blobs
        share = 0 if count[0] == 0 else 1 / count[0]
        found = {"running_mean": mean * share, "running_var": variance * share}
        if rest:
            found["weight"], found["bias"] = rest[0], rest[1] if len(rest) > 1 else rest[0] * 0
        return found

    return Code(f"{call.module}({call.x})", f"nn.{name}({call.shapes[0][1]}{eps}{momentum}{affine})", state)


@writes(LRN)
def local_response(layer: LRN, call: PythonCall) -> Code:
    """nn.LocalResponseNorm means the same across channels: its alpha is divided by the window too."""
    if layer.norm_region == "ACROSS_CHANNELS":
        numbers = {"alpha": layer.alpha, "beta": layer.beta, "k": layer.k}
        words = ", ".join(f"{word}={number(value)}" for word, value in numbers.items())
        return Code(f"{call.module}({call.x})", f"nn.LocalResponseNorm({layer.local_size}, {words})")
    arguments = f"{layer.local_size}, {number(layer.alpha)}, {number(layer.beta)}"
    return Code(f"local_response_within({call.x}, {arguments})", functions=("local_response_within",))


@writes(MVN)
def mean_variance(layer: MVN, call: PythonCall) -> Code | None:
    """The mean of planes or pictures taken away, and their deviation divided by."""
    if call.axes != 4:
        return None
    axes = [1, 2, 3] if layer.across_channels else [2, 3]
    if not layer.normalize_variance:
        return Code(f"{call.x} - {call.x}.mean({axes}, keepdim=True)")
    return Code(f"mean_variance({call.x}, {axes}, {number(layer.eps)})", functions=("mean_variance",))
