"""`netc convert NET --weights W --to FORMAT --output OUT`: Convert a net to other formats."""

from __future__ import annotations

from typing import Any

import click

from netc.cli.options import option, parse_shapes, shape_option, weights_option
from netc.cli.preprocessing_options import parse_preprocessing, preprocess_options
from netc.cli.state_options import state_options
from netc.cli.terminal import say, show
from netc.conversion.formats import FORMATS


@click.command(name="convert")
@click.argument("net")
@weights_option(help="A .caffemodel, .h5, .safetensors or .pt file; may be repeated.")
@option(
    "--to",
    type=click.Choice(list(FORMATS)),
    required=True,
    help="Output format.",
)
@option("--output", required=True, metavar="OUT", help="Output file; files that belong to it are written next to it.")
@option("--fold", is_flag=True, help="Fold BatchNorm and Scale into the preceding layers, and remove dropout.")
@option("--half", type=click.Choice(["fp16", "bf16"]), help="Convert weights and arithmetic to half precision.")
@option("--scores", is_flag=True, help="Replace losses by scores (SoftmaxWithLoss by Softmax), and leave labels out.")
@option("--input-stage", is_flag=True, help="Let the ONNX or .py model accept RGB images as uint8, shape (n, h, w, 3).")
@option("--allow-mismatch", is_flag=True, help="Reinitialize layers whose blobs have other shapes in the weights file.")
@option(
    "--reshape",
    is_flag=True,
    help="Reshape blobs of equal size to the net's shapes, as from fully connected to convolution.",
)
@option(
    "--dynamic",
    metavar="AXES",
    default="n",
    show_default=True,
    help="Axes of inputs that a .py, ONNX or .pt2 model accepts in any size: n, h and w, separated by commas.",
)
@option(
    "--dialect",
    metavar="NAME",
    help="Fork of Caffe that NET is for (detected by default), and that `--to caffe` writes for (BVLC by default).",
)
@option("--scope", metavar="PREFIX", default="", help="Prefix to remove from the names of a Caffe2 net's blobs: gpu_0/")
@state_options()
@shape_option()
@preprocess_options
def command(
    net: str,
    weights: tuple[str, ...],
    to: str,
    output: str,
    fold: bool,
    half: str | None,
    scores: bool,
    input_stage: bool,
    allow_mismatch: bool,
    reshape: bool,
    dynamic: str,
    dialect: str | None,
    scope: str,
    state: dict[str, Any],
    shape: tuple[str, ...],
    mean: str | None,
    scale: float | None,
    order: str | None,
    resize: str | None,
) -> None:
    """Convert a net with its weights to safetensors, a state_dict, Caffe's own files, Python code, ONNX or .pt2.

    NET is a prototxt, or a .caffemodel written by Caffe, which contains the net. A JSON file next to OUT describes how
    to preprocess images.
    """
    if allow_mismatch and reshape:
        raise click.UsageError("`--allow-mismatch` and `--reshape` exclude each other")
    axes = [letter.strip() for letter in dynamic.split(",")]
    if not set(axes) <= {"n", "h", "w"}:
        raise click.BadParameter(f"`{dynamic}`: expected n, h and w, separated by commas", param_hint="--dynamic")
    shapes = parse_shapes(shape)
    preprocessing = parse_preprocessing(mean, scale, order, resize)
    from netc.conversion.convert import convert

    result = convert(
        net,
        weights,
        to=to,  # type: ignore[arg-type] # checked by click
        output=output,
        fold=fold,
        half=half,  # type: ignore[arg-type]
        scores=scores,
        input_stage=input_stage,
        preprocessing=preprocessing,
        shapes=shapes,
        misfits="skip" if allow_mismatch else "reshape" if reshape else "refuse",
        dialect=dialect,
        scope=scope,
        dynamic=axes,
        **state,
    )
    show(result.warnings)
    for file in result.files:
        say(f"wrote {file}")
