"""Moves data transforms in the source parameters of a layer to `transform_param`.

As in UpgradeNetDataTransformation, only for V1 layers; in a `layer`, Caffe ignores these fields, which is reported.
WindowData is the exception (`window_data_layer.cpp`): it reads `scale` in its own message only, which the upgrade of V1
layers empties, and of `transform_param` no more than the mean, the crop and `mirror`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from netc.frontends.caffe.upgrade.edits import first_word, message_of, substitute
from netc.layers import layer_classes
from netc.schema import caffe

if TYPE_CHECKING:
    from netc.frontends.caffe.upgrade.findings import Findings
    from netc.text import Message

FIELDS = ("scale", "mean_file", "crop_size", "mirror")
SOURCES = frozenset(
    field.name
    for field in caffe.LayerParameter.DESCRIPTOR.fields
    if field.name != "transform_param"
    and field.message_type is not None
    and all(name in field.message_type.fields_by_name for name in FIELDS)
)
"""The parameter fields of layers that read images, which used to contain the transforms too."""


WINDOWS = "window_data_param"
READ_BY_WINDOWS = ("mean_file", "mean_value", "crop_size", "mirror")
"""The fields of `transform_param` that WindowData reads."""


def sources_of(kind: str) -> tuple[str, ...]:
    """Return the parameter fields of a layer type's meanings with their source and formerly their transforms."""
    messages = (getattr(cls, "message", "") for cls in layer_classes(kind))
    return tuple(name for name in dict.fromkeys(messages) if name in SOURCES)


def upgrade_layer(layer: Message, findings: Findings) -> None:
    """Move the transforms of a V1 layer whose type has already been upgraded."""
    for name in sources_of(first_word(layer, "type") or ""):
        for source in layer.messages(name):
            _upgrade_source(layer, name, source, findings)


def _upgrade_source(layer: Message, name: str, source: Message, findings: Findings) -> None:
    old = [field for field in source.fields if field.name in FIELDS]
    if not old:
        return
    transform = message_of(layer, "transform_param")
    for field in old:
        findings.note("W034", f"`{field.name}` in `{name}`: read as one of `transform_param`", field.name_span)
        for present in transform.named(field.name):
            transform.remove(present)
    substitute(source, dict.fromkeys(old, ()))
    transform.fields += old


def find_unread(source_name: str, source: Message, findings: Findings) -> None:
    """Report transforms in the source parameters of a `layer`."""
    for field in source.fields:
        if field.name in FIELDS and (source_name, field.name) != (WINDOWS, "scale"):
            message = f"Caffe does not read `{field.name}` in `{source_name}` of a `layer`"
            findings.note("W038", message, field.name_span, help="move it to `transform_param`")


def find_unread_by_windows(transform: Message, findings: Findings) -> None:
    """Report the fields of the `transform_param` of a WindowData layer that it does not read."""
    for field in transform.fields:
        if field.name not in READ_BY_WINDOWS:
            message = f"Caffe does not read `{field.name}` in the `transform_param` of a WindowData layer"
            help_text = f"write it in `{WINDOWS}` of a `layer`" if field.name == "scale" else None
            findings.note("W038", message, field.name_span, help=help_text)
