"""The documentation of layer types by name: as a value for editors, and as text for `netc explain`."""

from __future__ import annotations

import re
import textwrap
from typing import TYPE_CHECKING

from netc.diagnostics import NetcError, did_you_mean
from netc.ir import documentation
from netc.layers import how_recognized, layer_classes, registry
from netc.layers.python import Python

if TYPE_CHECKING:
    from collections.abc import Iterator

    from netc.ir.documentation import LayerDocumentation, ParameterDocumentation
    from netc.ir.layer import Layer

WIDTH = 100
"""Width of a page in columns."""
_WHETHER = re.compile(r"^Whether ")


def layer_types() -> list[str]:
    """Return the names of all layer types, sorted."""
    return sorted(registry())


def layer_documentation(name: str, dialect: str | None = None) -> LayerDocumentation:
    """Return the documentation of a layer type, by its case-insensitive name or its name in V1 files.

    `dialect` selects one of several meanings (`""` is BVLC's); the default is BVLC's meaning, or that of the first
    dialect. Imports neither torch nor protobuf. Raises NetcError E100 for an unknown name or dialect.

    >>> layer_documentation("INNER_PRODUCT").parameters[0].fields
    ('inner_product_param.num_output',)
    """
    meanings = layer_meanings(name)
    found = {one.dialect: one for one in meanings if not one.python_classes} or {one.dialect: one for one in meanings}
    if dialect is None:
        return next(iter(found.values()))
    if dialect not in found:
        raise NetcError(f"unknown dialect `{dialect}` of layer type `{name}`", help=did_you_mean(dialect, found))
    return found[dialect]


def layer_meanings(name: str) -> tuple[LayerDocumentation, ...]:
    """Return the documentation of every meaning of a layer type, BVLC's first. Raises NetcError E100 if unknown.

    The name of a class of Python layers, with or without its module, is that of the layer which replaces it.
    """
    wanted = _key(name)
    for type_name, cls in registry().items():
        if wanted in [_key(one) for one in (type_name, cls.v1) if one]:
            return tuple(map(documentation.layer_documentation, layer_classes(type_name)))
    found = [cls for cls in layer_classes(Python.type) if wanted in _python_keys(cls)]
    if found:
        return tuple(map(documentation.layer_documentation, found))
    help = did_you_mean(name, layer_types()) or "`netc explain --list` lists all layer types"
    raise NetcError(f"unknown layer type `{name}`", help=help)


def layer_page(name: str) -> str:
    """Return the documentation of every meaning of a layer type as text. Raises NetcError E100 for an unknown name."""
    meanings = layer_meanings(name)
    classes = {(cls.dialect, cls.python_classes): cls for cls in layer_classes(meanings[0].type)}
    several = len(meanings) > 1
    choices = [_choice(classes[one.dialect, one.python_classes]) if several else "" for one in meanings]
    return "\n\n".join("\n".join(_lines(*one)) for one in zip(meanings, choices)) + "\n"


def _choice(cls: type[Layer]) -> str:
    """When a meaning of a type is chosen, from the docstring of its predicate; empty where its heading says it.

    >>> [_choice(cls) for cls in layer_classes("BatchNorm")][0]
    'Chosen when no other meaning fits.'
    """
    predicate = how_recognized(cls)
    if cls.python_classes and predicate is None:
        return ""
    return "Chosen when no other meaning fits." if predicate is None else f"Chosen when {_WHETHER.sub('', predicate)}"


def _python_keys(cls: type[Layer]) -> set[str]:
    return {_key(part) for name in cls.python_classes for part in (name, name.rpartition(".")[2])}


def _key(name: str) -> str:
    return name.strip().replace("_", "").casefold()


def _lines(layer: LayerDocumentation, choice: str) -> Iterator[str]:
    owner = f"dialect `{layer.dialect}`" if layer.dialect else "BVLC Caffe"
    if layer.python_classes:
        yield from paragraph(f"# {layer.type}: in place of {' and '.join(layer.python_classes)}, {owner}")
    else:
        yield f"# {layer.type}: a layer type of {owner}" + (f" (`{layer.v1}` in V1 files)" if layer.v1 else "")
    for text in (layer.summary, *layer.details.split("\n\n"), choice):
        yield from paragraph(text)
    yield from paragraph(f"Takes {layer.bottoms}, returns {layer.tops}.")
    yield from paragraph(f"Shapes: {layer.shapes}")
    yield from _parameters(layer.parameters)
    yield from paragraph(f"Blobs: {layer.blobs}" if layer.blobs else "")
    yield from paragraph(f"Reference: {layer.reference}")


def _parameters(parameters: tuple[ParameterDocumentation, ...]) -> Iterator[str]:
    yield from ("", "Parameters:" if parameters else "Parameters: none")
    for one in parameters:
        yield ""
        yield from textwrap.wrap(str(one), WIDTH, initial_indent="  ", subsequent_indent="    ")
        yield from textwrap.wrap(one.meaning, WIDTH, initial_indent="    ", subsequent_indent="    ")
        read = f"Read from {', '.join(one.fields)}." if one.fields else "No file sets it."
        yield from textwrap.wrap(read, WIDTH, initial_indent="    ", subsequent_indent="    ")


def paragraph(text: str) -> Iterator[str]:
    """Yield an empty line and the lines of a paragraph; nothing for an empty one."""
    if text:
        yield ""
        yield from textwrap.wrap(text, WIDTH)
