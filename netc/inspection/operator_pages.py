"""The documentation of Caffe2's operators by name, as text for `netc explain`."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

from netc.diagnostics import NetcError
from netc.inspection.layer_pages import WIDTH, paragraph
from netc.ir import documentation
from netc.ir.operator import Operator
from netc.layers import operator_class, operator_types, registry

if TYPE_CHECKING:
    from collections.abc import Iterator

    from netc.ir.layer import Layer


def operator_list() -> list[str]:
    """Return a line for each operator that is not also the name of a layer type."""
    return [f"{name}  an operator of Caffe2" for name in sorted(operator_types() - registry().keys())]


def operator_named(name: str) -> str | None:
    """Return the type of an operator by its case-insensitive name; None if there is none."""
    wanted = name.strip().casefold()
    return next((one for one in sorted(operator_types()) if one.casefold() == wanted), None)


def operator_page(name: str) -> str:
    """Return the documentation of an operator type, as Caffe2 spells it, as text.

    >>> operator_page("Sqr").splitlines()[0]
    '# Sqr: an operator of Caffe2'
    """
    return "\n".join(_lines(name)) + "\n"


def _lines(name: str) -> Iterator[str]:
    cls = operator_class(name)
    assert cls is not None, "the name is one of operator_types()"
    found = documentation.layer_documentation(cls)
    yield f"# {name}: an operator of Caffe2"
    layer = next((one for one, own in registry().items() if own is cls), None)
    if layer is not None:
        yield from paragraph(f"Computes what Caffe's layer type {layer} does.")
    for text in (found.summary, *found.details.split("\n\n")):
        yield from paragraph(text)
    yield from paragraph(_counts(name, cls))
    pairs = _fact(name, cls, "in_place_pairs") or ()
    shown = ", ".join(f"output {output} may be the blob of input {bottom}" for bottom, output in pairs)
    yield from paragraph(f"In place: {shown}." if shown else "")
    yield from paragraph(f"Shapes: {found.shapes}" if found.shapes else "")
    if layer is None:
        yield from ("", "Parameters:" if found.parameters else "Parameters: none")
        for one in found.parameters:
            yield ""
            yield from textwrap.wrap(str(one), WIDTH, initial_indent="  ", subsequent_indent="    ")
            yield from textwrap.wrap(one.meaning, WIDTH, initial_indent="    ", subsequent_indent="    ")
    yield from paragraph(f"Reference: {found.reference}" if found.reference else "")


def _counts(name: str, cls: type[Layer]) -> str:
    """How many inputs and outputs an operator takes, where that does not depend on arguments."""
    counts = (("takes", "input", "bottom_count"), ("returns", "output", "top_count"))
    found = ((word, noun, _fact(name, cls, fact)) for word, noun, fact in counts)
    known = [f"{word} {count.text(noun)}" for word, noun, count in found if count is not None]
    return f"{', '.join(known).capitalize()}." if known else ""


def _fact(name: str, cls: type[Layer], fact: str) -> Any:
    """A trait of an operator of a type without arguments; None if it depends on arguments that are required."""
    value = getattr(cls, fact)
    if not isinstance(value, property):
        return value
    try:
        return getattr(cls.from_caffe2(Operator(name)), fact)
    except NetcError:
        return None
