"""`netc check FILE...`: Find all errors in nets and solvers."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import click

from netc.cli.options import (
    format_option,
    option,
    parse_shapes,
    parse_values,
    set_option,
    shape_option,
)
from netc.cli.state_options import state_options
from netc.cli.streams import read_input
from netc.cli.terminal import say, show
from netc.diagnostics import Diagnostic, NetcError, counted
from netc.inspection import check

if TYPE_CHECKING:
    from collections.abc import Sequence


@click.command(name="check")
@click.argument("files", nargs=-1, required=True)
@state_options(None)
@shape_option()
@option("--strict", is_flag=True, help="Accept only BVLC's schema, and report files that are named but missing.")
@option("--ignore", multiple=True, metavar="CODE", help="Warning to suppress, such as W101; may be repeated.")
@option("--dialect", metavar="NAME", help="Fork of Caffe that the nets are for; detected by default.")
@set_option()
@format_option("text", "json", "github")
def command(
    files: tuple[str, ...],
    state: dict[str, Any],
    shape: tuple[str, ...],
    strict: bool,
    ignore: tuple[str, ...],
    dialect: str | None,
    set_: tuple[str, ...],
    style: str,
) -> int:
    """Find all errors in nets and solvers, in one run.

    Checks both phases and every stage that a file names, unless an option selects one state. `-` is standard input.
    The exit status is 1 if there is an error, and 0 if there are only warnings.
    """
    shapes, ignored = parse_shapes(shape), _codes(ignore)
    settings: dict[str, Any] = {**state, "shapes": shapes, "strict": strict, "ignore": ignored}
    settings["dialect"] = dialect
    values = parse_values(set_)
    found = [_check(file, values=values, **settings) for file in files]
    everything = [d for one in found for d in one]
    if style == "json":
        say(json.dumps([_plain(d) for d in everything], indent=2))
    elif style == "github":
        for d in everything:
            say(_github(d))
    else:
        _show(found)
    return int(any(d.severity == "error" for d in everything))


def _check(file: str, **settings: Any) -> list[Diagnostic]:
    try:
        return check(read_input(file) if file == "-" else file, **settings)
    except NetcError as error:  # standard input is not text
        return list(error.diagnostics)


def _codes(values: Sequence[str]) -> list[str]:
    """Parse `--ignore W101 --ignore W102` or `--ignore W101,W102`."""
    codes = [code.strip().upper() for value in values for code in value.split(",") if code.strip()]
    for code in codes:
        if not re.fullmatch(r"W\d{3}", code):
            raise click.BadParameter(f"`{code}`: expected the code of a warning, such as W101", param_hint="--ignore")
    return codes


def _show(found: Sequence[Sequence[Diagnostic]]) -> None:
    for one in found:
        if one:
            show(one)
            say(err=True)
    errors = sum(d.severity == "error" for one in found for d in one)
    warnings = sum(map(len, found)) - errors
    say(f"{_count(len(found), 'file')}: {_count(errors, 'error')}, {_count(warnings, 'warning')}")


def _count(number: int, noun: str) -> str:
    return counted(number, noun) if number else f"no {noun}s"


def _plain(found: Diagnostic) -> dict[str, Any]:
    names = ("severity", "code", "message", "file", "line", "column", "help")
    return {**{name: getattr(found, name) for name in names}, "notes": list(found.notes)}


def _github(found: Diagnostic) -> str:
    """Return a workflow command of GitHub Actions, which annotates the line in a pull request."""
    place = {"file": found.file, "line": found.line, "col": found.column, "title": found.code}
    properties = ",".join(f"{name}={_escaped(str(v), ':,')}" for name, v in place.items() if v is not None)
    text = "\n".join([found.message, *found.notes, *([found.help] if found.help else [])])
    return f"::{found.severity} {properties}::{_escaped(text)}"


def _escaped(text: str, also: str = "") -> str:
    return "".join(f"%{ord(c):02X}" if c in "%\r\n" + also else c for c in text)
