"""Which values of two forms of a net are the same value.

A value is found by its blob and by the layer that wrote it, since the versions of a blob (`conv1`, `conv1.1`) are
numbered differently where a form lacks some in-place layers. In a form where a BatchNorm is folded into a convolution,
the value of the convolution is what the BatchNorm computes in the other form: a value is compared after the in-place
layers that the other form lacks.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from netc.conversion.runners import Runner


@dataclass(frozen=True)
class Version:
    """One version of a blob in a form."""

    value: str
    layer: str
    """The last of the layers that were computed to produce it."""


def matched(one: Runner, other: Runner, first: Collection[str], second: Collection[str]) -> dict[str, str]:
    """For each value of `first` the same value of `second`, in the order of `first`.

    Both are the names of values that the forms `one` and `other` returned, in the order of computation.
    """
    known = {**one.blobs, **other.blobs}
    pairs: dict[str, str] = {}
    theirs = _by_blob(other, second, known)
    for blob, values in _by_blob(one, first, known).items():
        pairs.update(_versions(one, other, values, theirs.get(blob, [])))
    return {name: pairs[name] for name in first if name in pairs}


def _by_blob(form: Runner, values: Collection[str], known: Mapping[str, str]) -> dict[str, list[str]]:
    """The versions of each blob; where no form states the blob of a value, its name does."""
    found: dict[str, list[str]] = {}
    blobs = set(known.values())
    for name in values:
        base = re.sub(r"\.\d+$", "", name)
        guessed = base if form.versions and (base in values or base in blobs) else name
        blob = form.blobs.get(name, known.get(name, guessed))
        found.setdefault(blob, []).append(name)
    return found


def _versions(one: Runner, other: Runner, first: Sequence[str], second: Sequence[str]) -> Iterator[tuple[str, str]]:
    """The pairs among the versions of one blob."""
    if not one.versions or not other.versions:
        yield from zip(first[-1:], second[-1:])
    elif not one.writers or not other.writers:
        yield from ((name, name) for name in first if name in second)
    else:
        yield from _by_layers(_written(one, first), _written(other, second), _layers(one), _layers(other))


def _written(form: Runner, values: Sequence[str]) -> list[Version]:
    return [Version(name, form.writers.get(name, ("",))[-1]) for name in values]


def _layers(form: Runner) -> set[str]:
    return {layer for layers in form.writers.values() for layer in layers}


def _by_layers(
    first: Sequence[Version], second: Sequence[Version], ours: set[str], theirs: set[str]
) -> Iterator[tuple[str, str]]:
    """Pairs of versions by layer: the versions between two layers that both forms have belong to the first of them."""
    matcher = SequenceMatcher(None, [v.layer for v in first], [v.layer for v in second], autojunk=False)
    starts = [(b.a + i, b.b + i) for b in matcher.get_matching_blocks() for i in range(b.size)]
    bounds = [*starts, (len(first), len(second))]
    yield from _aligned(first[: bounds[0][0]], second[: bounds[0][1]])
    for (a, b), (next_a, next_b) in pairwise(bounds):
        after_a = [v for v in first[a + 1 : next_a] if v.layer not in theirs]
        after_b = [v for v in second[b + 1 : next_b] if v.layer not in ours]
        if len(after_a) == len(after_b):
            yield first[a].value, second[b].value
            yield from _aligned(after_a, after_b)
        else:
            yield [first[a], *after_a][-1].value, [second[b], *after_b][-1].value


def _aligned(first: Sequence[Version], second: Sequence[Version]) -> Iterator[tuple[str, str]]:
    """Versions by layers that only one form has: one by one where there are equally many, else the last ones."""
    alike = len(first) == len(second)
    yield from ((a.value, b.value) for a, b in zip(first if alike else first[-1:], second if alike else second[-1:]))
