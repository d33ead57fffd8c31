"""Parts of a net as text, without what Caffe adds to a net before it writes it.

Caffe writes the net of one phase as it ran: every layer with `phase`, rules that have been applied, and a Split behind
each blob that several layers read (`net.cpp`, Init and ToProto; `insert_splits.cpp`). In a prototxt these would leave
layers out in the other phase, and nobody writes the last.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from netc.frontends.caffe.binary.decode import Parts


def text_of(net: Parts) -> str:
    """The net as a prototxt, two spaces a level."""
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
    """The layers as a person wrote them: no Splits of Caffe's, and no rules where they have been applied.

    A layer that neither reads nor gives anything is left out: it only holds blobs, which a net may hold and not use.
    """
    applied = ["phase"] if _both_phases(layers) else ["phase", "include", "exclude"]
    kept = [layer for layer in _without_splits(layers) if layer.keys() & {"bottom", "top"}]
    for layer in kept:
        for name in applied:
            layer.pop(name, None)
    return kept


def _both_phases(layers: list[Parts]) -> bool:
    """Whether layers for training stand beside layers for testing: nobody has applied the rules yet."""
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
    """A Split that Caffe named: `conv1_relu1_0_split`, its tops numbered."""
    (name, *_), tops = layer.get("name", ['""']), layer.get("top", [])
    expected = [f'{name[:-1]}_{index}"' for index in range(len(tops))]
    splits = layer.get("type") in (['"Split"'], ["SPLIT"]) and len(layer["bottom"]) == 1
    return splits and name.endswith('_split"') and tops == expected and "loss_weight" not in layer
