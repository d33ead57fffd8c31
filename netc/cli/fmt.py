"""`netc fmt FILE...`: Format prototxt files."""

from __future__ import annotations

import difflib

import click

from netc.cli.options import option
from netc.cli.streams import read_input, write_output
from netc.cli.terminal import say, show
from netc.diagnostics import Diagnostic, NetcError
from netc.rewriting import fmt


@click.command(name="fmt")
@click.argument("files", nargs=-1, required=True)
@option("--check", is_flag=True, help="Write nothing; exit with status 1 if a file is not formatted.")
@option("--diff", is_flag=True, help="Write nothing; print the changes as a diff.")
def command(files: tuple[str, ...], check: bool, diff: bool) -> int:
    """Format prototxt files: two spaces per level, one field per line, comments kept.

    Files are rewritten in place; `-` reads standard input and writes standard output. A file with syntax errors is left
    unchanged, and the others are formatted.
    """
    errors: list[Diagnostic] = []
    changed = 0
    for file in files:
        try:
            changed += _format(file, check, diff)
        except NetcError as error:
            errors += error.diagnostics
    show(errors)
    return int(bool(errors) or (check and changed > 0))


def _format(file: str, check: bool, diff: bool) -> bool:
    """Format one file; return whether that changes it. Raises NetcError."""
    source = read_input(file)
    text = fmt(source.text, source.name)
    changed = text != source.text
    if changed and diff:
        write_output("-", _difference(source.name, source.text, text))
    if changed and check:
        say(f"{source.name}: not formatted", err=True)
    if not check and not diff and (changed or file == "-"):
        write_output(file, text)
    return changed


def _difference(name: str, old: str, new: str) -> str:
    """Return a unified diff; a last line without a newline gets one."""
    before, after = ([line + "\n" for line in text.removesuffix("\n").split("\n")] for text in (old, new))
    return "".join(difflib.unified_diff(before, after, name, name))
