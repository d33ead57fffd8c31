"""Nets written in Python: `layers`, `params`, NetSpec.

    n = NetSpec()
    n.data = layers.Input(shape=dict(dim=[1, 3, 224, 224]))
    n.conv1 = layers.Convolution(n.data, kernel_size=3, num_output=8, weight_filler=dict(type="xavier"))
    n.relu1 = layers.ReLU(n.conv1, in_place=True)
    print(n.to_proto())

A keyword of a layer is a field of its parameter message or, if it ends in `param` or the message has no such field, of
LayerParameter. Dicts become messages, lists repeated fields; a single value of a repeated field is treated as a list of
one.

Reference: Caffe's `net_spec.py`, of which this has every public name.
"""

from __future__ import annotations

import functools
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from netc.diagnostics import NetcError, did_you_mean
from netc.layers import layer_classes
from netc.schema import Message, caffe, descriptor, is_bvlc

__all__ = [
    "Function",
    "Layers",
    "NetSpec",
    "Parameters",
    "Top",
    "assign_proto",
    "layers",
    "param_name_dict",
    "params",
    "to_proto",
]

Values = Mapping[str, Any] | Iterable[tuple[str, Any]]


class UnknownFieldError(NetcError, AttributeError):
    """A parameter that a layer or a message does not have."""


class NotATopError(NetcError, TypeError):
    """An input of a layer that is not a Top."""


class Top:
    """One output of a layer."""

    def __init__(self, fn: Function, n: int) -> None:
        self.fn, self.n = fn, n

    def to_proto(self) -> Message:
        """The NetParameter of all layers that this top needs."""
        return to_proto(self)


class Function:
    """A layer with its inputs (Tops of others) and parameters; `ntop` and `in_place` are removed from the latter."""

    def __init__(self, type_name: str, inputs: tuple[Any, ...], params: dict[str, Any]) -> None:
        for index, given in enumerate(inputs):
            if not isinstance(given, Top):
                message = f"{type_name} input {index} is not a Top (type is {type(given)})"  # Caffe's words
                raise NotATopError(message, code="E309")
        self.type_name, self.inputs, self.params = type_name, inputs, dict(params)
        self.ntop: int = self.params.pop("ntop", 1)
        self.in_place: bool = self.params.pop("in_place", False)
        self.tops = tuple(Top(self, n) for n in range(self.ntop))


def to_proto(*tops: Top) -> Message:
    """The NetParameter of all layers that the given tops need, with blobs named after their layers' types."""
    writer = _Writer({})
    for top in tops:
        writer.add(top.fn)
    return writer.net


class NetSpec:
    """Named tops, set as attributes or items; the first top of a layer also names the layer."""

    def __init__(self) -> None:
        object.__setattr__(self, "tops", OrderedDict())

    tops: OrderedDict[str, Any]

    def __setattr__(self, name: str, value: Any) -> None:
        self.tops[name] = value

    def __getattr__(self, name: str) -> Any:
        try:
            return self.tops[name]
        except KeyError:
            raise AttributeError(f"the net has no top {name!r}") from None

    def __setitem__(self, name: str, value: Any) -> None:
        self.tops[name] = value

    def __getitem__(self, name: str) -> Any:
        return self.tops[name]

    def __delitem__(self, name: str) -> None:
        del self.tops[name]

    def __contains__(self, name: str) -> bool:
        return name in self.tops

    def keys(self) -> list[str]:
        """The names of the tops, in the order in which they were set: a list, which scripts index."""
        return list(self.tops)

    def values(self) -> list[Any]:
        """The tops."""
        return list(self.tops.values())

    vals = values

    def items(self) -> list[tuple[str, Any]]:
        """Names and tops."""
        return list(self.tops.items())

    def update(self, others: NetSpec | Values) -> None:
        """Set the tops of another net, or of a dict or pairs."""
        self.tops.update(others.tops if isinstance(others, NetSpec) else others)

    def to_proto(self) -> Message:
        """The NetParameter of all layers that the named tops need."""
        writer = _Writer({value: name for name, value in self.tops.items()})
        for value in self.tops.values():
            writer.add(value.fn if isinstance(value, Top) else value)
        return writer.net


class _Writer:
    def __init__(self, names: dict[Any, str]) -> None:
        self.names = names
        self.net = caffe.NetParameter()
        self._counts: Counter[str] = Counter()
        self._blobs: dict[Function, list[str]] = {}

    def add(self, fn: Function) -> list[str]:
        """Return the names of a layer's tops; the first call writes the layer, after those that it reads."""
        if fn not in self._blobs:
            bottoms = [self.add(top.fn)[top.n] for top in fn.inputs]
            tops = bottoms[: fn.ntop] if fn.in_place else [self._name(top, fn) for top in fn.tops]
            self._blobs[fn] = tops
            self._write(fn, bottoms, tops)
        return self._blobs[fn]

    def _write(self, fn: Function, bottoms: list[str], tops: list[str]) -> None:
        name = self._name(fn.tops[0] if fn.tops else fn, fn)
        layer = self.net.layer.add(name=name, type=fn.type_name, bottom=bottoms, top=tops)
        for field, value in fn.params.items():
            assign_proto(_owner(layer, field), field, value)

    def _name(self, key: Any, fn: Function) -> str:
        if key not in self.names:
            self._counts[fn.type_name] += 1
            self.names[key] = f"{fn.type_name}{self._counts[fn.type_name]}"
        return self.names[key]


def _owner(layer: Any, field: str) -> Any:
    """The message of a layer that contains a field: its parameters, or the layer itself."""
    own = param_field(layer.type)
    if own and not field.endswith("param") and field in getattr(layer, own).DESCRIPTOR.fields_by_name:
        return getattr(layer, own)
    if field in layer.DESCRIPTOR.fields_by_name:
        return layer
    candidates = getattr(layer, own).DESCRIPTOR.fields_by_name if own else layer.DESCRIPTOR.fields_by_name
    message = f"`{layer.type}` has no parameter `{field}`"
    raise UnknownFieldError(message, code="E309", help=did_you_mean(field, candidates))


@functools.cache
def param_field(type_name: str) -> str | None:
    """The field of LayerParameter with a type's parameters: its class's or, for data layers, that of its name."""
    known = [cls.param_field for cls in layer_classes(type_name) if cls.param_field]
    named = param_name_dict().get(type_name)
    return known[0] if known else f"{named}_param" if named else None


def param_name_dict() -> dict[str, str]:
    """The names of parameter fields without `_param`, by the names of their messages without `Parameter`.

    Where a fork has a second field of a message, the name is BVLC's.

    >>> param_name_dict()["InnerProduct"]
    'inner_product'
    """
    fields = [field for field in descriptor("LayerParameter").fields if field.name.endswith("_param")]
    by_fork = sorted(fields, key=lambda field: is_bvlc(field))
    return {f.message_type.name.removesuffix("Parameter"): f.name.removesuffix("_param") for f in by_fork}


def assign_proto(message: Any, field: str, value: Any) -> None:
    """Set a field of a message to a value, a list for a repeated field, or a dict for a message.

    Raises NetcError E309, also an AttributeError, for a field that the message does not have.
    """
    if field not in message.DESCRIPTOR.fields_by_name:
        near = did_you_mean(field, message.DESCRIPTOR.fields_by_name)
        raise UnknownFieldError(f"`{message.DESCRIPTOR.name}` has no field `{field}`", code="E309", help=near)
    current = getattr(message, field)
    if hasattr(current, "extend"):
        for one in value if isinstance(value, (list, tuple)) else [value]:
            _append(current, one)
    elif isinstance(value, Mapping):
        current.SetInParent()
        _fill(current, value)
    else:
        setattr(message, field, value)


def _append(repeated: Any, value: Any) -> None:
    if isinstance(value, Mapping):
        _fill(repeated.add(), value)
    else:
        repeated.append(value)


def _fill(message: Any, values: Mapping[str, Any]) -> None:
    for field, value in values.items():
        assign_proto(message, field, value)


class Layers:
    """`layers.TYPE(*bottoms, **parameters)`: one Top, or with `ntop` a tuple of them, or with `ntop=0` the Function."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def layer(*inputs: Top, **parameters: Any) -> Any:
            fn = Function(name, inputs, parameters)
            return {0: fn, 1: fn.tops[0] if fn.tops else None}.get(fn.ntop, fn.tops)

        return layer


class Parameters:
    """`params.Pooling.MAX`: the constants of a parameter message."""

    def __getattr__(self, name: str) -> Any:
        try:
            return getattr(caffe, f"{name}Parameter")
        except AttributeError:
            raise AttributeError(f"unknown parameters {name!r}") from None


layers = Layers()
params = Parameters()
