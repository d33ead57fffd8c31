"""The documentation of layer types by name: as a value for editors, and as a page of text for `netc explain`."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from netc.diagnostics import NetcError, did_you_mean
from netc.ir import documentation
from netc.ir.documentation import LayerDocumentation, ParameterDocumentation
from netc.layers import registry

WIDTH = 100
"""Columns of a page."""


def layer_types() -> list[str]:
    """The names of all layer types, sorted."""
    return sorted(registry())


def layer_documentation(name: str) -> LayerDocumentation:
    """The documentation of a layer type, by its name in any case or by its name in V1 files.

    Imports neither torch nor protobuf. Raises NetcError E100 for an unknown name.

    >>> layer_documentation("INNER_PRODUCT").parameters[0].fields
    ('inner_product_param.num_output',)
    """
    wanted = _key(name)
    for type_name, cls in registry().items():
        if wanted in (_key(type_name), _key(cls.v1 or "")):
            return documentation.layer_documentation(cls)
    help = did_you_mean(name, layer_types()) or "`netc explain --list` lists all layer types"
    raise NetcError(f"unknown layer type `{name}`", help=help)


def layer_page(name: str) -> str:
    """The documentation of a layer type as text. Raises NetcError E100 for an unknown name."""
    return "\n".join(_lines(layer_documentation(name))) + "\n"


def _key(name: str) -> str:
    return name.strip().replace("_", "").casefold() or "-"


def _lines(layer: LayerDocumentation) -> Iterator[str]:
    yield f"# {layer.type}: a layer type" + (f" (`{layer.v1}` in V1 files)" if layer.v1 else "")
    for paragraph in (layer.summary, *layer.details.split("\n\n")):
        yield from _paragraph(paragraph)
    yield from _paragraph(f"Takes {layer.bottoms}, returns {layer.tops}.")
    yield from _paragraph(f"Shapes: {layer.shapes}")
    yield from _parameters(layer.parameters)
    yield from _paragraph(f"Blobs: {layer.blobs}" if layer.blobs else "")
    yield from _paragraph(f"Reference: {layer.reference}")


def _parameters(parameters: tuple[ParameterDocumentation, ...]) -> Iterator[str]:
    yield from ("", "Parameters:" if parameters else "Parameters: none")
    for one in parameters:
        yield ""
        yield f"  {one}"
        yield from textwrap.wrap(one.meaning, WIDTH, initial_indent="    ", subsequent_indent="    ")
        yield from textwrap.wrap(
            f"Read from {', '.join(one.fields)}.", WIDTH, initial_indent="    ", subsequent_indent="    "
        )


def _paragraph(text: str) -> Iterator[str]:
    if text:
        yield ""
        yield from textwrap.wrap(text, WIDTH)
