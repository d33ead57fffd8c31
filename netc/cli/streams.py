"""Files that verbs read and write, `-` for standard input and output; and `--set`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

import click

from netc.cli.output import option
from netc.diagnostics import NetcError, Source
from netc.text import MAX_BYTES, read_source


def read_input(name: str) -> Source:
    """The text of a file, or of standard input. Raises NetcError E001 where there is no text."""
    if name != "-":
        return read_source(name)
    data = sys.stdin.buffer.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        note = f"more than {MAX_BYTES:,} bytes"
        raise NetcError("standard input is too large for a prototxt", code="E001", notes=[note])
    if b"\0" in data:
        raise NetcError("standard input is binary", code="E001", notes=["a prototxt is text"])
    return Source("<stdin>", data.decode("utf-8", "surrogateescape"))


def write_output(name: str, text: str) -> None:
    """Write a text byte for byte to a file, whole or not at all, or to standard output. Raises NetcError E408."""
    data = text.encode("utf-8", "surrogateescape")
    if name == "-":
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return
    from netc.weights.atomic import atomic_write  # imports NumPy, which verbs that only read need not wait for

    with atomic_write(name) as file:
        file.write(data)


def set_option() -> Callable[[Any], Any]:
    """The option `--set NAME=VALUE`, which fills a template; `parse_values` reads it."""
    help = "A value for a place of a template; may be repeated."
    return option("--set", "set_", multiple=True, metavar="NAME=VALUE", help=help)


def parse_values(given: Sequence[str]) -> dict[str, str]:
    """The values of `--set x=21` as {name: value}. Raises click.BadParameter."""
    values = {}
    for one in given:
        name, equals, value = one.partition("=")
        if not equals or not name.isidentifier():
            raise click.BadParameter(f"`{one}`: write NAME=VALUE", param_hint="--set")
        values[name] = value
    return values
