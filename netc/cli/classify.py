"""`netc classify IMAGE... --model NET --weights W --labels L`: Classify images."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import click

from netc.cli.options import format_option, option, parse_shapes, shape_option, weights_option
from netc.cli.preprocessing_options import parse_preprocessing, preprocess_options
from netc.cli.state_options import state_options
from netc.cli.terminal import say, show


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
@state_options()
@shape_option()
@format_option()
@preprocess_options
def command(
    images: tuple[str, ...],
    model: str,
    weights: tuple[str, ...],
    labels: str | None,
    top: int,
    blob: str | None,
    state: dict[str, Any],
    shape: tuple[str, ...],
    style: str,
    **preprocessing: Any,
) -> None:
    """Print the most likely classes of images.

    Images are preprocessed as described by the files next to the net, unless options override it. Some options may be
    spelled as in Caffe's classify.py: `--model_def`, `--pretrained_model`, `--mean_file`, `--images_dim`,
    `--input_scale`.
    """
    shapes, flags = parse_shapes(shape), parse_preprocessing(**preprocessing)
    from netc.conversion.classify import classify

    settings: dict[str, Any] = {"labels": labels, "top": top, "blob": blob, "preprocessing": flags, "shapes": shapes}
    found = classify(images, model, weights, warn=lambda found: show([found]), **settings, **state)
    if style == "json":
        rows = [{"image": image, "classes": [asdict(one) for one in best]} for image, best in zip(images, found)]
        say(json.dumps(rows, indent=2))
        return
    for image, best in zip(images, found):
        say(image)
        for one in best:
            say(f"  {one.score:8.4f}  {one.index:5d}  {one.name}".rstrip())
