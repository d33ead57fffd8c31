"""Formats the Parts of a net as text, without what Caffe adds to a net before writing it.

Caffe writes the net of one phase as it ran: `phase` in every layer, rules that have already been applied, and a Split
after each blob that several layers read (`net.cpp`, Init and ToProto; `insert_splits.cpp`). In a prototxt, the first
two would exclude layers from the other phase, and Splits are not written by hand.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from netc.frontends.caffe.binary.decode import Parts


def text_of(net: Parts) -> str:
    """Return the net as a prototxt, with two spaces per level."""
    return "".join(_lines(net, ""))


def _lines(parts: Parts, indent: str) -> Iterator[str]:
    for name, values in parts.items():
        for value in values:
            if isinstance(value, str):
                yield f"{indent}{name}: {value}\n"
            else:
                yield f"{indent}{name} {{\n"
                yield from _lines(value, indent + "  ")
                yield f"{indent}}}\n"


def as_written(layers: list[Parts]) -> list[Parts]:
    """Return the layers as in the original prototxt: without inserted Splits and rules that have been applied.

    A layer without bottoms and tops is left out: it only holds blobs that the net does not use.
    """
    applied = ["phase"] if _both_phases(layers) else ["phase", "include", "exclude"]
    kept = [layer for layer in _without_splits(layers) if layer.keys() & {"bottom", "top"}]
    for layer in kept:
        for name in applied:
            layer.pop(name, None)
    return kept


def _both_phases(layers: list[Parts]) -> bool:
    """Whether the net has layers for both training and testing, so that its rules have not been applied yet."""
    return {"TRAIN", "TEST"} <= {
        phase for layer in layers for rule in layer.get("include", ()) for phase in _words(rule, "phase")
    }


def _words(rule: Parts | str, name: str) -> list[Any]:
    return [] if isinstance(rule, str) else rule.get(name, [])


def _without_splits(layers: list[Parts]) -> list[Parts]:
    blobs: dict[str, str] = {}
    kept = []
    for layer in layers:
        layer["bottom"] = [blobs.get(name, name) for name in layer.get("bottom", ())]
        if _is_inserted(layer):
            blobs.update(dict.fromkeys(layer["top"], layer["bottom"][0]))
            continue
        if not layer["bottom"]:
            del layer["bottom"]
        kept.append(layer)
    return kept


def _is_inserted(layer: Parts) -> bool:
    """Whether a layer is a Split that Caffe inserted: `conv1_relu1_0_split` with numbered tops."""
    (name, *_), tops = layer.get("name", ['""']), layer.get("top", [])
    expected = [f'{name[:-1]}_{index}"' for index in range(len(tops))]
    splits = layer.get("type") in (['"Split"'], ["SPLIT"]) and len(layer["bottom"]) == 1
    return splits and name.endswith('_split"') and tops == expected and "loss_weight" not in layer
