"""Classifies images: the most likely classes first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from netc.compiler import issue_warnings, state_choice, weighted
from netc.conversion.embedded_net import net_source
from netc.conversion.images import batch_of
from netc.conversion.models import Files, net_of, open_net
from netc.conversion.preprocess import find_preprocess
from netc.diagnostics import Diagnostic, NetcError, counted
from netc.passes.drop_losses import drop_losses
from netc.text import read_source

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    import torch

    from netc.conversion.preprocess import PreprocessOptions
    from netc.ir.dims import Shape
    from netc.ir.graph import Graph
    from netc.passes.arrays import Array

BATCH = 16
"""Images in one forward pass."""


@dataclass(frozen=True)
class Guess:
    """One class of an image with its score."""

    index: int
    name: str
    """Empty without labels."""
    score: float


def classify(
    images: Sequence[str | Path],
    model: str | Path,
    weights: Files | None = None,
    *,
    labels: str | Path | None = None,
    top: int = 5,
    blob: str | None = None,
    preprocessing: PreprocessOptions | None = None,
    shapes: Mapping[str, Shape] | None = None,
    phase: str = "test",
    level: int | None = None,
    stages: Sequence[str] = (),
    autocrop: bool = False,
    device: str | torch.device = "cpu",
    warn: Callable[[Diagnostic], object] = lambda found: None,
) -> list[list[Guess]]:
    """Return the `top` classes of each image, best first, by the scores in `blob` (default: the only output).

    `autocrop` is that of `load`; the net runs on `device`. `warn` receives W807 if the scores are not probabilities.
    Raises NetcError for files that cannot be read, and for a net with several outputs where none is named.
    """
    state = state_choice(phase, level, stages, autocrop)
    found = net_source(model, state=state)
    fed = {**(found.shapes or {}), **(shapes or {})}
    net = open_net(found.source, weights or found.weights, shapes=fed, state=state)
    issue_warnings(net.report.warnings, stacklevel=3)
    plain = weighted(net)
    graph = drop_losses(plain)
    net = net if graph is plain else net_of(graph)
    steps = find_preprocess(graph, found.source, preprocessing, state)
    names = [] if labels is None else read_labels(labels)
    output = blob or _only(net.outputs)
    for warning in _raw_scores(net.graph, output):
        warn(warning)
    net.to(device)
    guesses = []
    for start in range(0, len(images), BATCH):
        batch = batch_of(images[start : start + BATCH], steps)
        scores = net.run({steps.input: batch}, [output])[output].reshape(len(batch), -1)
        _check_labels(names, scores.shape[1], labels)
        guesses += [_best(row, names, top) for row in scores]
    return guesses


def _raw_scores(graph: Graph, blob: str) -> Iterator[Diagnostic]:
    """Yield W807 unless the last layer that computes a blob's elements is one whose top is a score, such as Softmax."""
    producers = {top: node for node in graph.nodes for top in node.tops}
    name = {value.blob: value.name for value in graph.values.values()}.get(blob, "")
    while (node := producers.get(name)) and (node.layer.elements == "moved" or node.layer.is_identity_in_test):
        name = node.bottoms[0]
    if node is not None and node.layer.role != "score":
        kind = node.layer.type
        message = f"`{blob}` holds scores that are not probabilities: they come from a layer of type `{kind}`"
        yield Diagnostic("W807", message, node.span, help="append a Softmax")


def read_labels(path: str | Path) -> list[str]:
    """Return the names of classes, one per line, in the order of their indices. Raises NetcError E001."""
    lines = read_source(path).text.split("\n")
    return [line.strip() for line in (lines[:-1] if not lines[-1] else lines)]


def _only(outputs: Sequence[str]) -> str:
    if len(outputs) != 1:
        listed = ", ".join(f"`{name}`" for name in outputs)
        raise NetcError(
            f"the net has {counted(len(outputs), 'output')}: {listed}", code="E302", help="name one: `--blob NAME`"
        )
    return outputs[0]


def _check_labels(names: Sequence[str], classes: int, path: str | Path | None) -> None:
    if names and len(names) != classes:
        raise NetcError(f"`{path}` names {counted(len(names), 'class')}, the net has {classes} outputs", code="E100")


def _best(scores: Array, names: Sequence[str], top: int) -> list[Guess]:
    order = np.argsort(-scores, kind="stable")[:top]
    return [Guess(int(index), names[index] if names else "", float(scores[index])) for index in order]
