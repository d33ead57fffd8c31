"""V1 -> V2: `layers` with types from an enum become `layer` with types by name.

Source: `upgrade_proto.cpp` of BVLC Caffe 1.0 (UpgradeV1Net, UpgradeV1LayerParameter), with two differences: Caffe
ignores each `layer` of a file that has `layers`, and rejects a file that uses the syntax of one in the other; here both
are repaired and reported.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from netc.frontends.caffe.forks.layer_types import V1_TYPES
from netc.frontends.caffe.upgrade.edits import expand, respelled, single, substitute, word
from netc.layers import registry
from netc.schema import descriptor
from netc.text import Field, Message, Scalar

if TYPE_CHECKING:
    from collections.abc import Container

    from netc.frontends.caffe.upgrade.findings import Findings

SPEC = {"param": "name", "blob_share_mode": "share_mode", "blobs_lr": "lr_mult", "weight_decay": "decay_mult"}
"""Fields with one value per blob, and their names in `param`, in the order in which Caffe prints them."""


@cache
def types() -> dict[str, str]:
    """Return the layer types by name and by number in V1LayerParameter.LayerType."""
    found = {layer.v1: name for name, layer in registry().items() if layer.v1} | {"NONE": ""}
    values = descriptor("V1LayerParameter").enum_types_by_name["LayerType"].values
    numbers = {str(value.number): found[value.name] for value in values if value.name in found}
    return V1_TYPES | found | numbers


def upgrade_layers(root: Message, done: Container[Message], findings: Findings) -> None:
    """Upgrade every `layers` to `layer`; `done` contains former V0 layers, whose types were upgraded and reported."""
    modern = root.named("layer")
    for field in root.fields:
        if field.name == "layers":
            field.name = "layer"
            for message in field.values:
                if isinstance(message, Message):
                    _upgrade_layer(message, message in done, field, findings)
    if modern:
        note = f"Caffe ignores each `layer` of such a file ({len(modern)} here); netc reads all of them in file order"
        findings.note("W032", "the file mixes `layer` and `layers`", modern[0].name_span, (note,))


def _upgrade_layer(layer: Message, done: bool, field: Field, findings: Findings) -> None:
    if not done:
        findings.note("W031", "`layers` is the V1 format of 2014: read as `layer`", field.name_span)
        for kind in layer.named("type"):
            _type(kind, findings)
    _specs(layer)


def upgrade_layer(layer: Message, findings: Findings) -> None:
    """Repair a `layer` that uses V1 syntax. Caffe rejects such a file."""
    for field in layer.named("type"):
        value = field.values[0] if field.values else None
        if isinstance(value, Scalar) and not value.is_string and value.raw in types() and value.raw[0].isalpha():
            findings.note("W032", "a value of the V1 enum in a `layer`, which expects a type name", value.span)
            field.values[0] = respelled(value, f'"{types()[value.raw]}"')
    for field in _old_specs(layer):
        message = f"`{field.name}` of the V1 format in a `layer`: read as `{SPEC[field.name]}` in `param`"
        findings.note("W032", message, field.name_span)
    _specs(layer)


def _type(field: Field, findings: Findings) -> None:
    value = field.values[0] if field.values else None
    name = word(value) if isinstance(value, Scalar) else None
    if name is None or not isinstance(value, Scalar):
        return
    if value.is_string:
        findings.note("W032", "a type name in `layers`, which expects an enum value", value.span)
        if name not in types():
            return
    field.values[0] = respelled(value, f'"{types().get(name, name)}"')


def _old_specs(layer: Message) -> list[Field]:
    """The fields that belong in `param` in V2; in V1, `param` is the name of a blob."""
    old = [field for field in layer.fields if field.name in SPEC]
    return [f for f in old if f.name != "param" or any(isinstance(value, Scalar) for value in f.values)]


def _specs(layer: Message) -> None:
    """Replace `param`, `blob_share_mode`, `blobs_lr` and `weight_decay` by one `param { ... }` per blob."""
    old = _old_specs(layer)
    if not old:
        return
    present = [v for f in layer.named("param") for v in f.values if isinstance(v, Message)]
    specs = list(present)
    for kind in SPEC:
        parts = [part for field in old if field.name == kind for part in single(field)]
        for index, part in enumerate(parts):
            if index == len(specs):
                specs.append(Message())
            specs[index].fields.append(part)
            part.name = SPEC[kind]
    new = [Field("param", [spec]) for spec in specs[len(present) :]]
    expand(layer)
    substitute(layer, {**dict.fromkeys(old, ()), old[0]: new})
