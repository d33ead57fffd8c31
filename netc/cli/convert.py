"""`netc convert NET --weights W --to FORMAT --output OUT`: a net for others to run."""

from __future__ import annotations

import click

from netc.cli.image_options import parse_told, preprocess_options
from netc.cli.output import option, parse_shapes, show


@click.command(name="convert")
@click.argument("net")
@option("--weights", multiple=True, metavar="FILE", help="A .caffemodel, .h5, .safetensors or .pt; may be repeated.")
@option(
    "--to",
    type=click.Choice(["safetensors", "pt", "caffe", "py", "onnx", "pt2"]),
    required=True,
    help="What is written.",
)
@option("--output", required=True, metavar="OUT", help="The file to write; others that belong to it stand beside it.")
@option("--fold", is_flag=True, help="Fold BatchNorm and Scale into the layers before them; drop dropout.")
@option("--half", type=click.Choice(["fp16", "bf16"]), help="Weights and arithmetic in half precision.")
@option("--scores", is_flag=True, help="Put a Softmax where a training net has a SoftmaxWithLoss.")
@option("--input-stage", is_flag=True, help="ONNX and .py take RGB pictures of bytes, (n, h, w, 3).")
@option("--allow-mismatch", is_flag=True, help="Layers whose blobs have other shapes in the file start afresh.")
@option(
    "--reshape", is_flag=True, help="Read blobs of equal counts in the net's shapes (fully connected, convolution)."
)
@option("--dialect", metavar="NAME", help="Whose Caffe wrote a NET that is a .caffemodel, where the guess is wrong.")
@option("--shape", multiple=True, metavar="BLOB=N,C,H,W", help="Shape of a blob that only data would tell.")
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
    dialect: str | None,
    shape: tuple[str, ...],
    mean: str | None,
    scale: float | None,
    order: str | None,
    resize: str | None,
) -> None:
    """Write a net with its weights as safetensors, a state_dict, Caffe's own files, a .py, ONNX or .pt2.

    NET is a prototxt, or a .caffemodel that Caffe wrote: it holds its net. A JSON file beside OUT tells what a picture
    goes through before the net.
    """
    if allow_mismatch and reshape:
        raise click.UsageError("`--allow-mismatch` and `--reshape` exclude each other")
    shapes = parse_shapes(shape)
    told = parse_told(mean, scale, order, resize)
    from netc.conversion.convert import convert

    done = convert(
        net,
        weights,
        to=to,  # type: ignore[arg-type] # click has checked it
        output=output,
        fold=fold,
        half=half,  # type: ignore[arg-type]
        scores=scores,
        input_stage=input_stage,
        told=told,
        shapes=shapes,
        misfits="skip" if allow_mismatch else "reshape" if reshape else "refuse",
        dialect=dialect,
    )
    show(done.warnings)
    for file in done.files:
        click.echo(f"wrote {file}")
