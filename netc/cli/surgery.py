"""`netc surgery VERB NET --weights W --output OUT`: trained nets changed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from netc.cli.output import option, parse_shapes

if TYPE_CHECKING:
    from netc.ir.graph import Graph


@click.group(name="surgery")
def command() -> None:
    """Change a trained net; OUT is a .prototxt, its .caffemodel stands beside it."""


def _verb(name: str) -> Callable[[Callable[..., Any]], click.Command]:
    """A verb with the arguments that all have."""

    def add(function: Callable[..., Any]) -> click.Command:
        for decorate in (
            option("--shape", multiple=True, metavar="BLOB=N,C,H,W", help="Shape of a blob that only data would tell."),
            option("--output", required=True, metavar="OUT", help="The .prototxt to write."),
            option("--weights", multiple=True, metavar="FILE", help="Trained weights; may be repeated."),
            click.argument("net"),
        ):
            function = decorate(function)
        return command.command(name=name)(function)

    return add


def _open(net: str, weights: tuple[str, ...], shape: tuple[str, ...]) -> Graph:
    from netc.compiler import weighted
    from netc.conversion.models import open_net

    return weighted(open_net(net, weights, shapes=parse_shapes(shape)))


def _write(model: Graph, output: str) -> None:
    from netc.conversion.writers import write_caffe

    for file in write_caffe(model, Path(output)):
        click.echo(f"wrote {file}")


@_verb("fc-to-conv")
@option("--layer", multiple=True, metavar="NAME", help="An inner product; without any, all that read pictures.")
def fc_to_conv(net: str, weights: tuple[str, ...], output: str, shape: tuple[str, ...], layer: tuple[str, ...]) -> None:
    """Turn inner products into convolutions, so that larger pictures give maps of scores."""
    from netc.conversion import surgery

    _write(surgery.fc_to_conv(_open(net, weights, shape), layer), output)


@_verb("classes")
@option("--layer", required=True, metavar="NAME", help="The layer that gives a score for each class.")
@option("--count", required=True, type=click.IntRange(1), help="How many classes there are to be.")
@option("--rename", metavar="NAME", help="A new name for the layer, so that old weights are not copied into it.")
@option("--seed", type=int, help="Of the layer's new weights.")
def classes(
    net: str,
    weights: tuple[str, ...],
    output: str,
    shape: tuple[str, ...],
    layer: str,
    count: int,
    rename: str | None,
    seed: int | None,
) -> None:
    """Give a layer another number of outputs; it starts afresh."""
    from netc.conversion import surgery

    _write(surgery.classes(_open(net, weights, shape), layer, count, rename, seed), output)


@_verb("fold")
def fold(net: str, weights: tuple[str, ...], output: str, shape: tuple[str, ...]) -> None:
    """Fold BatchNorm and Scale into the layers before them, and take dropout out."""
    from netc.conversion import surgery

    _write(surgery.fold(_open(net, weights, shape)), output)


@_verb("drop")
@option("--layer", multiple=True, required=True, metavar="NAME", help="A layer to take out; may be repeated.")
def drop(net: str, weights: tuple[str, ...], output: str, shape: tuple[str, ...], layer: tuple[str, ...]) -> None:
    """Take layers out: who read them reads what they read."""
    from netc.conversion import surgery

    _write(surgery.drop(_open(net, weights, shape), layer), output)


@_verb("rename")
@option("--layer", multiple=True, required=True, metavar="OLD=NEW", help="A layer and its new name; may be repeated.")
def rename(net: str, weights: tuple[str, ...], output: str, shape: tuple[str, ...], layer: tuple[str, ...]) -> None:
    """Give layers other names."""
    from netc.conversion import surgery

    pairs = [one.partition("=") for one in layer]
    if any(not old or not new for old, _, new in pairs):
        raise click.BadParameter("write OLD=NEW", param_hint="--layer")
    names = {old: new for old, _, new in pairs}
    _write(surgery.rename(_open(net, weights, shape), names), output)


@_verb("crop")
@option("--blob", required=True, metavar="NAME", help="The blob that is to be the net's output.")
def crop(net: str, weights: tuple[str, ...], output: str, shape: tuple[str, ...], blob: str) -> None:
    """Cut a net off behind a blob."""
    from netc.conversion import surgery

    _write(surgery.crop(_open(net, weights, shape), blob), output)
