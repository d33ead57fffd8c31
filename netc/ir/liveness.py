"""When each value is needed, and the peak memory of inference and of training.

The size of an element is that of its dtype. The top of an in-place layer uses its bottom's memory; every other top has
its own memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

from netc.ir.dims import known, product
from netc.ir.dtypes import ITEM_BYTES
from netc.ir.gradients import values_with_gradient
from netc.ir.graph import Graph


@dataclass(frozen=True)
class Liveness:
    """Shared memory, gradients and lifetimes of values. Shapes must be inferred."""

    graph: Graph

    @cached_property
    def memory(self) -> dict[str, str]:
        """For each value, the first value of its memory: its own name, except for the top of an in-place layer."""
        values = self.graph.values
        memory = {name: name for name in self.graph.inputs}
        for node in self.graph.nodes:
            for index, top in enumerate(node.tops):
                source = node.bottoms[index] if index < len(node.bottoms) else None
                in_place = source is not None and values[source].blob == values[top].blob
                memory[top] = memory[source] if source is not None and in_place else top
        return memory

    @cached_property
    def gradients(self) -> frozenset[str]:
        """Values that get a gradient; see `values_with_gradient`."""
        return values_with_gradient(self.graph)

    def bytes(self, names: Iterable[str]) -> int | None:
        """Bytes of the memory that begins with these values; None if an extent or an element size is unknown."""
        total = 0
        for name in names:
            shape = self.graph.shape(name)
            if self.memory[name] != name:
                continue
            if shape is None or not all(map(known, shape)):
                return None
            size = ITEM_BYTES[self.graph.values[name].dtype]
            if size is None:
                return None
            total += product(shape) * size
        return total

    @cached_property
    def inference_peak(self) -> int | None:
        """Maximum bytes of values at any time, each freed after its last reader; outputs are kept."""
        return self._peak(self._inference())

    @cached_property
    def training_peak(self) -> int | None:
        """Maximum bytes of values and gradients at any time of a forward and backward pass.

        A value that the backward pass may read is kept until the backward pass of the layer that computed it; a
        gradient lives from the backward pass of its last reader to that of its producer.
        """
        return self._peak(self._training())

    def _peak(self, steps: Iterator[tuple[list[str], list[str]]]) -> int | None:
        """The largest sum over steps, each with the values that begin and end in it."""
        held = peak = 0
        for begin, end in steps:
            more, less = self.bytes(begin), self.bytes(end)
            if more is None or less is None:
                return None
            held += more
            peak = max(peak, held)
            held -= less
        return peak

    @cached_property
    def _last(self) -> dict[int, list[str]]:
        """For each node, by index, the memory that no later node reads; outputs are excluded."""
        last: dict[str, int] = {}
        outputs = {self.memory[name] for name in self.graph.outputs}
        for index, node in enumerate(self.graph.nodes):
            last.update((self.memory[name], index) for name in (*node.bottoms, *node.tops))
        ending: dict[int, list[str]] = {}
        for name, index in last.items():
            if name not in outputs:
                ending.setdefault(index, []).append(name)
        return ending

    def _fresh(self, names: Iterable[str]) -> list[str]:
        return [name for name in names if self.memory[name] == name]

    def _inference(self) -> Iterator[tuple[list[str], list[str]]]:
        yield list(self.graph.inputs), []
        for index, node in enumerate(self.graph.nodes):
            yield self._fresh(node.tops), self._last.get(index, [])

    def _training(self) -> Iterator[tuple[list[str], list[str]]]:
        kept = self._kept()
        yield list(self.graph.inputs), []
        for index, node in enumerate(self.graph.nodes):
            yield self._fresh(node.tops), [name for name in self._last.get(index, []) if name not in kept]
        with_gradient = {self.memory[name] for name in self.gradients}
        started: set[str] = set()
        for node in reversed(self.graph.nodes):
            if self.gradients.isdisjoint(node.tops):
                continue
            touched = dict.fromkeys(self.memory[name] for name in (*node.tops, *node.bottoms))
            new = [name for name in touched if name in with_gradient and name not in started]
            started.update(new)
            own = self._fresh(node.tops)
            done = [name for name in own if name in started]  # the gradient, and its value
            yield new, [*done, *(name for name in own if name in kept)]

    def _kept(self) -> set[str]:
        """Memory that the backward pass may read."""
        kept: set[str] = set()
        for node in self.graph.nodes:
            if not self.gradients.isdisjoint(node.tops):
                kept.update(self.memory[name] for name in (*node.tops, *node.bottoms))
        return kept
