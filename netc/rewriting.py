"""Rewrites text: upgrades old formats and applies the canonical layout. Never imports torch."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from netc.diagnostics import NetcError, Report, Source
from netc.frontends.reading import read_tree, upgrade_tree
from netc.text import print_tree
from netc.text.canonical import canonical

if TYPE_CHECKING:
    from collections.abc import Mapping


def upgrade(text: str, values: Mapping[str, str] | None = None) -> str:
    """Upgrade a net or a solver to the format of Caffe 1.0; comments and layout are kept.

    Text that is already in that format is not changed, so the upgrade is idempotent. `values` fill the placeholders of
    a template by name. Raises NetcError for invalid text, for a template with unfilled placeholders (E033), and for
    E030 to E032.

    >>> upgrade('layers { name: "relu1" type: RELU bottom: "a" top: "a" }  # V1')
    'layer { name: "relu1" type: "ReLU" bottom: "a" top: "a" }  # V1'
    """
    return upgraded(Source("<string>", text), values)[0]


def upgraded(source: Source, values: Mapping[str, str] | None = None) -> tuple[str, Report]:
    """As `upgrade`; also returns the changes as warnings."""
    tree, report = read_tree(source, values)
    report.raise_errors()
    report.extend(upgrade_tree(tree).diagnostics)
    report.raise_errors()
    return print_tree(tree), report


def fmt(text: str, name: str = "<string>") -> str:
    """Format a prototxt in canonical layout; `name` is the file name in errors.

    Raises NetcError for invalid text, and E033 for a template.

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
