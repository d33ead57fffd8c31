"""`netc fmt FILE...`: prototxts in canonical layout."""

from __future__ import annotations

import difflib

import click

from netc.cli.output import option, show
from netc.cli.streams import read_input, write_output
from netc.diagnostics import Diagnostic, NetcError
from netc.rewriting import fmt


@click.command(name="fmt")
@click.argument("files", nargs=-1, required=True)
@option("--check", is_flag=True, help="Write nothing; exit status 1 where a file is not in canonical layout.")
@option("--diff", is_flag=True, help="Write nothing; print what would change.")
def command(files: tuple[str, ...], check: bool, diff: bool) -> int:
    """Lay prototxts out alike: two spaces a level, one field a line, comments kept.

    Files are written in place; `-` reads standard input and writes standard output. A file that is no prototxt stays as
    it is, and the others are done.
    """
    faults: list[Diagnostic] = []
    changed = 0
    for file in files:
        try:
            changed += _one(file, check, diff)
        except NetcError as error:
            faults += error.diagnostics
    show(faults)
    return int(bool(faults) or (check and changed > 0))


def _one(file: str, check: bool, diff: bool) -> bool:
    """Lay one file out; whether that changes it. Raises NetcError."""
    source = read_input(file)
    text = fmt(source.text, source.name)
    changed = text != source.text
    if changed and diff:
        write_output("-", _difference(source.name, source.text, text))
    if changed and check:
        click.echo(f"{source.name}: not in canonical layout", err=True)
    if not check and not diff and (changed or file == "-"):
        write_output(file, text)
    return changed


def _difference(name: str, old: str, new: str) -> str:
    """A unified diff; a last line without its end gets one."""
    before, after = ([line + "\n" for line in text.removesuffix("\n").split("\n")] for text in (old, new))
    return "".join(difflib.unified_diff(before, after, name, name))
