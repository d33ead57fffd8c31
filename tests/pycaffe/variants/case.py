"""One layer in a net of its own, and how its bottoms are made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

import netc.pycaffe as caffe

FILL = 'weight_filler { type: "gaussian" std: 0.5 } bias_filler { type: "uniform" min: -1 max: 1 }'
"""Weights that are drawn, for layers with a matrix and a bias."""


@dataclass
class Case:
    """One layer: `layer` is its text without name, bottoms and tops; `formula` takes bottoms, then blobs."""

    name: str
    layer: str
    sizes: tuple
    formula: Callable
    tops: int = 1
    given: dict = field(default_factory=dict)
    """How bottoms are made that are not plain numbers: integers below a number, or an array's maker."""
    still: tuple = ()
    """Bottoms followed by blobs without a gradient."""
    phase: int = caffe.TEST
    forward_only: bool = False
    no_diff: tuple = ()
    """Tops through which no gradient comes back: masks, and the exposed states of recurrent layers."""

    def net(self):
        bottoms = range(len(self.sizes[0]))
        inputs = "".join(
            f'layer {{ name: "b{i}" type: "Input" top: "b{i}" input_param {{ shape {{ '
            + " ".join(f"dim: {d}" for d in self.sizes[0][i]) + " } } }\n"
            for i in bottoms
        )  # fmt: skip
        names = "".join(f' bottom: "b{i}"' for i in bottoms) + "".join(f' top: "t{i}"' for i in range(self.tops))
        return f'name: "n" force_backward: true\n{inputs}layer {{ name: "layer"{names} {self.layer} }}'

    def bottoms(self, size, seed):
        random = np.random.default_rng(seed)
        made = [
            random.permutation(np.linspace(-2, 2, max(2, int(np.prod(s)))) + 0.013 + 0.007 * i)[: int(np.prod(s))]
            for i, s in enumerate(self.sizes[size])
        ]
        arrays = [array.reshape(s).astype(np.float32) for array, s in zip(made, self.sizes[size])]
        for i, how in self.given.items():
            shape = self.sizes[size][i]
            arrays[i] = (how(random, shape) if callable(how) else random.integers(0, how, shape)).astype(np.float32)
        return arrays


def two(*shapes):
    """The same shapes, and others with a larger batch (and planes)."""

    def grown(s):
        return (s[0] + 1, *s[1:2], *(e + 2 for e in s[2:]))

    return [shapes, tuple(map(grown, shapes))]


def adder(cases):
    """A function that appends a case to a list."""

    def add(name, layer, sizes, formula, **more):
        cases.append(Case(name, layer, tuple(sizes), formula, **more))

    return add
