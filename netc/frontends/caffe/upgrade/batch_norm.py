"""Sets the learning rates of the three blobs of BatchNorm layers to 0 (UpgradeNetBatchNorm)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netc.frontends.caffe.upgrade.edits import respelled, word
from netc.text import Message, Scalar
from netc.text.literals import real

if TYPE_CHECKING:
    from netc.frontends.caffe.upgrade.findings import Findings

NOTE = "the three blobs of BatchNorm are statistics, which are not learned"


def upgrade_layer(layer: Message, findings: Findings) -> None:
    """Set `lr_mult` and `decay_mult` to 0 if a BatchNorm layer has exactly three `param` entries."""
    specs = [value for field in layer.fields if field.name == "param" for value in field.values]
    if len(specs) != 3:
        return
    for spec in specs:
        if not isinstance(spec, Message):
            continue
        if not _is_zero(spec, "lr_mult"):
            message = "`lr_mult` of a BatchNorm layer: read as 0"
            span = spec.span_of("lr_mult") or spec.span
            findings.note("W035", message, span, (NOTE,))
        _set_zero(spec, "lr_mult")
        _set_zero(spec, "decay_mult")


def _is_zero(spec: Message, name: str) -> bool:
    values = spec.get(name)
    return bool(values) and all(real(word(value) or "") == 0 for value in values)


def _set_zero(spec: Message, name: str) -> None:
    if _is_zero(spec, name):
        return
    fields = spec.named(name)
    if fields and fields[0].values:
        fields[0].values = [respelled(fields[0].values[0], "0")]
        fields[0].listed = False
    else:
        spec.append(name, Scalar("0"))
