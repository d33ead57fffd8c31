"""Rewrites text: upgrades old formats and applies the canonical layout. Never imports torch."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from netc.compiler import checked_graph
from netc.diagnostics import Diagnostic, NetcError, Report, Source
from netc.frontends import NetDefinition, read_net
from netc.frontends.reading import read_tree, upgrade_tree
from netc.ir.coordinates import crop_offsets, offset_fields
from netc.text import Field, Message, Scalar, Tree, print_tree, to_message
from netc.text.canonical import canonical
from netc.text.literals import quote

if TYPE_CHECKING:
    import os
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


def upgraded(source: Source, values: Mapping[str, str] | None = None, autocrop: bool = False) -> tuple[str, Report]:
    """As `upgrade`; also returns the changes as warnings. `autocrop` writes the offsets of Crop layers, see W120."""
    tree, report = read_tree(source, values)
    report.raise_errors()
    report.extend(upgrade_tree(tree).diagnostics)
    report.raise_errors()
    if autocrop:
        _write_offsets(Source(source.name, print_tree(tree)), tree)
    return print_tree(tree), report


def net_message(path: str | os.PathLike[str]) -> tuple[Any, list[Diagnostic]]:
    """Return the NetParameter of a net, a prototxt or a .caffemodel, in the format of Caffe 1.0, and warnings.

    Operators of a Caffe2 net become layers with their types, names and blobs alone. The layers need not be valid.
    Raises NetcError for invalid text, E100 for a solver.
    """
    definition = read_net(path)
    source = _bare_layers(definition) if definition.fills_weights else definition.source
    tree, report = read_tree(source)
    report.raise_errors()
    upgrade_tree(tree).raise_errors()
    message, found = to_message(tree, "caffe.NetParameter")
    Report(found).raise_errors()
    return message, found


def _bare_layers(net: NetDefinition) -> Source:
    """A prototxt of the layers of a net of another format. Raises NetcError for a net with errors."""
    net.report.raise_errors()
    text = "\n".join(
        f"layer {{ name: {quote(layer.name)} type: {quote(layer.type)} "
        + " ".join(
            [f"bottom: {quote(name)}" for name in layer.bottoms] + [f"top: {quote(name)}" for name in layer.tops]
        )
        + " }"
        for layer in net.layers
    )
    return Source(net.source.name, text)


def _write_offsets(source: Source, tree: Tree) -> None:
    """Add the computed offsets to the Crop layers of a net without parameters. Raises NetcError for an invalid net."""
    net = read_net(source)
    net.report.raise_errors()
    layers = tree.root.messages("layer")
    places = {origin: index for index, origin in enumerate(net.layers)}
    for state in net.states(net.state("TEST")):
        graph = checked_graph(net, state)[0]
        origins = {node.key: node.origin for node in graph.nodes}
        for key, offset in crop_offsets(graph).items():
            layer = layers[places[origins[key]]]
            if any(offset) and not layer.messages("crop_param"):
                fields = [Field("offset", [Scalar(str(value))]) for value in offset_fields(offset)]
                layer.append("crop_param", Message(fields))


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
