"""The options that select the net of a file: phase, level and stages."""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, Any

import click

from netc.cli.options import option, split_names

if TYPE_CHECKING:
    from collections.abc import Callable


def autocrop_option() -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The option `--autocrop`."""
    help = "Compute the offsets of Crop layers without parameters from the net, as Caffe's branch of 2015 did."
    return option("--autocrop", is_flag=True, help=help)


def state_options(phase: str | None = "test") -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorator that adds `--phase`, `--level`, `--stage` and `--autocrop`; `phase` is the default, None for both.

    The command is called with `state`: the keyword arguments `phase`, `level` and `stages` of the functions of netc.
    """
    default = {"default": phase, "show_default": True} if phase else {}
    help = "Phase of the net." if phase else "Phase of the net; by default both phases."
    choice = click.Choice(["train", "test"], case_sensitive=False)
    return _state_options(option("--phase", type=choice, help=help, **default), "net")


def train_state_options() -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorator that adds `--level` and `--stage` of a solver's train net, as `state_options` does."""
    return _state_options(None, "train net")


def _state_options(phase: Callable[..., Any] | None, net: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    stages = f"Stage to add to the state of the {net}; may be repeated or contain commas."
    options = (
        *((phase,) if phase else ()),
        option("--level", type=int, metavar="N", help=f"Level of the {net}'s state; by default that of its file."),
        option("--stage", multiple=True, metavar="STAGE", help=stages),
        autocrop_option(),
    )

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def call(*, level: int | None, stage: tuple[str, ...], autocrop: bool, **others: Any) -> Any:
            from netc.ir.coordinates import crops_computed

            state: dict[str, Any] = {"level": level, "stages": tuple(filter(None, split_names(stage)))}
            if phase:
                state["phase"] = others.pop("phase")
            with crops_computed(autocrop):
                return function(state=state, **others)

        for add in reversed(options):
            call = add(call)
        return call

    return decorate
