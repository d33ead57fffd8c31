"""A prototxt file -> Fields of its message, each value with its position in the text.

Old formats are upgraded (upgrade/), and templates are filled (netc/text/templates.py).
"""

from __future__ import annotations

import contextlib
import gc
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from netc.diagnostics import Diagnostic, NetcError, Report, Source, Span
from netc.frontends.caffe.file_kind import misplaced
from netc.frontends.caffe.forks import explained, with_unknown_enums
from netc.frontends.caffe.upgrade import is_solver_tree, upgrade_net, upgrade_solver
from netc.ir.fields import Fields, nowhere
from netc.schema import Message, as_dict, defaults, descriptor
from netc.text import Message as MessageNode
from netc.text import Scalar, Tree, parse_with_errors, read_source, to_message
from netc.text.templates import blanked, fill, is_template, places, unfilled

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path


@dataclass
class TextReport(Report):
    """The diagnostics of reading a text."""

    is_broken: bool = False
    """Whether it has syntax errors or unfilled placeholders, so that only a part of it was read."""


def read(
    path: str | Path | Source, values: Mapping[str, str] | None = None, strict: bool = False
) -> tuple[Fields, TextReport]:
    """Read a NetParameter or SolverParameter, depending on the fields of the file; see `is_solver` and `read_net`."""
    with without_collector():
        tree, report = read_tree(path, values)
        return _message(tree, report, "SolverParameter" if is_solver_tree(tree.root) else "NetParameter", strict)


def is_solver(fields: Fields) -> bool:
    """Whether `read` returned a SolverParameter."""
    return "layer" not in fields.defaults


def read_net(
    path: str | Path | Source, values: Mapping[str, str] | None = None, strict: bool = False
) -> tuple[Fields, TextReport]:
    """Read the NetParameter of a prototxt file, or of a Source in memory, in the format of Caffe 1.0.

    `values` fill the placeholders of a template by name. The report contains warnings (unknown fields, old formats),
    syntax errors and errors of single fields; the Fields contain everything without an error. If there are syntax
    errors, other errors are reported only for messages without one. With `strict`, everything that is not part of
    BVLC's schema is W001, including fields of forks. Raises NetcError for a file that cannot be read, and E100 for a
    solver; if that has syntax errors, these.
    """
    with without_collector():
        tree, report = read_tree(path, values)
        if is_solver_tree(tree.root):
            report.raise_errors()  # a broken text without layers may be neither a net nor a solver
            raise NetcError(
                f"`{tree.source.name}` is a solver definition, expected a net", span=tree.root.fields[0].name_span
            )
        return _message(tree, report, "NetParameter", strict)


def read_solver(
    path: str | Path | Source, values: Mapping[str, str] | None = None, strict: bool = False
) -> tuple[Fields, TextReport]:
    """Read the SolverParameter of a prototxt file; see `read_net`. Raises NetcError E100 for a net."""
    with without_collector():
        tree, report = read_tree(path, values)
        for layer in (*tree.root.named("layer"), *tree.root.named("layers")):
            raise NetcError(f"`{tree.source.name}` is a net definition, expected a solver", span=layer.name_span)
        return _message(tree, report, "SolverParameter", strict)


@contextlib.contextmanager
def without_collector() -> Iterator[None]:
    """Disable Python's garbage collector: a tree has no cycles, and repeated collections would take quadratic time."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


def read_tree(path: str | Path | Source, values: Mapping[str, str] | None = None) -> tuple[Tree, TextReport]:
    """Return the tree of a file before any upgrade, with the diagnostics of filling and parsing it.

    Raises NetcError for a file that cannot be read.
    """
    source = path if isinstance(path, Source) else read_source(path)
    report = TextReport()
    if values:
        source, unused = fill(source, values)
        report.extend(unused)
    tree, errors = parse_with_errors(source)
    template = unfilled(source) if errors and is_template(source) else None
    if template is not None:
        errors = [template, *parse_with_errors(blanked(source))[1]]  # errors that are not due to placeholders
    report.extend(errors)
    report.is_broken = bool(errors)
    return tree, report


def _message(tree: Tree, report: TextReport, name: str, strict: bool = False) -> tuple[Fields, TextReport]:
    intact = _intact(tree, report.errors)  # before an upgrade moves fields
    outside = [] if report.is_broken or name != "NetParameter" else list(misplaced(tree.root))
    report.extend(outside)
    upgraded = upgrade_net(tree) if name == "NetParameter" else upgrade_solver(tree)
    message, diagnostics = to_message(tree, name)
    if outside:  # the same fields
        diagnostics = [d for d in diagnostics if d.code != "W001" or not (d.field or "").startswith("NetParameter.")]
    found = explained(_templates(tree.source, diagnostics), strict)
    if report.is_broken:
        found = [d for d in found if d.severity == "error" and _within(d, intact)]
    else:
        report.extend(upgraded.diagnostics)
    report.diagnostics += found
    return fields_of(message, tree.root), report


def _intact(tree: Tree, errors: list[Diagnostic]) -> list[Span]:
    """The top-level messages without a syntax error; none in a template or a file that is nested too deeply."""
    if any(d.code in ("E005", "E033") for d in errors):
        return []
    at = [d.span.start for d in errors if d.span]
    messages = (value.span for field in tree.root.fields for value in field.values if isinstance(value, MessageNode))
    return [span for span in messages if span and not any(span.start <= place < span.end for place in at)]


def _within(found: Diagnostic, spans: list[Span]) -> bool:
    return found.span is not None and any(span.start <= found.span.start < span.end for span in spans)


def _templates(source: Source, found: list[Diagnostic]) -> list[Diagnostic]:
    """Replace the E006 of values that are unfilled placeholders, such as `cls6x`, by one E033."""
    wrong = {d.span.start for d in found if d.code == "E006" and d.span}
    if wrong:
        wrong &= {place.start for place in places(source.text) if place.kind == "word"}
    template = unfilled(source, lambda place: place.start in wrong) if wrong else None
    if template is None:
        return found
    return [d for d in found if not (d.code == "E006" and d.span and d.span.start in wrong)] + [template]


def fields_of(message: Message, node: MessageNode | None = None) -> Fields:
    """Convert a protobuf message to Fields; `node` is the tree that it was read from."""
    return _fields(message.DESCRIPTOR.full_name, as_dict(message), node)


def empty_fields(name: str) -> Fields:
    """An empty message, by its name in the schema."""
    return _fields(name, {}, None)


def _fields(name: str, values: dict[str, Any], node: MessageNode | None) -> Fields:
    kinds = _message_fields(name)
    for field in kinds.keys() & values.keys():
        nodes = node.messages(field) if node else []
        values[field] = _nested(kinds[field], values[field], nodes)
    values = with_unknown_enums(name, values, node)
    return Fields(
        values, defaults(name), partial(_empty_field, name), nowhere if node is None else partial(_find, node)
    )


def _empty_field(name: str, field: str) -> Fields:
    return empty_fields(_message_fields(name)[field])


def _nested(name: str, value: Any, nodes: list[MessageNode]) -> Any:
    if isinstance(value, dict):
        return _fields(name, value, nodes[0] if nodes else None)
    return [_fields(name, one, nodes[i] if i < len(nodes) else None) for i, one in enumerate(value)]


def _find(node: MessageNode, field: str, index: int) -> Span | None:
    return _place(_value(node, field, index) if field else node)


def _value(node: MessageNode, field: str, index: int) -> MessageNode | Scalar | None:
    values = node.get(field)
    return values[index] if -len(values) <= index < len(values) else None


def _place(value: MessageNode | Scalar | None) -> Span | None:
    """The position of a value; for a message that an upgrade created, the position of its first part."""
    if value is None or value.span is not None:
        return value.span if value else None
    parts = (part for field in value.fields for part in field.values) if isinstance(value, MessageNode) else ()
    return next((place for place in map(_place, parts) if place), None)


@cache
def _message_fields(name: str) -> Mapping[str, str]:
    """The message fields of a message, with the names of their types."""
    return {f.name: f.message_type.full_name for f in descriptor(name).fields if f.message_type is not None}
