"""Label maps: the numbers of the classes of a detector, and their names (SSD's LabelMap, a prototxt)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from netc.diagnostics import Diagnostic, NetcError, Span, did_you_mean
from netc.text import from_message, parse, read_source, to_message

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from netc.schema import caffe
    from netc.text import Message

BACKGROUND = "none_of_the_above"


class LabelMapEntry(NamedTuple):
    """A class."""

    name: str
    """As in annotations: of COCO the number of the category."""
    label: int
    shown: str
    """The name for users."""


@dataclass(frozen=True)
class LabelMap:
    """The classes of a label map; labels may have gaps."""

    entries: tuple[LabelMapEntry, ...]

    def label(self, *names: str) -> int | None:
        """The label of the first of these names that the map has, also as a name for users; None for unknown names.

        >>> LabelMap((LabelMapEntry("17", 17, "cat"),)).label("dog", "cat")
        17
        """
        by_name = {entry.shown: entry.label for entry in self.entries}
        by_name |= {entry.name: entry.label for entry in self.entries}
        return next((by_name[name] for name in names if name in by_name), None)

    def shown(self, label: int) -> str:
        """The name of a label for users; the number for an unknown one."""
        return next((entry.shown for entry in self.entries if entry.label == label), str(label))

    def suggestion(self, name: str) -> str | None:
        """A help text that names the most similar class."""
        return did_you_mean(name, [entry.name for entry in self.entries])

    def text(self) -> str:
        """The map as a prototxt."""
        from netc.schema import caffe

        items = [caffe.LabelMapItem(name=e.name, label=e.label, display_name=e.shown) for e in self.entries]
        return from_message(caffe.LabelMap(item=items))


def read_label_map(path: Path | str) -> LabelMap:
    """The classes of a label map file.

    Raises NetcError E001 to E009 for a file that is not a prototxt, E513 for an item without a name or label, a name or
    label that occurs twice, and a file without items.
    """
    tree = parse(read_source(path))
    message, found = to_message(tree, "caffe.LabelMap")
    errors = [one for one in found if one.severity == "error"]
    errors = errors or list(_faults(message, tree.root.messages("item"), tree.root.span))  # type: ignore[arg-type]
    if errors:
        raise NetcError(errors)
    items = message.item  # type: ignore[attr-defined]
    return LabelMap(tuple(LabelMapEntry(item.name, item.label, item.display_name or item.name) for item in items))


def label_map_of(names: Iterable[str]) -> LabelMap:
    """A label map of classes, numbered from 1 in this order; 0 is the background."""
    entries = [LabelMapEntry(BACKGROUND, 0, "background")]
    return LabelMap((*entries, *(LabelMapEntry(name, label, name) for label, name in enumerate(names, 1))))


def _faults(message: caffe.LabelMap, nodes: list[Message], whole: Span | None) -> Iterable[Diagnostic]:
    if not nodes:
        yield Diagnostic("E513", "the label map has no `item`", whole)
    seen: dict[str | int, int] = {}
    for item, node in zip(message.item, nodes):
        if not item.HasField("name") or not item.HasField("label"):
            missing = "label" if item.HasField("name") else "name"
            yield Diagnostic("E513", f"the item has no `{missing}`", node.span)
            continue
        for field, value in (("name", item.name), ("label", item.label)):
            if value in seen:
                yield Diagnostic("E513", f"{field} `{value}` occurs twice in the label map", node.span_of(field))
            seen[value] = 1
