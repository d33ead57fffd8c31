"""The options that select the net of a file: phase, level and stages."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import click

from netc.cli.options import option, split_names

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def autocrop_option(default: bool | None = False) -> Decorator:
    """The option `--autocrop`."""
    help = "Compute the offsets of Crop layers without parameters from the net, as Caffe's branch of 2015 did."
    return option("--autocrop", is_flag=True, default=default, help=help)


def state_options(phase: str | None = "test") -> Decorator:
    """Decorator that adds `--phase`, `--level`, `--stage` and `--autocrop`; `phase` is the default, None for both.

    The command is called with `state`: the keyword arguments `phase`, `level`, `stages` and `autocrop` of the functions
    of netc.
    """
    default = {"default": phase, "show_default": True} if phase else {}
    help = "Phase of the net." if phase else "Phase of the net; by default both phases."
    choice = click.Choice(["train", "test"], case_sensitive=False)
    phase_option = option("--phase", type=choice, help=help, **default)
    return _as_state({"phase": phase_option, **_level_and_stages("net"), "autocrop": autocrop_option()})


def train_state_options() -> Decorator:
    """Decorator that adds `--level` and `--stage` of a solver's train net, as `state_options` does."""
    return _as_state(_level_and_stages("train net"))


def _level_and_stages(net: str) -> dict[str, Decorator]:
    stages = f"Stage to add to the state of the {net}; may be repeated or contain commas."
    level = f"Level of the {net}'s state; by default that of its file."
    return {
        "level": option("--level", type=int, metavar="N", help=level),
        "stages": option("--stage", "stages", multiple=True, metavar="STAGE", help=stages),
    }


def _as_state(options: dict[str, Decorator]) -> Decorator:
    """Decorator that adds options, by the names of their values, which it passes on as `state`."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def call(**values: Any) -> Any:
            state = {name: values.pop(name) for name in options}
            state["stages"] = tuple(filter(None, split_names(state["stages"])))
            return function(state=state, **values)

        added: Callable[..., Any] = call
        for add in reversed(options.values()):
            added = add(added)
        return added

    return decorate
