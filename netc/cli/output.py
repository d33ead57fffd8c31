"""What all verbs print alike: findings on stderr, coloured on a terminal; options in Caffe's spellings."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from netc.diagnostics import Diagnostic, render

F = TypeVar("F", bound=Callable[..., Any])

TRUE, FALSE = frozenset("1 t true y yes".split()), frozenset("0 f false n no".split())
"""The values of gflags' switches, in either case."""

_HEAD = re.compile(r"^(error|warning)(\[\w+\]): (.*)$", re.MULTILINE)
_COLOURS = {"error": "red", "warning": "yellow"}


def show(diagnostics: Sequence[Diagnostic]) -> None:
    """Print findings on stderr."""
    if not diagnostics:
        return
    text = render(diagnostics)
    if sys.stderr.isatty():
        text = _HEAD.sub(_coloured, text)
    click.echo(text, err=True)


def _coloured(match: re.Match[str]) -> str:
    severity, code, message = match.groups()
    return f"{click.style(severity + code, fg=_COLOURS[severity], bold=True)}: {click.style(message, bold=True)}"


class _Option(click.Option):
    """Shows one spelling in the help, and takes all."""

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """The record of the first spelling alone."""
        spellings = self.opts
        self.opts = [name for name in spellings if name.startswith("--")][:1]
        try:
            return super().get_help_record(ctx)
        finally:
            self.opts = spellings


def option(*names: str, **settings: Any) -> Callable[[F], F]:
    """A click option that also takes Caffe's spellings: `-solver x` for `--solver x`, `_` for `-`.

    A name without dashes is the parameter's; without one the first long name gives it.
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
    """Shows no negation in the help."""

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """The record of the first spelling alone."""
        negations, self.secondary_opts = self.secondary_opts, []
        try:
            return super().get_help_record(ctx)
        finally:
            self.secondary_opts = negations


def switch(name: str, **settings: Any) -> Callable[[F], F]:
    """A flag of one of Caffe's tools: `--gray`, `--nogray`, and in a `SwitchCommand` `--gray=false`."""
    parameter = name[2:].replace("-", "_")
    spellings = [f"{dashes}{bare}/{dashes}no{bare}" for bare in (name[2:], parameter) for dashes in ("--", "-")]
    return click.option(parameter, *dict.fromkeys(spellings), cls=_Switch, default=False, **settings)


class SwitchCommand(click.Command):
    """A command whose switches also take their value as gflags do: `--gray=false`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """See click.Command."""
        end = args.index("--") if "--" in args else len(args)
        return super().parse_args(ctx, [*map(self._plain, args[:end]), *args[end:]])

    def _plain(self, argument: str) -> str:
        """`--gray` for `--gray=true`, `--nogray` for `--gray=false`, all else as it is."""
        name, _, value = argument.partition("=")
        for parameter in self.params:
            if isinstance(parameter, _Switch) and name in parameter.opts and value.lower() in TRUE | FALSE:
                return name if value.lower() in TRUE else parameter.secondary_opts[0]
        return argument


def parse_shapes(values: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """The values of `--shape data=1,3,224,224` as {blob: shape}. Raises click.BadParameter."""
    shapes = {}
    for value in values:
        blob, _, numbers = value.rpartition("=")
        extents = numbers.replace("x", ",").split(",")
        if not blob or not all(re.fullmatch(r"[1-9]\d{0,9}", extent) for extent in extents):
            raise click.BadParameter(f"`{value}`: write BLOB=n,c,h,w with positive numbers", param_hint="--shape")
        shapes[blob] = tuple(map(int, extents))
    return shapes
