"""Options that tell what a picture goes through before a net."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from netc.cli.output import option

if TYPE_CHECKING:
    from netc.conversion.preprocess import PreprocessOptions

F = TypeVar("F", bound=Callable[..., Any])


def preprocess_options(command: F) -> F:
    """Adds `--mean`, `--scale`, `--order` and `--resize`."""
    options = (
        option(
            "--mean", metavar="B,G,R|FILE", help="Taken away: numbers in the input's order, or a .binaryproto or .npy."
        ),
        option("--scale", type=float, help="Factor behind the mean."),
        option("--order", type=click.Choice(["bgr", "rgb"]), help="What colour stands first in the net's input."),
        option("--resize", metavar="H,W", help="Resize to this before the middle is cut out; one number is a square."),
    )
    for add in reversed(options):
        command = add(command)
    return command


def parse_told(mean: str | None, scale: float | None, order: str | None, resize: str | None) -> PreprocessOptions:
    """The options' values. Raises click.BadParameter."""
    from netc.conversion.preprocess import PreprocessOptions

    return PreprocessOptions(_mean(mean), scale, order, _size(resize))  # type: ignore[arg-type] # click has checked the order


def _mean(text: str | None) -> str | tuple[float, ...] | None:
    """Numbers, else the name of a file."""
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
        raise click.BadParameter(f"`{text}`: write H,W with positive numbers", param_hint="--resize")
    return int(parts[0]), int(parts[-1])
