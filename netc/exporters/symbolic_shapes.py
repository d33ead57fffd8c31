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

from netc.diagnostics import NetcError
from netc.ir.dims import Shape, known
from netc.ir.shapes import infer
from netc.layers.recurrent import Recurrent

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from netc.ir.graph import Graph
    from netc.ir.layer import Shapes

BATCH, TIME = "batch", "time"
"""The name of the first extent of the first input, and of inputs that a recurrent layer reads step by step."""
HEIGHT, WIDTH = "height", "width"
"""The names of the extents of images, where they are free on request."""
AXES = {"n": 0, "h": 2, "w": 3}
"""The axes of inputs that may be free on request, by letter; `h` and `w` are those of inputs with four axes."""
_SIZES = ((3, 5), (7, 11), (13, 17), (19, 23))
"""Sizes tried for each free extent. They are odd, so that a layer which cuts a batch in two fixes it."""
_IMAGE_STEP = 64
"""Difference of the sizes tried for an image: layers that halve it several times take both."""

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


@dataclass(frozen=True)
class _Group:
    """Inputs with an extent that varies in all of them together."""

    symbol: str
    axis: int
    inputs: tuple[str, ...]
    sizes: tuple[int, int]
    """Sizes to try."""


def with_free_extents(graph: Graph, write: Callable[[SymbolicShapes], R], dynamic: Collection[str] = ("n",)) -> R:
    """What `write` returns for the symbolic shapes of a graph, in which the axes `dynamic` (see AXES) may be free.

    Where it raises FixedExtentError, since a layer computes with an extent that was to be free, the extents keep their
    numbers one after the other. Raises NetcError E802 for a height or width that the net or the format fixes.
    """
    fixed: set[str] = set()
    while True:
        symbolic = symbolic_shapes(graph, fixed, dynamic)
        _check_images(symbolic, dynamic)
        try:
            return write(symbolic)
        except FixedExtentError:
            if not symbolic.symbols:
                raise
            fixed.add(symbolic.symbols[-1])


def _check_images(symbolic: SymbolicShapes, dynamic: Collection[str]) -> None:
    for letter, symbol in (("h", HEIGHT), ("w", WIDTH)):
        if letter in dynamic and symbol not in symbolic.symbols:
            raise NetcError(
                f"the {symbol} of the input cannot be dynamic",
                code="E802",
                notes=["no input has four axes, or a layer computes with its extent"],
                help=f"leave `{letter}` out of `--dynamic`",
            )


def symbolic_shapes(graph: Graph, fixed: Collection[str] = (), dynamic: Collection[str] = ("n",)) -> SymbolicShapes:
    """The extents of a graph; the symbols named in `fixed` keep their numbers, and axes that are not in `dynamic`."""
    extents: dict[str, list[int | str] | None] = {
        name: None if value.shape is None else list(value.shape) for name, value in graph.values.items()
    }
    sample, symbols = graph, []
    for group in _groups(graph, dynamic):
        own = (graph.shape(group.inputs[0]) or ())[group.axis]
        first, last = (own, _other(own, group.sizes)) if known(own) else group.sizes
        tried = [sample if known(own) else _resized(graph, sample, group, first)]
        tried.append(_resized(graph, sample, group, last))
        if group.symbol in fixed or any(one is None for one in tried):
            continue
        symbols.append(group.symbol)
        resized = [one for one in tried if one is not None]
        for name, axis, found in _changes(resized):
            shape = extents[name]
            if shape is not None:
                shape[axis] = group.symbol if found == (first, last) else f"{name}_{axis}"
        sample = resized[-1]
    named = {name: None if shape is None else _named(name, shape) for name, shape in extents.items()}
    return SymbolicShapes(named, sample, tuple(symbols))


def _named(value: str, shape: Sequence[int | str]) -> Extents:
    """Extents with a name for each that is unknown."""
    return tuple(
        extent if isinstance(extent, str) or known(extent) else f"{value}_{axis}" for axis, extent in enumerate(shape)
    )


def _other(size: int, sizes: tuple[int, int]) -> int:
    """The larger of two sizes, or the smaller where it is `size`."""
    return sizes[1] if sizes[1] != size else sizes[0]


def _groups(graph: Graph, dynamic: Collection[str]) -> Iterator[_Group]:
    """The inputs by extent along each axis, in order; the first extents first."""
    if "n" in dynamic:
        sequences = _sequences(graph)
        for index, (inputs, sizes) in enumerate(zip(_by_extent(graph, 0, 1), _SIZES)):
            name = BATCH if index == 0 else f"{inputs[0]}_0"
            yield _Group(TIME if index == 0 and not sequences.isdisjoint(inputs) else name, 0, inputs, sizes)
    for letter, symbol in (("h", HEIGHT), ("w", WIDTH)):
        for index, inputs in enumerate(_by_extent(graph, AXES[letter], 4) if letter in dynamic else ()):
            axis = AXES[letter]
            extent = (graph.shape(inputs[0]) or ())[axis]
            size = (extent if known(extent) else 223 + axis) + _IMAGE_STEP
            name = symbol if index == 0 else f"{inputs[0]}_{axis}"
            yield _Group(name, axis, inputs, (size, size + _IMAGE_STEP))


def _by_extent(graph: Graph, axis: int, axes: int) -> list[tuple[str, ...]]:
    """The inputs with equal extents along an axis; `axes` is the least number of axes."""
    groups: dict[str, list[str]] = {}
    for name in graph.inputs:
        shape = graph.shape(name)
        if shape and len(shape) >= axes:
            groups.setdefault(str(shape[axis]), []).append(name)
    return [tuple(names) for names in groups.values()]


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


def _resized(graph: Graph, sample: Graph, group: _Group, size: int) -> Graph | None:
    """The sample with another extent of some inputs; None where the net does not take it."""
    values = dict(sample.values)
    for name in group.inputs:
        shape = values[name].shape or ()
        values[name] = replace(values[name], shape=(*shape[: group.axis], size, *shape[group.axis + 1 :]))
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
