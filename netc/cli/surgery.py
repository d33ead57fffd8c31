"""`netc surgery VERB NET --weights W --output OUT`: Modify a trained net."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from netc.cli.options import option, parse_shapes, shape_option, weights_option
from netc.cli.state_options import state_options
from netc.cli.terminal import say

if TYPE_CHECKING:
    from collections.abc import Callable

    from netc.ir.graph import Graph


@click.group(name="surgery")
def command() -> None:
    """Modify a trained net.

    OUT is a .prototxt; its .caffemodel is written next to it.
    """


def _verb(name: str) -> Callable[[Callable[..., Graph]], click.Command]:
    """Decorator for a verb of `netc surgery`, with the arguments of all verbs; the function returns the new net."""

    def add(function: Callable[..., Graph]) -> click.Command:
        @functools.wraps(function)
        def run(
            net: str,
            weights: tuple[str, ...],
            output: str,
            state: dict[str, Any],
            shape: tuple[str, ...],
            dialect: str | None,
            **settings: Any,
        ) -> None:
            _write(function(_open(net, weights, state, shape, dialect), **settings), output, dialect)

        decorated: Callable[..., Any] = run
        for decorate in (
            shape_option(),
            state_options(),
            option("--dialect", metavar="NAME", help="Fork of Caffe that NET and OUT are for (default of OUT: BVLC)."),
            option("--output", required=True, metavar="OUT", help="The .prototxt to write."),
            weights_option(),
            click.argument("net"),
        ):
            decorated = decorate(decorated)
        return command.command(name=name)(decorated)

    return add


def _open(
    net: str, weights: tuple[str, ...], state: dict[str, Any], shape: tuple[str, ...], dialect: str | None
) -> Graph:
    from netc.compiler import state_choice, weighted
    from netc.conversion.models import open_net

    choice = state_choice(**state)
    return weighted(open_net(net, weights, shapes=parse_shapes(shape), dialect=dialect, state=choice))


def _write(model: Graph, output: str, dialect: str | None) -> None:
    from netc.conversion.writers import write_caffe

    for file in write_caffe(model, Path(output), dialect):
        say(f"wrote {file}")


@_verb("fc-to-conv")
@option(
    "--layer",
    multiple=True,
    metavar="NAME",
    help="Layer to convert; may be repeated. By default all layers that read images.",
)
def fc_to_conv(model: Graph, layer: tuple[str, ...]) -> Graph:
    """Convert inner products to convolutions, so that larger images produce maps of scores."""
    from netc.conversion import surgery

    return surgery.fc_to_conv(model, layer)


@_verb("classes")
@option("--layer", required=True, metavar="NAME", help="Layer that outputs one score per class.")
@option("--count", required=True, type=click.IntRange(1), help="New number of classes.")
@option("--rename", metavar="NAME", help="New name of the layer, so that old weights are not copied into it.")
@option("--seed", type=int, help="Random seed of the layer's new weights.")
def classes(
    model: Graph,
    layer: str,
    count: int,
    rename: str | None,
    seed: int | None,
) -> Graph:
    """Change the number of outputs of a layer and reinitialize its weights."""
    from netc.conversion import surgery

    return surgery.classes(model, layer, count, rename, seed)


@_verb("fold")
def fold(model: Graph) -> Graph:
    """Fold BatchNorm and Scale into the preceding layers, and remove dropout."""
    from netc.conversion import surgery

    return surgery.fold(model)


@_verb("drop")
@option("--layer", multiple=True, required=True, metavar="NAME", help="Layer to remove; may be repeated.")
def drop(model: Graph, layer: tuple[str, ...]) -> Graph:
    """Remove layers: the layers that read them are connected to their inputs."""
    from netc.conversion import surgery

    return surgery.drop(model, layer)


@_verb("rename")
@option("--layer", multiple=True, required=True, metavar="OLD=NEW", help="Layer and its new name; may be repeated.")
def rename(model: Graph, layer: tuple[str, ...]) -> Graph:
    """Rename layers."""
    from netc.conversion import surgery

    pairs = [pair.partition("=") for pair in layer]
    if any(not old or not new for old, _, new in pairs):
        raise click.BadParameter("expected OLD=NEW", param_hint="--layer")
    names = {old: new for old, _, new in pairs}
    return surgery.rename(model, names)


@_verb("crop")
@option("--blob", required=True, metavar="NAME", help="Blob that becomes the output of the net.")
def crop(model: Graph, blob: str) -> Graph:
    """Remove all layers after a blob."""
    from netc.conversion import surgery

    return surgery.crop(model, blob)
