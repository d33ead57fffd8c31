"""Data transforms that stand with a layer's source: moved to `transform_param`.

As UpgradeNetDataTransformation does it, for V1 layers alone: in a `layer` Caffe does not read them, which is a finding.
"""

from __future__ import annotations

from netc.frontends.caffe.upgrade.edits import first_word, message_of, substitute
from netc.frontends.caffe.upgrade.findings import Findings
from netc.layers import layer_classes
from netc.schema import caffe
from netc.text import Message

FIELDS = ("scale", "mean_file", "crop_size", "mirror")
SOURCES = frozenset(
    field.name
    for field in caffe.LayerParameter.DESCRIPTOR.fields
    if field.name != "transform_param"
    and field.message_type is not None
    and all(name in field.message_type.fields_by_name for name in FIELDS)
)
"""The parameters of layers that read images, which once held transforms too."""


def source_of(kind: str) -> str | None:
    """The parameters in which a layer type names its source and once its transforms; None for any other type."""
    messages = (getattr(cls, "message", None) for cls in layer_classes(kind))
    return next((name for name in messages if name in SOURCES), None)


def upgrade_layer(layer: Message, findings: Findings) -> None:
    """Move the transforms of one layer that was V1; its type is V2's already."""
    name = source_of(first_word(layer, "type") or "")
    if name is None:
        return
    for source in layer.messages(name):
        old = [field for field in source.fields if field.name in FIELDS]
        if not old:
            continue
        transform = message_of(layer, "transform_param")
        for field in old:
            findings.note("W034", f"`{field.name}` in `{name}`: read as one of `transform_param`", field.name_span)
            for present in transform.named(field.name):
                transform.remove(present)
        substitute(source, dict.fromkeys(old, ()))
        transform.fields += old


def find_unread(source_name: str, source: Message, findings: Findings) -> None:
    """Tell of transforms in the source of a `layer`."""
    for field in source.fields:
        if field.name in FIELDS:
            message = f"Caffe does not read `{field.name}` in `{source_name}` of a `layer`"
            findings.note("W038", message, field.name_span, help="move it to `transform_param`")
