"""`netc classify IMAGE... --model NET --weights W --labels L`: Classify images."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from netc.cli.options import format_option, option, parse_shapes, shape_option, weights_option
from netc.cli.preprocessing_options import parse_preprocessing, preprocess_options
from netc.cli.state_options import state_options
from netc.cli.terminal import say, show
from netc.diagnostics import counted

if TYPE_CHECKING:
    from numpy.typing import NDArray

_CAFFES = ("raw_scale", "channel_swap", "center_only", "ext")
"""Options that only a call with an output file has."""
_OWN = ("labels", "top", "blob", "order", "shape", "style", "phase", "level", "stages", "autocrop")
"""Options that only a call without an output file has."""


@click.command(name="classify")
@click.argument("images", nargs=-1, required=True)
@option(
    *("--model", "--model-def"),
    required=True,
    metavar="FILE",
    help="The net: a prototxt, or a .caffemodel written by Caffe.",
)
@weights_option("--pretrained-model")
@option("--labels", metavar="FILE", help="File with the class names, one per line.")
@option("--top", type=click.IntRange(1), default=5, show_default=True, help="Number of classes to print.")
@option("--blob", metavar="NAME", help="Output blob with the scores; required if the net has several outputs.")
@option("--gpu", is_flag=True, help="Run on the first GPU instead of the CPU.")
@option("--raw-scale", type=float, metavar="S", help="OUTPUT.npy: factor of images from 0 to 1.  [default: 255]")
@option("--channel-swap", metavar="I,J,K", help="OUTPUT.npy: order of the image's channels.  [default: 2,1,0, BGR]")
@option("--center-only", is_flag=True, help="OUTPUT.npy: scores of the center crop, not the mean over ten crops.")
@option("--ext", metavar="EXT", help="OUTPUT.npy: extension of the images in a folder.  [default: jpg]")
@state_options()
@shape_option()
@format_option()
@preprocess_options
@click.pass_context
def command(
    ctx: click.Context,
    /,
    images: tuple[str, ...],
    model: str,
    weights: tuple[str, ...],
    labels: str | None,
    top: int,
    blob: str | None,
    gpu: bool,
    raw_scale: float | None,
    channel_swap: str | None,
    center_only: bool,
    ext: str | None,
    state: dict[str, Any],
    shape: tuple[str, ...],
    style: str,
    **preprocessing: Any,
) -> None:
    """Print the most likely classes of images.

    Images are preprocessed as described by the files next to the net, unless options override it.

    `netc classify INPUT OUTPUT.npy` does what Caffe's classify.py does: INPUT is an image, a folder or a .npy file of
    images, and the scores are written to OUTPUT.npy. Its options may be spelled as there: `--model_def`,
    `--pretrained_model`, `--mean_file`, `--images_dim`, `--input_scale`, `--raw_scale`, `--channel_swap`.
    """
    shapes, flags = parse_shapes(shape), parse_preprocessing(**preprocessing)
    writes = len(images) == 2 and images[1].endswith(".npy")
    if writes:
        _refuse(ctx, _OWN, "does not apply to an output file")
    else:
        _refuse(ctx, _CAFFES, "requires an output file: `netc classify INPUT OUTPUT.npy`")
    swap: dict[str, Any] = {} if channel_swap is None else {"channel_swap": _channels(channel_swap)}
    from netc.conversion.preprocess import read_mean
    from netc.pycaffe.classify_files import classify_files
    from netc.pycaffe.mode import device, set_mode_cpu, set_mode_gpu

    (set_mode_gpu if gpu else set_mode_cpu)()
    if writes:
        values = {"images_dim": flags.resize, "input_scale": flags.scale, "raw_scale": raw_scale, "ext": ext}
        given: dict[str, Any] = {name: value for name, value in values.items() if value is not None}
        if flags.mean is not None:
            given["mean"] = read_mean(flags.mean)
        scores = classify_files(images[0], model, weights, center_only=center_only, **swap, **given)
        _write_array(images[1], scores)
        say(f"{images[1]}: {counted(len(scores), 'image')}, {counted(scores.shape[-1], 'class')}")
        return
    from netc.conversion.classify import classify

    settings: dict[str, Any] = {"labels": labels, "top": top, "blob": blob, "preprocessing": flags, "shapes": shapes}
    settings["device"] = device()
    found = classify(images, model, weights, warn=lambda found: show([found]), **settings, **state)
    if style == "json":
        rows = [{"image": image, "classes": [asdict(one) for one in best]} for image, best in zip(images, found)]
        say(json.dumps(rows, indent=2))
        return
    for image, best in zip(images, found):
        say(image)
        for one in best:
            say(f"  {one.score:8.4f}  {one.index:5d}  {one.name}".rstrip())


def _write_array(target: str, values: NDArray[Any]) -> None:
    import numpy as np

    from netc.weights.atomic import atomic_write

    with atomic_write(target) as file:
        np.save(file, values)


def _channels(text: str) -> tuple[int, ...] | None:
    """Parse `--channel-swap`; an empty text keeps the order."""
    try:
        return tuple(int(part) for part in text.split(",")) if text else None
    except ValueError:
        raise click.BadParameter(f"`{text}`: expected integers", param_hint="--channel-swap") from None


def _refuse(ctx: click.Context, names: tuple[str, ...], reason: str) -> None:
    for parameter in ctx.command.params:
        name = parameter.name or ""
        if name in names and ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            shown = next(spelling for spelling in parameter.opts if spelling.startswith("--"))
            raise click.UsageError(f"`{shown}` {reason}")
