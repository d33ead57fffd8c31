"""`netc classify IMAGE... --model NET --weights W --labels L`: what is in pictures."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import click

from netc.cli.image_options import parse_told, preprocess_options
from netc.cli.output import option, parse_shapes


@click.command(name="classify")
@click.argument("images", nargs=-1, required=True)
@option("--model", required=True, metavar="FILE", help="The net; a .caffemodel that Caffe wrote holds one.")
@option("--weights", multiple=True, metavar="FILE", help="Trained weights; may be repeated.")
@option("--labels", metavar="FILE", help="The classes' names, one a line.")
@option("--top", type=click.IntRange(1), default=5, show_default=True, help="How many classes are shown.")
@option("--blob", metavar="NAME", help="The scores, where the net has several outputs.")
@option("--shape", multiple=True, metavar="BLOB=N,C,H,W", help="Shape of a blob that only data would tell.")
@option("--format", "format_", type=click.Choice(["text", "json"]), default="text", help="How classes are printed.")
@preprocess_options
def command(
    images: tuple[str, ...],
    model: str,
    weights: tuple[str, ...],
    labels: str | None,
    top: int,
    blob: str | None,
    shape: tuple[str, ...],
    format_: str,
    **told: Any,
) -> None:
    """Print the most likely classes of pictures, with the preprocessing that the net's own files tell."""
    shapes, flags = parse_shapes(shape), parse_told(**told)
    from netc.conversion.classify import classify

    found = classify(images, model, weights, labels=labels, top=top, blob=blob, told=flags, shapes=shapes)
    if format_ == "json":
        rows = [{"image": image, "classes": [asdict(one) for one in best]} for image, best in zip(images, found)]
        click.echo(json.dumps(rows, indent=2))
        return
    for image, best in zip(images, found):
        click.echo(image)
        for one in best:
            click.echo(f"  {one.score:8.4f}  {one.index:5d}  {one.name}".rstrip())
