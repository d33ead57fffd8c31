"""Options that describe how to preprocess images."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from netc.cli.options import option

if TYPE_CHECKING:
    from netc.conversion.preprocess import PreprocessOptions

F = TypeVar("F", bound=Callable[..., Any])


def preprocess_options(command: F) -> F:
    """Decorator that adds `--mean`, `--scale`, `--order` and `--resize`."""
    options = (
        option(
            *("--mean", "--mean-file"),
            metavar="B,G,R|FILE",
            help="Mean to subtract: one value per channel, or a .binaryproto or .npy file.",
        ),
        option("--scale", "--input-scale", type=float, help="Factor to multiply by after subtracting the mean."),
        option("--order", type=click.Choice(["bgr", "rgb"]), help="Channel order of the net's input."),
        option(
            "--resize",
            "--images-dim",
            metavar="H,W",
            help="Size of images before the center crop; one number is a square.",
        ),
    )
    for add in reversed(options):
        command = add(command)
    return command


def parse_preprocessing(
    mean: str | None, scale: float | None, order: str | None, resize: str | None
) -> PreprocessOptions:
    """Parse the values of the options. Raises click.BadParameter."""
    from netc.conversion.preprocess import PreprocessOptions

    return PreprocessOptions(_mean(mean), scale, order, _size(resize))  # type: ignore[arg-type] # the order is checked by click


def _mean(text: str | None) -> str | tuple[float, ...] | None:
    """Parse numbers; anything else is the name of a file."""
    if text is None:
        return None
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        return text


def _size(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    parts = re.split("[x,]", text)
    if len(parts) > 2 or not all(re.fullmatch(r"[1-9]\d{0,4}", part) for part in parts):
        raise click.BadParameter(f"`{text}`: expected H,W with positive integers", param_hint="--resize")
    return int(parts[0]), int(parts[-1])
