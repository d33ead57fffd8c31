"""The registry of layer classes by type name and dialect.

A name may have several meanings: forks of Caffe gave the same name to different layers (`Upsample`, `BN`, `Interp`).
Each is registered under the name and its dialect, with a predicate that recognizes it by the layer's parameters,
bottoms and blobs:

    @register("Upsample", dialect="segnet", field="upsample_param", when=lambda use: use.bottoms == 2)

A well-known class of Python layers is replaced by a layer of ours, whatever the module's code would be; where forks
gave the same name to different classes, predicates choose here too:

    @register("Python", dialect="fast_rcnn", field="python_param", python=("rpn.proposal_layer.ProposalLayer",))

`choose` selects the class of one layer; if several classes or none fit, the error lists the candidates.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from netc.diagnostics import Diagnostic, NetcError, counted
from netc.ir.documentation import LayerDocstring
from netc.ir.fields import Fields
from netc.ir.layer import Layer

L = TypeVar("L", bound=type[Layer])


@dataclass(frozen=True)
class LayerUse:
    """The properties of a layer in a file that distinguish the meanings of its type name."""

    parameters: Fields
    """The whole layer message, with every field that the file sets."""
    bottoms: int
    tops: int
    blobs: int | None = None
    """Number of blobs that the weights file holds for the layer; None without such a file."""
    neighbors: frozenset[str] = frozenset()
    """The types of all layers of the net: `Interp` among them indicates PSPNet's fork."""


Predicate = Callable[[LayerUse], bool]

BVLC = "bvlc"
"""The name of BVLC's Caffe among the dialects, for users."""

_BY_TYPE: dict[str, dict[str, type[Layer]]] = {}
"""The classes of each name, by dialect."""
_PREDICATES: dict[type[Layer], Predicate] = {}
_BY_PYTHON_CLASS: dict[str, dict[str, type[Layer]]] = {}
"""The layers that replace Python layers, by `module.Class` and dialect."""
_LIKELY: set[type[Layer]] = set()
"""The classes that are chosen, with a warning, if others fit as well."""


def register(
    name: str,
    *,
    field: str | None = None,
    v1: str | None = None,
    dialect: str = "",
    when: Predicate | None = None,
    python: tuple[str, ...] = (),
    likely: bool = False,
) -> Callable[[L], L]:
    """Class decorator: register the class as layer type `name` of a dialect.

    `field` is the LayerParameter field with its parameters, `v1` its name in V1LayerParameter.LayerType. `dialect` is
    the fork of Caffe that defines the type, empty for BVLC. `when` recognizes a layer of this meaning, and its
    docstring states how, for users; a class without `when` is chosen if no predicate of another class holds. A `likely`
    meaning is chosen in doubt, which is a warning. `python` lists the classes of Python layers, as `module.Class`, that
    the class replaces; it is chosen for these only. Raises ValueError for a name that is already registered in this
    dialect.
    """

    def add(cls: L) -> L:
        tables = [_BY_PYTHON_CLASS.setdefault(one, {}) for one in python] or [_BY_TYPE.setdefault(name, {})]
        for meanings in tables:
            if dialect in meanings:
                shown = _shown(name, dialect)
                raise ValueError(f"layer type {shown} is registered twice: {meanings[dialect]} and {cls}")
            meanings[dialect] = cls
        cls.type, cls.param_field, cls.v1, cls.dialect, cls.python_classes = name, field, v1, dialect, python
        cls.__doc__ = LayerDocstring(cls.__doc__ or "")  # type: ignore[assignment]
        if when is not None:
            _PREDICATES[cls] = when
        if likely:
            _LIKELY.add(cls)
        return cls

    return add


def _shown(name: str, dialect: str) -> str:
    return f"{name} of {dialect}" if dialect else name


def layer_classes(name: str) -> tuple[type[Layer], ...]:
    """Return every class of a layer type, BVLC's first; none for an unknown type.

    Those that replace a class of Python layers come last.
    Imports only the modules whose source registers the type: a net uses few of them, and importing all is slow.
    """
    modules = _modules()
    if name not in modules and name not in _BY_TYPE:
        _import_all()
    for module in modules.get(name, ()):
        importlib.import_module(f"netc.layers.{module}")
    replacements = (cls for meanings in _BY_PYTHON_CLASS.values() for cls in meanings.values() if cls.type == name)
    return tuple(dict.fromkeys((*_meanings(name), *replacements)))


def _meanings(name: str) -> list[type[Layer]]:
    """Return the classes of a layer type that replace no Python layer, BVLC's first."""
    meanings = _BY_TYPE.get(name, {})
    return [meanings[dialect] for dialect in sorted(meanings)]


class Choice(NamedTuple):
    """The class of a layer."""

    cls: type[Layer] | None
    """None for an unknown type."""
    doubt: Diagnostic | None = None
    """A warning if other meanings fit the layer as well."""


def choose(name: str, use: LayerUse, dialect: str | None = None) -> Choice:
    """Choose the class of a layer of type `name`.

    A class of the `dialect` that the user names is chosen first. Otherwise it is the only class whose predicate holds
    or, if no predicate holds, the only class without a predicate; of several, the only likely one, with the warning
    W014. A Python layer of a well-known class is replaced, unless the user names BVLC's dialect. Raises NetcError E014
    unless exactly one is left.
    """
    if layer_classes(name) and dialect != BVLC and (replacement := _replacement(name, use)):
        return Choice(replacement)
    classes = _meanings(name)
    if len(classes) == 1 and classes[0] not in _PREDICATES:
        return Choice(classes[0])
    named = None if dialect is None else _BY_TYPE.get(name, {}).get("" if dialect == BVLC else dialect)
    if named is not None:
        return Choice(named)
    holding = [cls for cls in classes if cls in _PREDICATES and _PREDICATES[cls](use)]
    fitting = holding or [cls for cls in classes if cls not in _PREDICATES]
    if len(fitting) > 1:
        return _likely(name, fitting)
    if classes and not fitting:
        raise _ambiguous(name, f"no meaning of layer type `{name}` fits this layer", classes)
    return Choice(fitting[0] if fitting else None)


def _replacement(name: str, use: LayerUse) -> type[Layer] | None:
    """Return the class that replaces the Python layer, None if its class is not a well-known one."""
    p = use.parameters.message("python_param")
    meanings = _BY_PYTHON_CLASS.get(f"{p.get('module', '')}.{p.get('layer', '')}", {}).values()
    classes = [cls for cls in meanings if cls.type == name]
    holding = [cls for cls in classes if cls in _PREDICATES and _PREDICATES[cls](use)]
    return next(iter(holding or [cls for cls in classes if cls not in _PREDICATES]), None)


def how_recognized(cls: type[Layer]) -> str | None:
    """Return how a layer of this meaning is recognized, in words; None for a class without a predicate."""
    when = _PREDICATES.get(cls)
    return None if when is None else " ".join((when.__doc__ or "").split())


def _likely(name: str, fitting: Sequence[type[Layer]]) -> Choice:
    likely = [cls for cls in fitting if cls in _LIKELY]
    if len(likely) != 1:
        raise _ambiguous(name, f"{counted(len(fitting), 'meaning')} of layer type `{name}` fit this layer", fitting)
    chosen = likely[0].dialect or BVLC
    message = f"several meanings of layer type `{name}` fit this layer: that of {chosen} was chosen"
    return Choice(likely[0], Diagnostic("W014", message, **_candidates(name, fitting)))


def _ambiguous(name: str, message: str, candidates: Collection[type[Layer]]) -> NetcError:
    return NetcError([Diagnostic("E014", message, **_candidates(name, candidates))])


def _candidates(name: str, classes: Collection[type[Layer]]) -> dict[str, Any]:
    """The parts of a diagnostic that lists meanings of a type."""
    notes = tuple(f"`{name}` of {cls.dialect or 'BVLC'}: {_summary(cls)}" for cls in classes)
    dialects = " or ".join(f"`--dialect {cls.dialect or BVLC}`" for cls in classes)
    return {"field": "type", "notes": notes, "help": f"name the dialect of the file: {dialects}"}


def _summary(cls: type[Layer]) -> str:
    """Return the first sentence of a class's documentation."""
    return (cls.__doc__ or cls.__name__).strip().partition("\n")[0].rstrip(".")


@cache
def _modules() -> dict[str, tuple[str, ...]]:
    """Return the modules of each type that is registered under a literal name; empty without source files."""
    found: dict[str, tuple[str, ...]] = {}
    folder = Path(__file__).parent
    for file in sorted(folder.rglob("[!_]*.py")):
        module = ".".join(file.relative_to(folder).with_suffix("").parts)
        for name in _REGISTERED.findall(file.read_text(encoding="utf-8")):
            found[name] = (*found.get(name, ()), module)
    return found


_REGISTERED = re.compile(r'^@register\(\s*"(\w+)"', re.MULTILINE)


def registry() -> dict[str, type[Layer]]:
    """Return the class of every layer type by Caffe's name; of several classes BVLC's, or that of the first dialect.

    The first call imports every module of this package.
    """
    _import_all()
    return {name: meanings[min(meanings)] for name, meanings in _BY_TYPE.items()}


@cache
def _import_all() -> None:
    package = importlib.import_module("netc.layers")
    for module in pkgutil.walk_packages(package.__path__, "netc.layers."):
        if not module.name.rpartition(".")[2].startswith("_"):
            importlib.import_module(module.name)
