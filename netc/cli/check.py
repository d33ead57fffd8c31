"""`netc check FILE...`: everything that is wrong, in one run."""

from __future__ import annotations

import json
from typing import Any

import click

from netc.cli.output import option, parse_shapes, show
from netc.diagnostics import Diagnostic
from netc.inspection import check


@click.command(name="check")
@click.argument("files", nargs=-1, required=True)
@option("--level", default=0, show_default=True, help="Level of the net's state.")
@option("--stage", multiple=True, help="A stage of the net's state; may be repeated.")
@option("--shape", multiple=True, metavar="BLOB=N,C,H,W", help="Shape of a blob that only data would tell.")
@option("--format", "format_", type=click.Choice(["text", "json"]), default="text", help="How findings are printed.")
def command(files: tuple[str, ...], level: int, stage: tuple[str, ...], shape: tuple[str, ...], format_: str) -> int:
    """Find everything that is wrong with nets and solvers.

    Exit status 1 where there is an error; warnings alone leave it 0.
    """
    shapes = parse_shapes(shape)
    found = [d for file in files for d in check(file, level=level, stages=stage, shapes=shapes)]
    errors = sum(d.severity == "error" for d in found)
    if format_ == "json":
        click.echo(json.dumps([_plain(d) for d in found], indent=2))
    else:
        show(found)
        files_checked = f"{len(files)} file{'s' * (len(files) != 1)}"
        click.echo(f"{files_checked}: {_count(errors, 'error')}, {_count(len(found) - errors, 'warning')}")
    return int(errors > 0)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}" if number else f"no {noun}s"


def _plain(found: Diagnostic) -> dict[str, Any]:
    names = ("severity", "code", "message", "file", "line", "column", "help")
    return {**{name: getattr(found, name) for name in names}, "notes": list(found.notes)}
