"""`netc surgery VERB NET --weights W --output OUT`: Modify a trained net."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from netc.cli.options import option, parse_shapes, shape_option, weights_option

if TYPE_CHECKING:
    from netc.ir.graph import Graph


@click.group(name="surgery")
def command() -> None:
    """Modify a trained net.

    OUT is a .prototxt; its .caffemodel is written next to it.
    """


def _verb(name: str) -> Callable[[Callable[..., Any]], click.Command]:
    """Register a sub-command with the arguments that all share."""

    def add(function: Callable[..., Any]) -> click.Command:
        for decorate in (
            shape_option(),
            option("--output", required=True, metavar="OUT", help="The .prototxt to write."),
            weights_option(),
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
@option(
    "--layer",
    multiple=True,
    metavar="NAME",
    help="Layer to convert; by default all that read images.",
)
def fc_to_conv(net: str, weights: tuple[str, ...], output: str, shape: tuple[str, ...], layer: tuple[str, ...]) -> None:
    """Convert inner products to convolutions, so that larger images produce maps of scores."""
    from netc.conversion import surgery

    _write(surgery.fc_to_conv(_open(net, weights, shape), layer), output)


@_verb("classes")
@option("--layer", required=True, metavar="NAME", help="Layer that outputs one score per class.")
@option("--count", required=True, type=click.IntRange(1), help="New number of classes.")
@option("--rename", metavar="NAME", help="New name of the layer, so that old weights are not copied into it.")
@option("--seed", type=int, help="Random seed of the layer's new weights.")
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
    """Change the number of outputs of a layer and reinitialize its weights."""
    from netc.conversion import surgery

    _write(surgery.classes(_open(net, weights, shape), layer, count, rename, seed), output)


@_verb("fold")
def fold(net: str, weights: tuple[str, ...], output: str, shape: tuple[str, ...]) -> None:
    """Fold BatchNorm and Scale into the preceding layers, and remove dropout."""
    from netc.conversion import surgery

    _write(surgery.fold(_open(net, weights, shape)), output)


@_verb("drop")
@option("--layer", multiple=True, required=True, metavar="NAME", help="Layer to remove; may be repeated.")
def drop(net: str, weights: tuple[str, ...], output: str, shape: tuple[str, ...], layer: tuple[str, ...]) -> None:
    """Remove layers: the layers that read them are connected to their inputs."""
    from netc.conversion import surgery

    _write(surgery.drop(_open(net, weights, shape), layer), output)


@_verb("rename")
@option("--layer", multiple=True, required=True, metavar="OLD=NEW", help="Layer and its new name; may be repeated.")
def rename(net: str, weights: tuple[str, ...], output: str, shape: tuple[str, ...], layer: tuple[str, ...]) -> None:
    """Rename layers."""
    from netc.conversion import surgery

    pairs = [pair.partition("=") for pair in layer]
    if any(not old or not new for old, _, new in pairs):
        raise click.BadParameter("expected OLD=NEW", param_hint="--layer")
    names = {old: new for old, _, new in pairs}
    _write(surgery.rename(_open(net, weights, shape), names), output)


@_verb("crop")
@option("--blob", required=True, metavar="NAME", help="Blob that becomes the output of the net.")
def crop(net: str, weights: tuple[str, ...], output: str, shape: tuple[str, ...], blob: str) -> None:
    """Remove all layers after a blob."""
    from netc.conversion import surgery

    _write(surgery.crop(_open(net, weights, shape), blob), output)
