"""Data transforms that stand with a layer's source: moved to `transform_param`.

As UpgradeNetDataTransformation does it, for V1 layers alone: in a `layer` Caffe does not read them, which is a finding.
"""

from __future__ import annotations

from netc.frontends.caffe.upgrade.edits import first_word, message_of, substitute
from netc.frontends.caffe.upgrade.findings import Findings
from netc.text import Message

SOURCES = {"Data": "data_param", "ImageData": "image_data_param", "WindowData": "window_data_param"}
FIELDS = ("scale", "mean_file", "crop_size", "mirror")


def upgrade_layer(layer: Message, findings: Findings) -> None:
    """Move the transforms of one layer that was V1; its type is V2's already."""
    name = SOURCES.get(first_word(layer, "type") or "")
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
            findings.note("W038", message, field.name_span, help="put it into `transform_param`")
