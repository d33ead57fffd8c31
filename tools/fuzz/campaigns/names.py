"""Nets whose layers and blobs have unusual names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fuzz.campaigns.bases import NET, SOLVER, TRAIN, files
from fuzz.campaigns.campaign import Campaign
from fuzz.case import Case, command_lines

if TYPE_CHECKING:
    import random

NAMES = (
    *("", " ", ".", "..", "/", "a/b", "/etc/x", "-", "--to", "*", "%s", "{}", "{0.__class__}", "a\tb", "a\nb", "a\rb"),
    *("\x00", "a\x00b", "\x1b[31mred\x1b[0m", "\x1b]0;title\x07", "\x9b31m", "\x7f", "\u202eabc", "\ufeff"),
    *("\u2028", "é", "e\u0301", "名前", "\U0001f600", "\udcff", "\ud800", "'", '"', "\\", "a'b\"c", "None", "self"),
    *("class", "import os", "__init__", "forward", "weight", "data", "0", "1e5", "a" * 300, "a" * 70_000, "<b>"),
    *("a,b", "a;b", "$(x)", "`x`", "a\\nb", "con v"),
)
VERBS = command_lines("""
    check net.prototxt
    check --format json net.prototxt
    check --format github net.prototxt
    summary net.prototxt
    summary net.prototxt --format json
    summary net.prototxt --format csv
    summary net.prototxt --format markdown
    diff net.prototxt first.prototxt
    fmt net.prototxt
    upgrade net.prototxt out.prototxt
    time net.prototxt --iterations 1
    verify net.prototxt net.prototxt
    convert net.prototxt --to caffe --output out.prototxt
    convert net.prototxt --to onnx --output out.onnx
    convert net.prototxt --to py --output out.py
    convert net.prototxt --to pt --output out.pt
    convert net.prototxt --to safetensors --output out.safetensors
    convert net.prototxt --to pt2 --output out.pt2
    convert net.prototxt --fold --to onnx --output out.onnx
    weights net_out.caffemodel net.prototxt
    classify --model net.prototxt images/0.png
    train --solver solver.prototxt --iterations 1 --log-json log.json
    train --solver solver.prototxt --debug --iterations 1
    test train.prototxt --iterations 1
""")
RENAMED = ("conv", "norm", "fc", "data", "prob", "loss", "label", "tiny", "relu", "accuracy")


class Names(Campaign):
    """Nets whose layers and blobs have unusual names."""

    name = "names"

    def case(self, rng: random.Random) -> Case:
        """Return a net in which some names were replaced."""
        new = {old: rng.choice(NAMES) for old in rng.sample(RENAMED, rng.choice((1, 1, 2, 3)))}
        texts = {"net.prototxt": NET, "train.prototxt": TRAIN, "solver.prototxt": SOLVER}
        renamed = {name: _renamed(text, new).encode("utf-8", "surrogatepass") for name, text in texts.items()}
        return Case({**files(), "first.prototxt": NET.encode(), **renamed}, (rng.choice(VERBS),))


def _renamed(text: str, new: dict[str, str]) -> str:
    for old, name in new.items():
        for field in ("name", "bottom", "top"):
            text = text.replace(f'{field}: "{old}"', f'{field}: "{_quoted(name)}"')
    return text


def _quoted(name: str) -> str:
    return name.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\x00", "\\000")
