"""`netc detect IMAGE... --model NET --weights W --labels MAP`: Detect objects in images."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from netc.cli.options import format_option, option, parse_shapes, shape_option, weights_option
from netc.cli.preprocessing_options import parse_preprocessing, preprocess_options
from netc.cli.state_options import state_options
from netc.cli.terminal import say
from netc.diagnostics import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from netc.conversion.detect import ImageDetections


@click.command(name="detect")
@click.argument("images", nargs=-1, required=True)
@option("--model", required=True, metavar="FILE", help="The net: a prototxt, or a .caffemodel written by Caffe.")
@weights_option()
@option("--labels", metavar="FILE", help="Label map (.prototxt), or a file with the name of a label per line, from 0.")
@option("--threshold", type=click.FloatRange(0), default=0.5, show_default=True, help="Lowest score to print.")
@option("--draw", metavar="FOLDER", help="Write the images with their objects into this folder.")
@option("--blob", metavar="NAME", help="Blob with the detections.  [default: the last with rows of seven values]")
@option(
    "--short-side", type=click.IntRange(1), default=600, show_default=True, help="R-CNN: shorter side of the input."
)
@option("--long-side", type=click.IntRange(1), default=1000, show_default=True, help="R-CNN: limit of the longer side.")
@option("--overlap", type=click.FloatRange(0, 1), default=0.3, show_default=True, help="R-CNN: overlap of two objects.")
@option("--box-deviations", metavar="X,Y,W,H", help="R-CNN: factors of the box codes that the weights do not include.")
@state_options()
@shape_option()
@format_option()
@preprocess_options
def command(
    images: tuple[str, ...],
    model: str,
    weights: tuple[str, ...],
    labels: str | None,
    threshold: float,
    draw: str | None,
    blob: str | None,
    short_side: int,
    long_side: int,
    overlap: float,
    box_deviations: str | None,
    state: dict[str, Any],
    shape: tuple[str, ...],
    style: str,
    **preprocessing: Any,
) -> None:
    """Print the objects in images of any size: scores, names, and boxes in pixels.

    For nets of the SSD and YOLO families, whose output is rows of detections, and of the R-CNN family, with regions,
    scores and box codes. Images are preprocessed as described by the files next to the net, unless options override it.
    """
    shapes, flags = parse_shapes(shape), parse_preprocessing(**preprocessing)
    deviations = _deviations(box_deviations)
    from netc.conversion.detect import detect
    from netc.conversion.detections import RegionSettings
    from netc.conversion.drawing import draw_detections

    regions = RegionSettings(short_side, long_side, overlap, deviations)
    settings: dict[str, Any] = {"labels": labels, "threshold": threshold, "blob": blob, "regions": regions}
    found = detect(images, model, weights, preprocessing=flags, shapes=shapes, **settings, **state)
    drawn = draw_detections(found, draw) if draw else []
    if style == "json":
        say(json.dumps([_plain(one) for one in found], indent=2))
        return
    say("\n".join(_lines(found)))
    if draw:
        say(f"{draw}: {counted(len(drawn), 'image')}")


def _plain(found: ImageDetections) -> dict[str, Any]:
    height, width = found.size
    return {"image": found.image, "height": height, "width": width, "objects": [asdict(one) for one in found.objects]}


def _lines(found: Sequence[ImageDetections]) -> list[str]:
    """A table of each image."""
    lines = []
    for image in found:
        lines.append(f"{image.image}: {counted(len(image.objects), 'object')}")
        widest = max((len(one.name or str(one.label)) for one in image.objects), default=0)
        for one in image.objects:
            box = " ".join(f"{side:7.1f}" for side in one.box)
            lines.append(f"  {one.score:6.4f}  {one.name or one.label:<{widest}}  {box}")
    return lines


def _deviations(text: str | None) -> tuple[float, ...]:
    if text is None:
        return ()
    try:
        found = tuple(float(part) for part in text.split(","))
    except ValueError:
        found = ()
    if len(found) != 4:
        raise click.BadParameter(f"`{text}`: expected four numbers", param_hint="--box-deviations")
    return found
