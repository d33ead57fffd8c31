"""Splits layers that BVLC's opencl branch fused into one: convolution and ReLU, LRN and pooling.

The fields `fuse_type`, `relu_param`, `eltwise_param` and `pooling_param` within the parameters of Convolution and LRN
say which layers follow; a program of that branch wrote such files. The weights stay those of the first layer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from netc.frontends.caffe.upgrade.edits import first_word, respelled, substitute
from netc.text import Field, Message, Scalar
from netc.text.literals import quote

if TYPE_CHECKING:
    from netc.frontends.caffe.upgrade.findings import Findings

OWNERS = ("convolution_param", "lrn_param")
PARTS = {
    "FUSED_CONV_RELU": ("ReLU",),
    "FUSED_CONV_ELTWISE": ("Eltwise",),
    "FUSED_CONV_ELTWISE_RELU": ("Eltwise", "ReLU"),
    "FUSED_CONV_MAX_POOLING_RELU": ("Pooling", "ReLU"),
    "FUSED_POOL_MAX": ("Pooling",),
}
"""The layers that follow, by `fuse_type`."""
PARAMETERS = {"ReLU": "relu_param", "Eltwise": "eltwise_param", "Pooling": "pooling_param"}
RULES = ("phase", "include", "exclude")
"""Fields that decide whether a layer is in the net, which all parts have."""


def is_fused(message: Message) -> bool:
    """Whether the parameters of a layer have a `fuse_type` other than UNFUSED, which changes nothing."""
    return first_word(message, "fuse_type") in PARTS


def split_layers(root: Message, fused: list[Message], findings: Findings) -> None:
    """Replace fused layers by their parts, in place; those with several tops or `fuse_type` stay."""
    fused = [layer for layer in fused if len(layer.get("top")) == len(_owners(layer)) == 1]
    names = {word for layer in root.messages("layer") for name in ("name", "top") for word in _words(layer, name)}
    instead: dict[Field, list[Field]] = {}
    for field in root.fields:
        if field.name != "layer" or not any(value in fused for value in field.values):
            continue
        instead[field] = [
            Field("layer", [part])
            for value in field.values
            for part in (_parts(value, names, findings) if isinstance(value, Message) and value in fused else [value])
        ]
    substitute(root, instead, keep_comments=True)


def _owners(layer: Message) -> list[Message]:
    """The messages with a `fuse_type`."""
    return [message for name in OWNERS for message in layer.messages(name) if is_fused(message)]


def _parts(layer: Message, names: set[str], findings: Findings) -> list[Message]:
    """The layer without what was fused into it, and the layers after it."""
    (owner,) = _owners(layer)
    kind = first_word(owner, "fuse_type") or ""
    findings.note("W040", f"`fuse_type: {kind}`: read as separate layers", owner.span_of("fuse_type"))
    parameters = {name: owner.named(name) for name in PARAMETERS.values()}
    for field in [*owner.named("fuse_type"), *(field for fields in parameters.values() for field in fields)]:
        owner.fields.remove(field)
    found = [layer]
    tops = next(field for field in layer.named("top") if field.values)
    top, name = first_word(layer, "top") or "", first_word(layer, "name") or ""
    at, between = tops.values[0], top
    spare = _take_second(layer) if "Eltwise" in PARTS[kind] else None
    if PARTS[kind][0] != "ReLU":  # ReLU alone runs in place
        between = _unused(f"{top}_fused", names)
        tops.values[0] = respelled(at, quote(between))
    for part in PARTS[kind]:
        own = _unused(f"{name or top}_{part.lower()}", names)
        inputs = [quote(top)] if part == "ReLU" else [quote(between)]
        fields = [
            Field("name", [respelled(at, quote(own))]),
            Field("type", [respelled(at, quote(part))]),
            *(Field("bottom", [respelled(at, text)]) for text in inputs),
            *([Field("bottom", [spare])] if part == "Eltwise" and spare is not None else []),
            Field("top", [respelled(at, quote(top))]),
            *parameters[PARAMETERS[part]],
            *(Field(rule.name, list(rule.values)) for rule_name in RULES for rule in layer.named(rule_name)),
        ]
        found.append(Message(fields))
    return found


def _take_second(layer: Message) -> Scalar | Message | None:
    """Remove the second bottom of a layer and return it."""
    values = [(field, value) for field in layer.named("bottom") for value in field.values]
    if len(values) < 2:
        return None
    field, value = values[1]
    field.values.remove(value)
    if not field.values:
        layer.fields.remove(field)
    return value


def _words(layer: Message, name: str) -> list[str]:
    return [value.raw.strip("\"'") for value in layer.get(name) if isinstance(value, Scalar)]


def _unused(name: str, names: set[str]) -> str:
    """The name, with a number if it is taken; takes it."""
    number, found = 1, name
    while found in names:
        number += 1
        found = f"{name}{number}"
    names.add(found)
    return found
