"""What a text file is if it is not a net or a solver in Caffe's format: a layer, or a file of another program."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netc.diagnostics import Diagnostic
from netc.schema import descriptor

if TYPE_CHECKING:
    from collections.abc import Iterator

    from netc.text import Message

_OF_A_LAYER = frozenset(("type", "bottom", "top", "loss_weight", "include", "exclude", "propagate_down", "blobs_lr"))


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
