"""Text to text: old formats to today's, and the canonical layout. Never imports torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from netc.diagnostics import NetcError, Report, Source
from netc.frontends.reading import read_tree, upgrade_tree
from netc.text import print_tree
from netc.text.canonical import canonical


def upgrade(text: str, values: Mapping[str, str] | None = None) -> str:
    """A net or a solver in the format of Caffe 1.0, with its comments and layout.

    What is in that format stays byte for byte, so upgrading twice is upgrading once. `values` fill the places of a
    template by name. Raises NetcError for text that is no prototxt, for a template with places that nothing fills, and
    for E030 to E032.

    >>> upgrade('layers { name: "relu1" type: RELU bottom: "a" top: "a" }  # V1')
    'layer { name: "relu1" type: "ReLU" bottom: "a" top: "a" }  # V1'
    """
    return upgraded(Source("<string>", text), values)[0]


def upgraded(source: Source, values: Mapping[str, str] | None = None) -> tuple[str, Report]:
    """As `upgrade`, with what was changed as warnings."""
    tree, report = read_tree(source, values)
    report.raise_errors()
    report.extend(upgrade_tree(tree).diagnostics)
    report.raise_errors()
    return print_tree(tree), report


def fmt(text: str, name: str = "<string>") -> str:
    """A prototxt in canonical layout; `name` is what errors call it.

    Raises NetcError for text that is no prototxt, and E033 for a template.

    >>> print(fmt('layer{name:"a";top:"a"} # first'), end="")
    layer {
      name: "a"
      top: "a"
    }  # first
    """
    try:
        tree, report = read_tree(Source(name, text))
        report.raise_errors()
        return canonical(tree)
    except NetcError as error:
        fill = "format the result: `netc upgrade` with `--set` writes the filled file"
        raise NetcError(replace(d, help=fill) if d.code == "E033" else d for d in error.diagnostics) from None
