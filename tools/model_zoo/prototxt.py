"""Writes nets as readable prototxt: short layers on one line, comments above sections.

A net is described once; `train` decides whether fillers, learning rates and losses are written. The two files of a net
therefore cannot part.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

WIDTH = 120


class Word(str):
    """A value without quotes: an enum's name."""

    __slots__ = ()


MAX, AVE, SUM = Word("MAX"), Word("AVE"), Word("SUM")
TRAIN, TEST, LMDB = Word("TRAIN"), Word("TEST"), Word("LMDB")


def show(value: object) -> str:
    """A scalar as text.

    >>> show("a"), show(Word("MAX")), show(True), show(1e-05), show(2), show(1e-14)
    ('"a"', 'MAX', 'true', '0.00001', '2', '1e-14')
    """
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.10f}".rstrip("0").rstrip(".") if 1e-9 < value < 1 else f"{value:g}"
    return f'"{value}"' if isinstance(value, str) and not isinstance(value, Word) else str(value)


def lines(name: str, value: Any, indent: str = "") -> list[str]:
    """A field as lines: a message on one line if it fits and contains at most one message."""
    if isinstance(value, (list, tuple)):
        return [line for one in value for line in lines(name, one, indent)]
    if not isinstance(value, Mapping):
        return [f"{indent}{name}: {show(value)}"]
    inner = [line for key, one in value.items() for line in lines(key, one, indent + "  ")]
    short = f"{indent}{name} {{ {' '.join(line.strip() for line in inner)} }}"
    nested = sum(isinstance(one, Mapping) for one in value.values())
    if len(short) <= WIDTH and len(inner) == sum(1 for _ in value) and nested <= (name != "layer"):
        return [short]
    return [f"{indent}{name} {{", *inner, f"{indent}}}"]


class Net:
    """Collects layers; each method returns the name of the top, which the next layer reads."""

    def __init__(self, title: str, name: str, train: bool) -> None:
        self.train = train
        self.lines = [f"# {line}" for line in title.split("\n")] + [f'name: "{name}"']

    def __str__(self) -> str:
        return "\n".join(self.lines) + "\n"

    def comment(self, text: str) -> None:
        """An empty line, then a comment."""
        self.lines += ["", *(f"# {line}" for line in text.split("\n"))]

    def layer(
        self, name: str, kind: str, bottoms: str | Sequence[str], tops: str | Sequence[str], **fields: Any
    ) -> str:
        """Any layer; fields that are None are omitted."""
        bottoms = [bottoms] if isinstance(bottoms, str) else list(bottoms)
        tops = [tops] if isinstance(tops, str) else list(tops)
        given = {key: value for key, value in fields.items() if value is not None}
        self.lines += lines("layer", {"name": name, "type": kind, "bottom": bottoms, "top": tops, **given})
        return tops[0]

    def input(self, *shape: int) -> str:
        """The blob `data` of a deployed net."""
        return self.layer("data", "Input", [], "data", input_param={"shape": {"dim": list(shape)}})

    def learned(
        self, name: str, kind: str, bottom: str, message: str, values: Mapping[str, Any], param: object, fill: object
    ) -> str:
        """A layer with weights: `param` and `fill` (weight_filler, bias_filler) are written only for training."""
        settings = {**values, **(fill if self.train and isinstance(fill, dict) else {})}
        return self.layer(name, kind, bottom, name, **{"param": param if self.train else None, message: settings})

    def relu(self, name: str, bottom: str) -> str:
        """In place."""
        return self.layer(name, "ReLU", bottom, bottom)

    def pool(self, name: str, bottom: str, method: Word, kernel: int, stride: int = 1, pad: int = 0) -> str:
        """Pooling with a square window."""
        window = {"pool": method, "kernel_size": kernel, "stride": stride, **({"pad": pad} if pad else {})}
        return self.layer(name, "Pooling", bottom, name, pooling_param=window)

    def dropout(self, name: str, bottom: str, ratio: float) -> str:
        """In place."""
        return self.layer(name, "Dropout", bottom, bottom, dropout_param={"dropout_ratio": ratio})
