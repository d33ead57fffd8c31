"""Which extents of a graph are free when an exported model runs, and their names.

The first extents of the inputs may vary; inputs with equal ones vary together. Each such extent is tried: shapes are
inferred with another size, and what changes is free. An extent that is the input's own at both sizes has its name
(`batch`, or `time` before a recurrent layer); one that changes otherwise (two batches joined, a batch folded into
channels) has a name of its own. Where the net takes no other size - a layer fixes it, or a blob's shape depends on it -
the extent stays a number.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

from netc.ir.dims import Shape, known
from netc.ir.shapes import infer
from netc.layers.recurrent import Recurrent

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from netc.ir.graph import Graph
    from netc.ir.layer import Shapes

BATCH, TIME = "batch", "time"
"""The name of the first extent of the first input, and of inputs that a recurrent layer reads step by step."""
_SIZES = ((3, 5), (7, 11), (13, 17), (19, 23))
"""Sizes tried for each free extent. They are odd, so that a layer which cuts a batch in two fixes it."""

_UNKNOWN_SAMPLE = 29
"""The sample of an extent that data decides."""
R = TypeVar("R")

Extents = tuple["int | str", ...]
"""A number, or the name of a free extent."""


class FixedExtentError(Exception):
    """A layer computes with an extent that was to be free."""


@dataclass(frozen=True)
class SymbolicShapes:
    """The extents of every value of a graph."""

    extents: dict[str, Extents | None]
    """None where not even the number of axes is known."""
    sample: Graph
    """The graph with pairwise different sizes of 3 or more in the place of its free extents."""
    symbols: tuple[str, ...]
    """The names of the inputs' free extents."""

    def free_axes(self, value: str) -> tuple[int, ...]:
        """The axes of a value whose extents are free."""
        return tuple(axis for axis, extent in enumerate(self.extents[value] or ()) if isinstance(extent, str))

    def sample_shapes(self, values: Collection[str]) -> Shapes:
        """Shapes of values in `sample`, with a number also where data decides."""
        shapes = self.sample.shapes(values)
        return tuple(tuple(extent if known(extent) else _UNKNOWN_SAMPLE for extent in shape) for shape in shapes)


def with_free_extents(graph: Graph, write: Callable[[SymbolicShapes], R]) -> R:
    """What `write` returns for the symbolic shapes of a graph.

    Where it raises FixedExtentError, since a layer computes with an extent that was to be free, the extents keep their
    numbers one after the other.
    """
    fixed: set[str] = set()
    while True:
        symbolic = symbolic_shapes(graph, fixed)
        try:
            return write(symbolic)
        except FixedExtentError:
            if not symbolic.symbols:
                raise
            fixed.add(symbolic.symbols[-1])


def symbolic_shapes(graph: Graph, fixed: Collection[str] = ()) -> SymbolicShapes:
    """The extents of a graph; the symbols named in `fixed` keep their numbers."""
    extents: dict[str, list[int | str] | None] = {
        name: None if value.shape is None else list(value.shape) for name, value in graph.values.items()
    }
    sample, symbols = graph, []
    for (symbol, inputs), sizes in zip(_groups(graph), _SIZES):
        own = (graph.shape(inputs[0]) or ())[0]
        first, last = (own, _other(own, sizes)) if known(own) else sizes
        tried = [sample if known(own) else _resized(graph, sample, inputs, first)]
        tried.append(_resized(graph, sample, inputs, last))
        if symbol in fixed or any(one is None for one in tried):
            continue
        symbols.append(symbol)
        resized = [one for one in tried if one is not None]
        for name, axis, found in _changes(resized):
            shape = extents[name]
            if shape is not None:
                shape[axis] = symbol if found == (first, last) else f"{name}_{axis}"
        sample = resized[-1]
    for name, shape in extents.items():
        for axis, extent in enumerate(shape or ()):
            if shape is not None and isinstance(extent, int) and not known(extent):
                shape[axis] = f"{name}_{axis}"
    named = {name: None if shape is None else tuple(shape) for name, shape in extents.items()}
    return SymbolicShapes(named, sample, tuple(symbols))


def _other(size: int, sizes: tuple[int, int]) -> int:
    """The larger of two sizes, or the smaller where it is `size`."""
    return sizes[1] if sizes[1] != size else sizes[0]


def _groups(graph: Graph) -> Iterator[tuple[str, list[str]]]:
    """The inputs by first extent, in order, each group with the name of that extent."""
    groups: dict[str, list[str]] = {}
    for name in graph.inputs:
        shape = graph.shape(name)
        if shape:
            groups.setdefault(str(shape[0]), []).append(name)
    sequences = _sequences(graph)
    for index, inputs in enumerate(groups.values()):
        name = BATCH if index == 0 else f"{inputs[0]}_0"
        yield TIME if not sequences.isdisjoint(inputs) and index == 0 else name, inputs


def _sequences(graph: Graph) -> set[str]:
    """The inputs whose first axis has the steps of a recurrent layer."""
    steps: dict[str, int] = {}
    for node in reversed(graph.nodes):
        if isinstance(node.layer, Recurrent):
            steps.update((name, shape[0]) for name in node.bottoms[:2] if (shape := graph.shape(name)))
        count = next((steps[top] for top in node.tops if top in steps), None)
        if count is not None:
            steps.update((name, count) for name in node.bottoms if name not in steps)
    return {name for name in graph.inputs if name in steps and (graph.shape(name) or ())[:1] == (steps[name],)}


def _resized(graph: Graph, sample: Graph, inputs: Sequence[str], size: int) -> Graph | None:
    """The sample with another first extent of some inputs; None where the net does not take it."""
    values = dict(sample.values)
    for name in inputs:
        shape = values[name].shape or ()
        values[name] = replace(values[name], shape=(size, *shape[1:]))
    resized, report = infer(sample.replace(values=values))
    return None if report.errors or _blob_shapes(resized) != _blob_shapes(graph) else resized


def _blob_shapes(graph: Graph) -> list[Shape]:
    return [weight.shape for node in graph.nodes for weight in graph.weights(node)]


def _changes(graphs: Sequence[Graph]) -> Iterator[tuple[str, int, tuple[int, ...]]]:
    """Value, axis and extents for each extent that differs between graphs."""
    for name in graphs[0].values:
        shapes = [graph.shape(name) for graph in graphs]
        for axis, found in enumerate(zip(*(shape or () for shape in shapes))):
            if all(map(known, found)) and len(set(found)) > 1:
                yield name, axis, found
