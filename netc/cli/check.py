"""`netc check FILE...`: everything that is wrong, in one run."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

import click

from netc.cli.output import option, parse_shapes, show
from netc.cli.streams import parse_values, read_input, set_option
from netc.diagnostics import Diagnostic, NetcError
from netc.inspection import check


@click.command(name="check")
@click.argument("files", nargs=-1, required=True)
@option("--level", default=0, show_default=True, help="Level of the net's state.")
@option("--stage", multiple=True, help="A stage of the net's state; may be repeated.")
@option("--shape", multiple=True, metavar="BLOB=N,C,H,W", help="Shape of a blob that only data would tell.")
@option("--strict", is_flag=True, help="BVLC's schema only, and every file that is named must be there.")
@option("--ignore", multiple=True, metavar="W101", help="A warning that is not wanted; may be repeated.")
@option("--dialect", metavar="NAME", help="The fork of Caffe that the nets are for, where their content does not tell.")
@set_option()
@option("--format", "style", type=click.Choice(["text", "json", "github"]), default="text", show_default=True)
def command(
    files: tuple[str, ...],
    level: int,
    stage: tuple[str, ...],
    shape: tuple[str, ...],
    strict: bool,
    ignore: tuple[str, ...],
    dialect: str | None,
    set_: tuple[str, ...],
    style: str,
) -> int:
    """Find everything that is wrong with nets and solvers; `-` is standard input.

    Both phases, and every stage that a file names, are looked at. Exit status 1 where there is an error; warnings
    alone leave it 0.
    """
    shapes, ignored = parse_shapes(shape), _codes(ignore)
    settings: dict[str, Any] = {"level": level, "stages": stage, "shapes": shapes, "strict": strict, "ignore": ignored}
    settings["dialect"] = dialect
    values = parse_values(set_)
    found = [_found(file, values=values, **settings) for file in files]
    everything = [d for one in found for d in one]
    if style == "json":
        click.echo(json.dumps([_plain(d) for d in everything], indent=2))
    elif style == "github":
        for d in everything:
            click.echo(_github(d))
    else:
        _show(found)
    return int(any(d.severity == "error" for d in everything))


def _found(file: str, **settings: Any) -> list[Diagnostic]:
    try:
        return check(read_input(file) if file == "-" else file, **settings)
    except NetcError as error:  # no text on standard input
        return list(error.diagnostics)


def _codes(given: Sequence[str]) -> list[str]:
    """Codes of `--ignore W101 --ignore W102`, or `--ignore W101,W102`."""
    codes = [code.strip().upper() for one in given for code in one.split(",") if code.strip()]
    for code in codes:
        if not re.fullmatch(r"W\d{3}", code):
            raise click.BadParameter(f"`{code}`: write the code of a warning, like W101", param_hint="--ignore")
    return codes


def _show(found: Sequence[Sequence[Diagnostic]]) -> None:
    for one in found:
        if one:
            show(one)
            click.echo(err=True)
    errors = sum(d.severity == "error" for one in found for d in one)
    warnings = sum(map(len, found)) - errors
    click.echo(f"{_count(len(found), 'file')}: {_count(errors, 'error')}, {_count(warnings, 'warning')}")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}" if number else f"no {noun}s"


def _plain(found: Diagnostic) -> dict[str, Any]:
    names = ("severity", "code", "message", "file", "line", "column", "help")
    return {**{name: getattr(found, name) for name in names}, "notes": list(found.notes)}


def _github(found: Diagnostic) -> str:
    """A workflow command of GitHub Actions, which marks the line in a pull request."""
    place = {"file": found.file, "line": found.line, "col": found.column, "title": found.code}
    properties = ",".join(f"{name}={_escaped(str(v), ':,')}" for name, v in place.items() if v is not None)
    text = "\n".join([found.message, *found.notes, *([found.help] if found.help else [])])
    return f"::{found.severity} {properties}::{_escaped(text)}"


def _escaped(text: str, also: str = "") -> str:
    return "".join(f"%{ord(c):02X}" if c in "%\r\n" + also else c for c in text)
