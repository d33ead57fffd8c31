"""Renamed fields that Caffe still reads under the old name. Like Caffe's tools, the upgrade does not change them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from netc.frontends.caffe.upgrade.findings import Findings
    from netc.text import Message

RENAMED = {"concat_param": {"concat_dim": "axis"}, "slice_param": {"slice_dim": "axis"}}
"""By message: the old and the new name."""


def find_deprecated(name: str, message: Message, findings: Findings) -> None:
    """Report fields with an old name in the parameters of a layer."""
    renamed = RENAMED[name]
    for field in message.fields:
        new = renamed.get(field.name)
        if new is not None:
            text = f"`{field.name}` in `{name}` is now called `{new}`"
            findings.note("W037", text, field.name_span, help=f"write `{new}`; the values mean the same")
