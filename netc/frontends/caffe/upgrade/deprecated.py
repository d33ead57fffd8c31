"""Fields with a newer name that Caffe still reads under the old one; its tools leave them, and so does the upgrade."""

from __future__ import annotations

from netc.frontends.caffe.upgrade.findings import Findings
from netc.text import Message

RENAMED = {"concat_param": {"concat_dim": "axis"}, "slice_param": {"slice_dim": "axis"}}
"""By message: the old name and the new one."""


def find_deprecated(name: str, message: Message, findings: Findings) -> None:
    """Tell of fields with an old name in the parameters of a layer."""
    renamed = RENAMED[name]
    for field in message.fields:
        new = renamed.get(field.name)
        if new is not None:
            text = f"`{field.name}` in `{name}` is now called `{new}`"
            findings.note("W037", text, field.name_span, help=f"write `{new}`; the values mean the same")
