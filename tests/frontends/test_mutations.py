"""Sound nets, broken in one place: the fault is told on the line where it was made."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from netc.diagnostics import Source
from netc.inspection import check
from netc.text import Message, Scalar, parse

MODELS = Path(__file__).parents[2] / "models"
NETS = [
    MODELS / name
    for name in (
        "alexnet/deploy.prototxt",
        "alexnet/train_val.prototxt",
        "cifar10_full/train_val.prototxt",
        "cifar10_quick/deploy.prototxt",
        "googlenet/deploy.prototxt",
        "lenet/train_val.prototxt",
        "resnet50/deploy.prototxt",
        "vgg_a/train_val.prototxt",
    )
]
EACH = 4
"""How often a net is broken in each way."""
BATCH = {"data": (2, 3, 227, 227), "label": (2,)}
GREY = {"data": (2, 1, 28, 28), "label": (2,)}


@dataclass(frozen=True)
class Edit:
    """Characters `start` to `end` replaced."""

    start: int
    end: int
    new: str


def layers(tree) -> list[Message]:
    return [layer for layer in tree.root.messages("layer") if layer.get("type")]


def kind(layer: Message) -> str:
    return layer.get("type")[0].raw.strip("\"'")


def replaced(value: Scalar, new: str) -> Edit:
    return Edit(value.start, value.end, new)


def behind(value: Scalar, new: str) -> Edit:
    return Edit(value.end, value.end, " " + new)


def parameters(layer: Message, *names: str) -> Iterator[Message]:
    for name in names:
        yield from layer.messages(name)


def types(layer: Message, rng: random.Random) -> Edit:
    """A letter of the type goes, or comes twice, or the type is one of a fork."""
    value = layer.get("type")[0]
    name = kind(layer)
    at = rng.randrange(1, len(name))
    new = rng.choice([name[:at] + name[at + 1 :], name[:at] + name[at - 1] + name[at:], "PriorBox", name.upper() + "_"])
    return replaced(value, f'"{new}"')


def bottoms(layer: Message, rng: random.Random) -> Edit | None:
    found = layer.get("bottom")
    return replaced(rng.choice(found), f'"missing{rng.randrange(1000)}"') if found else None


def axes(layer: Message, rng: random.Random) -> Edit | None:
    """An axis that the bottom has not."""
    axis = f"axis: {rng.choice([7, 9, -8])}"
    for message in parameters(layer, "inner_product_param", "concat_param", "softmax_param"):
        given = message.get("axis") or message.get("num_output")
        if given:
            return replaced(given[0], axis[6:]) if message.get("axis") else behind(given[0], axis)
    if kind(layer) in ("Softmax", "Concat", "Flatten"):
        field = {"Softmax": "softmax_param", "Concat": "concat_param", "Flatten": "flatten_param"}[kind(layer)]
        return None if layer.get(field) else behind(layer.get("type")[0], f"{field} {{ {axis} }}")
    return None


def kernels(layer: Message, rng: random.Random) -> Edit | None:
    for message in parameters(layer, "convolution_param", "pooling_param"):
        for value in message.get("kernel_size"):
            return replaced(value, str(rng.randrange(1000, 5000)))
    return None


def groups(layer: Message, rng: random.Random) -> Edit | None:
    for message in parameters(layer, "convolution_param"):
        for value in message.get("num_output"):
            divisor = rng.choice([n for n in (7, 11, 13) if int(value.raw) % n])
            given = message.get("group")
            return replaced(given[0], str(divisor)) if given else behind(value, f"group: {divisor}")
    return None


WAYS: list[Callable[[Message, random.Random], Edit | None]] = [types, bottoms, axes, kernels, groups]


def shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Of what only data would tell."""
    return {} if path.name == "deploy.prototxt" else GREY if path.parent.name == "lenet" else BATCH


def errors(path: Path, text: str) -> list[tuple[int | None, str]]:
    found = check(Source(str(path), text), shapes=shapes(path))
    return [(d.line, f"{d.code} {d.message}") for d in found if d.severity == "error"]


@pytest.mark.parametrize("path", NETS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_valid_nets_have_no_errors(path):
    assert errors(path, path.read_text()) == []


def broken(path: Path, seed: int) -> Iterator[tuple[str, int, str]]:
    """The way, the changed line and the text of nets that are broken in one place each."""
    rng = random.Random(seed)
    source = Source(str(path), path.read_text())
    candidates = layers(parse(source))
    for way in WAYS:
        edits = [edit for layer in candidates for edit in [way(layer, rng)] if edit]
        for edit in rng.sample(edits, min(EACH, len(edits))):
            text = source.text[: edit.start] + edit.new + source.text[edit.end :]
            yield way.__name__, source.position(edit.start)[0], text


def test_nearly_every_mutation_is_reported_on_its_line():
    made, missed = 0, []
    for seed, path in enumerate(NETS):
        for way, line, text in broken(path, seed):
            made += 1
            found = errors(path, text)
            if not any(place == line for place, _ in found):
                missed.append(f"{path.parent.name} {way} line {line}: {found[:3]}")
    assert made > 4 * len(NETS) * len(WAYS) * 0.7
    assert len(missed) <= 0.05 * made, "\n".join(missed)
