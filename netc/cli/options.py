"""Options of the verbs, in netc's and in Caffe's spellings, and the parsers of their values."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

TRUE, FALSE = frozenset("1 t true y yes".split()), frozenset("0 f false n no".split())
"""The values of gflags' switches, in either case."""


class _Option(click.Option):
    """An option that accepts several spellings and shows one of them in the help."""

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """Return the record of the first spelling."""
        spellings = self.opts
        self.opts = [name for name in spellings if name.startswith("--")][:1]
        try:
            return super().get_help_record(ctx)
        finally:
            self.opts = spellings


def option(*names: str, **settings: Any) -> Callable[[F], F]:
    """A click option that also accepts Caffe's spellings: `-solver x` for `--solver x`, `_` for `-`.

    A name without dashes names the parameter; by default the parameter has the first long name.
    """
    spellings = list(names)
    for name in names:
        if name.startswith("--") and "/" not in name:
            bare = name[2:]
            spellings += [f"-{bare}"] if len(bare) > 1 else []
            if "-" in bare:
                spellings += [f"--{bare.replace('-', '_')}", f"-{bare.replace('-', '_')}"]
    if all(name.startswith("-") for name in names):
        first = next(name for name in names if name.startswith("--")).split("/")[0]
        spellings.insert(0, first[2:].replace("-", "_"))
    return click.option(*spellings, cls=_Option, **settings)


class _Switch(_Option):
    """A flag whose negation is not shown in the help."""

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """Return the record of the first spelling."""
        negations, self.secondary_opts = self.secondary_opts, []
        try:
            return super().get_help_record(ctx)
        finally:
            self.secondary_opts = negations


def switch(name: str, **settings: Any) -> Callable[[F], F]:
    """A flag as in Caffe's tools: `--gray`, `--nogray`, and in a `SwitchCommand` `--gray=false`."""
    parameter = name[2:].replace("-", "_")
    spellings = [f"{dashes}{bare}/{dashes}no{bare}" for bare in (name[2:], parameter) for dashes in ("--", "-")]
    return click.option(parameter, *dict.fromkeys(spellings), cls=_Switch, default=False, **settings)


class SwitchCommand(click.Command):
    """A command whose switches also accept values, as in gflags: `--gray=false`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """See click.Command."""
        end = args.index("--") if "--" in args else len(args)
        return super().parse_args(ctx, [*map(self._plain, args[:end]), *args[end:]])

    def _plain(self, argument: str) -> str:
        """Return `--gray` for `--gray=true`, `--nogray` for `--gray=false`, and anything else unchanged."""
        name, _, value = argument.partition("=")
        for parameter in self.params:
            if isinstance(parameter, _Switch) and name in parameter.opts and value.lower() in TRUE | FALSE:
                return name if value.lower() in TRUE else parameter.secondary_opts[0]
        return argument


def shape_option() -> Callable[[F], F]:
    """The option `--shape BLOB=N,C,H,W`, whose values `parse_shapes` reads."""
    help = "Shape of a blob whose size depends on its data; may be repeated."
    return option("--shape", multiple=True, metavar="BLOB=N,C,H,W", help=help)


def weights_option(*spellings: str, help: str = "Trained weights; may be repeated.") -> Callable[[F], F]:
    """The option `--weights FILE`, also under other spellings."""
    return option("--weights", *spellings, multiple=True, metavar="FILE", help=help)


def format_option(*formats: str) -> Callable[[F], F]:
    """The option `--format`; the parameter is `style`."""
    choice = click.Choice(formats or ("text", "json"))
    return option("--format", "style", type=choice, default="text", show_default=True, help="Output format.")


def set_option() -> Callable[[F], F]:
    """The option `--set NAME=VALUE`, which fills in a template; `parse_values` reads its values."""
    help = "Value of a template's placeholder; may be repeated."
    return option("--set", "set_", multiple=True, metavar="NAME=VALUE", help=help)


def parse_shapes(values: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """Parse `--shape data=1,3,224,224` as {blob: shape}. Raises click.BadParameter."""
    shapes = {}
    for value in values:
        blob, _, numbers = value.rpartition("=")
        extents = numbers.replace("x", ",").split(",")
        if not blob or not all(re.fullmatch(r"[1-9]\d{0,9}", extent) for extent in extents):
            raise click.BadParameter(f"`{value}`: expected BLOB=N,C,H,W with positive integers", param_hint="--shape")
        shapes[blob] = tuple(map(int, extents))
    return shapes


def parse_values(values: Sequence[str]) -> dict[str, str]:
    """Parse `--set x=21` as {name: value}. Raises click.BadParameter."""
    parsed = {}
    for assignment in values:
        name, equals, value = assignment.partition("=")
        if not equals or not name.isidentifier():
            raise click.BadParameter(f"`{assignment}`: expected NAME=VALUE", param_hint="--set")
        parsed[name] = value
    return parsed


def split_names(values: Sequence[str]) -> list[str]:
    """The names in the values of an option that may be repeated or contain commas.

    >>> split_names(["a,b", "c"])
    ['a', 'b', 'c']
    """
    return [name for value in values for name in value.split(",")]
