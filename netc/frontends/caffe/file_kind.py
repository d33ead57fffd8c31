"""What a text file is if it is not a net or a solver in Caffe's format: a Caffe2 net, a single layer, or neither."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netc.diagnostics import Diagnostic, NetcError, Span
from netc.schema import descriptor

if TYPE_CHECKING:
    from collections.abc import Iterator

    from netc.text import Message, Tree

_CAFFE2 = frozenset(("op", "external_input", "external_output", "network", "execution_step"))
"""Fields of Caffe2's NetDef and PlanDef that Caffe's NetParameter and SolverParameter do not have."""
_OF_A_LAYER = frozenset(("type", "bottom", "top", "loss_weight", "include", "exclude", "propagate_down", "blobs_lr"))


def check_is_caffe(tree: Tree) -> None:
    """Raise NetcError E100 for a Caffe2 net in text format."""
    names = {field.name for field in tree.root.fields}
    found = [field for field in tree.root.fields if field.name in _CAFFE2]
    if found and names.isdisjoint(("layer", "layers", "input")):
        raise caffe2_error(tree.source.name, found[0].name_span)


def caffe2_error(name: str, span: Span | None = None) -> NetcError:
    """The error for a Caffe2 net, in text or binary format."""
    return NetcError(f"`{name}` is a Caffe2 net, which netc does not read yet", span=span)


def misplaced(root: Message) -> Iterator[Diagnostic]:
    """Yield E015 for a net file whose top level has fields of a layer, or none of a net; an empty one has none."""
    known = descriptor("NetParameter").fields_by_name
    foreign = [field for field in root.fields if field.name not in known]
    of_a_layer = [field for field in foreign if field.name in _OF_A_LAYER or field.name.endswith("_param")]
    if of_a_layer:
        first = of_a_layer[0]
        help = "enclose the fields of a layer in `layer { ... }`"
        yield Diagnostic("E015", f"`{first.name}` is a field of a layer, not of a net", first.name_span, (), help)
    elif len(foreign) == len(root.fields):
        text = "the file contains no field of a net or a solver"
        span = foreign[0].name_span if foreign else root.span
        yield Diagnostic("E015", text, span, (), "is it a file of another program?" if foreign else None)
