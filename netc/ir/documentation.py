"""Documentation of a layer type at run time: its sections, and its parameters with type, default and description.

The description of a parameter is a string below its dataclass field, where readers of the source expect it. Python
discards such strings, so they are parsed from the source on first use; importing a layer is not slowed down.
"""

from __future__ import annotations

import dataclasses
import sys
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from netc.ir.filler import Filler
from netc.ir.layer import Count, Layer

TYPE_NAMES = {str: "string", type(None): "none"}


@dataclass(frozen=True)
class ParameterDocumentation:
    """One parameter of a layer type."""

    name: str
    """Name of the dataclass field."""
    type: str
    """For example `int`, `list of float or none`, or the values of an enum."""
    default: str | None
    """None for a parameter that is required."""
    meaning: str
    """One or more sentences; empty if the source is not available."""
    fields: tuple[str, ...]
    """The prototxt fields that it is read from, as paths within a `layer`, such as `pooling_param.kernel_size`."""

    def __str__(self) -> str:
        default = "required" if self.default is None else f"default {self.default}"
        return f"{self.name} ({self.type}, {default})"


@dataclass(frozen=True)
class LayerDocumentation:
    """The documentation of a layer type, by section."""

    type: str
    """The name in `type: "..."`."""
    summary: str
    """The first sentence or paragraph."""
    details: str
    """The paragraphs after the summary, without examples and without the sections below; may be empty."""
    shapes: str
    """Shapes of the bottoms and the tops."""
    reference: str
    """Caffe's source file and papers."""
    bottoms: str
    """Number of bottoms, in words."""
    tops: str
    """Number of tops, in words."""
    blobs: str
    """The learned blobs and statistics in .caffemodel order; empty if there are none."""
    v1: str | None
    """The name in V1 files (2014), None if there is none."""
    dialect: str
    """The fork of Caffe that defines the type; empty for BVLC."""
    python_classes: tuple[str, ...]
    """The classes of Python layers that it replaces, as `module.Class`."""
    parameters: tuple[ParameterDocumentation, ...]


class LayerDocstring:
    """The `__doc__` of a layer class: its docstring, followed by its parameters, assembled on first access."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __get__(self, instance: object, cls: type[Layer]) -> str:
        return _docstring(cls, self.text)


def layer_documentation(cls: type[Layer]) -> LayerDocumentation:
    """Return the documentation of a registered layer class.

    >>> from netc.layers import registry
    >>> found = layer_documentation(registry()["Pooling"])
    >>> found.shapes[:29], found.parameters[0].name, found.parameters[0].type
    ('(n, c, h, w) to (n, c, oh, ow', 'pool', '`MAX`, `AVE` or `STOCHASTIC`')
    """
    plain, titled = _sections(_own_docstring(cls))
    return LayerDocumentation(
        type=cls.type,
        summary=plain[0] if plain else "",
        details="\n\n".join(plain[1:]),
        shapes=titled.get("Shapes", ""),
        reference=titled.get("Reference", ""),
        bottoms=_count(cls.bottom_count, "bottom"),
        tops=_count(cls.top_count, "top"),
        blobs=(cls.weights.__doc__ or "").strip() if cls.weights is not Layer.weights else "",
        v1=cls.v1,
        dialect=cls.dialect,
        python_classes=cls.python_classes,
        parameters=parameters(cls),
    )


def _count(count: object, noun: str) -> str:
    """The rule of a count; empty for one that depends on the layer's parameters."""
    return count.text(noun) if isinstance(count, Count) else ""


def parameters(cls: type[Layer]) -> tuple[ParameterDocumentation, ...]:
    """The documentation of each parameter, in the order of the dataclass's fields."""
    hints, meanings = get_type_hints(cls), _meanings(cls)
    return tuple(
        ParameterDocumentation(
            field.name,
            type_text(hints[field.name]),
            _default(field),
            meanings.get(field.name, ""),
            cls.fields_of(field.name),
        )
        for field in dataclasses.fields(cls)
    )


def type_text(hint: Any) -> str:
    """A type in words.

    >>> type_text(tuple[int, int] | None), type_text(tuple[float, ...]), type_text(Literal["L1", "L2"])
    ('pair of int or none', 'list of float', '`L1` or `L2`')
    """
    arguments = get_args(hint)
    if get_origin(hint) in (Union, UnionType):
        return " or ".join(map(type_text, arguments))
    if get_origin(hint) is Literal:
        words = [f"`{word}`" for word in arguments]
        return " or ".join([", ".join(words[:-1]), words[-1]])
    if get_origin(hint) is tuple:
        return f"{'list' if arguments[-1] is Ellipsis else 'pair'} of {type_text(arguments[0])}"
    return TYPE_NAMES.get(hint) or _words(hint.__name__)


def _words(name: str) -> str:
    """The name of a class in words.

    >>> _words("RandomNumber"), _words("Filler"), _words("int")
    ('random number', 'filler', 'int')
    """
    return "".join(f" {c.lower()}" if c.isupper() else c for c in name).strip()


def _default(field: dataclasses.Field[Any]) -> str | None:
    if field.default_factory is not dataclasses.MISSING:
        return _value(field.default_factory())
    return None if field.default is dataclasses.MISSING else _value(field.default)


def _value(value: Any) -> str:
    """A default in prototxt notation.

    >>> [_value(v) for v in (True, 1e-9, (), (1, 1), "MAX", "", None, Filler(value=1))]
    ['true', '1e-09', 'empty', '1, 1', 'MAX', 'empty', 'none', '`constant` with value 1']
    """
    if isinstance(value, Filler):
        return f"`{value.type}` with value {value.value:g}"
    if isinstance(value, tuple):
        return ", ".join(map(_value, value)) or "empty"
    if isinstance(value, (int, float)):
        return str(value).lower() if isinstance(value, bool) else f"{value:g}"
    return "none" if value is None else str(value) or "empty" if isinstance(value, str) else "unset"


def _docstring(cls: type[Layer], text: str) -> str:
    """The docstring of `help(cls)`."""
    from inspect import cleandoc

    listed = [f"    {one}: {' '.join(one.meaning.split())}" for one in parameters(cls)]
    return "\n".join([cleandoc(text), *(["", "Parameters:", *listed] if listed else [])])


def _own_docstring(cls: type[Layer]) -> str:
    from inspect import cleandoc

    found = vars(cls).get("__doc__")
    return cleandoc(found.text if isinstance(found, LayerDocstring) else found or "")


def _sections(text: str) -> tuple[list[str], dict[str, str]]:
    """The paragraphs without a title, and those that begin with one; examples are omitted."""
    plain: list[str] = []
    titled: dict[str, str] = {}
    for paragraph in text.split("\n\n"):
        title, colon, rest = paragraph.partition(": ")
        if colon and title in ("Shapes", "Reference"):
            titled[title] = " ".join(rest.split())
        elif not paragraph.startswith(">>>"):
            plain.append(" ".join(paragraph.split()))
    return plain, titled


def _meanings(cls: type[Layer]) -> dict[str, str]:
    """The string below each field of the class and its bases."""
    found: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        found |= _strings(base.__module__).get(base.__qualname__, {})
    return found


@cache
def _strings(module: str) -> dict[str, dict[str, str]]:
    """The strings below annotated names of each class of a module; empty if its source is not available."""
    import ast
    import inspect

    try:
        tree = ast.parse(inspect.getsource(sys.modules[module]))
    except (OSError, TypeError):
        return {}
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    return {one.name: _below(one.body) for one in classes}


def _below(body: list[Any]) -> dict[str, str]:
    import ast
    import inspect

    return {
        field.target.id: inspect.cleandoc(after.value.value)
        for field, after in pairwise(body)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant) and isinstance(after.value.value, str)
    }
